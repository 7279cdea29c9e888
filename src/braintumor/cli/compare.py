"""bt-compare: finished runs side by side."""

from __future__ import annotations

from braintumor.cli.shell import command
from braintumor.workflows.arguments import Request


def main() -> None:
    """Entry point of `bt-compare`."""
    command("compare", run)


def run(request: Request) -> None:
    """Compare the runs that the settings name."""
    from braintumor.workflows.compare import compare  # matplotlib, which --help does not need

    compare(request)
