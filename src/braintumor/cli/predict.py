"""bt-predict: classify pictures that have no labels."""

from __future__ import annotations

from braintumor.cli.shell import command
from braintumor.workflows.arguments import Request


def main() -> None:
    """Entry point of `bt-predict`."""
    command("predict", run)


def run(request: Request) -> None:
    """Classify the pictures that the settings name."""
    from braintumor.workflows.predict import predict  # pandas, which --help does not need

    predict(request)
