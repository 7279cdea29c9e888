"""bt-eval: a checkpoint on its own data set or on any other; several on several as a matrix."""

from __future__ import annotations

from braintumor.cli.shell import command, workflow

run = workflow("evaluate", "evaluate")


def main() -> None:
    """Entry point of `bt-eval`."""
    command("eval", run)
