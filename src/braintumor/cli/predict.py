"""bt-predict: classify pictures that have no labels."""

from __future__ import annotations

from braintumor.cli.shell import command, workflow

run = workflow("predict", "predict")


def main() -> None:
    """Entry point of `bt-predict`."""
    command("predict", run)
