"""bt-predict: classify pictures that have no labels."""

from __future__ import annotations

from braintumor.cli.shell import command
from braintumor.progress import waiting
from braintumor.workflows.arguments import Request


def main() -> None:
    """Entry point of `bt-predict`."""
    command("predict", run)


def run(request: Request) -> None:
    with waiting("starting"):
        from braintumor.workflows.predict import predict  # pandas, which --help does not need

    predict(request)
