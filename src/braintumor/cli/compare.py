"""bt-compare: finished runs side by side."""

from __future__ import annotations

from braintumor.cli.shell import command, workflow

run = workflow("compare", "compare")


def main() -> None:
    """Entry point of `bt-compare`."""
    command("compare", run)
