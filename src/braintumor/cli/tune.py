"""bt-tune: a search for better settings of bt-train, judged on validation."""

from __future__ import annotations

from braintumor.cli.shell import command, workflow

run = workflow("tune", "tune")


def main() -> None:
    """Entry point of `bt-tune`."""
    command("tune", run)
