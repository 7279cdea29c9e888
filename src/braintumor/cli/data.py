"""bt-data: scan, audit, split and explore a data set."""

from __future__ import annotations

from braintumor.cli.shell import command, workflow

run = workflow("data", "explore")


def main() -> None:
    """Entry point of `bt-data`."""
    command("data", run)
