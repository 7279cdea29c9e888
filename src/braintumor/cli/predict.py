"""bt-predict: classify pictures that have no labels."""

from __future__ import annotations

from braintumor.cli.shell import command
from braintumor.runs.checkpoint import find_checkpoint
from braintumor.workflows.arguments import PredictArguments, Request


def main() -> None:
    """Entry point of `bt-predict`."""
    command("predict", run)


def run(request: Request) -> None:
    """Classify the pictures that the settings name."""
    find_checkpoint(request.arguments(PredictArguments).ckpt)
    from braintumor.workflows.predict import predict  # torch, once there is a checkpoint

    predict(request)


if __name__ == "__main__":
    main()
