"""bt-eval: a checkpoint on its own data set or on any other; several on several as a matrix."""

from __future__ import annotations

from braintumor.cli.shell import command
from braintumor.progress import waiting
from braintumor.workflows.arguments import Request


def main() -> None:
    """Entry point of `bt-eval`."""
    command("eval", run)


def run(request: Request) -> None:
    with waiting("starting"):
        from braintumor.workflows.evaluate import evaluate  # pandas, which --help does not need

    evaluate(request)
