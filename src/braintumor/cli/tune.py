"""bt-tune: a search for better settings of bt-train, judged on validation."""

from __future__ import annotations

from braintumor.cli.shell import command
from braintumor.progress import waiting
from braintumor.workflows.arguments import Request


def main() -> None:
    """Entry point of `bt-tune`."""
    command("tune", _run)


def _run(request: Request) -> None:
    with waiting("starting"):
        from braintumor.workflows.tune import tune  # torch, which --help does not need

    tune(request)
