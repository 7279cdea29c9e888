"""bt-data: scan, audit, split and explore a data set."""

from __future__ import annotations

from braintumor.cli.shell import command
from braintumor.progress import waiting
from braintumor.workflows.arguments import Request


def main() -> None:
    """Entry point of `bt-data`."""
    command("data", run)


def run(request: Request) -> None:
    with waiting("starting"):
        from braintumor.workflows.data import explore  # scikit-learn, which --help does not need

    explore(request)
