"""bt-compare: finished runs side by side."""

from __future__ import annotations

from braintumor.cli.shell import command
from braintumor.progress import waiting
from braintumor.workflows.arguments import Request


def main() -> None:
    """Entry point of `bt-compare`."""
    command("compare", run)


def run(request: Request) -> None:
    with waiting("starting"):
        from braintumor.workflows.compare import compare  # matplotlib, which --help does not need

    compare(request)
