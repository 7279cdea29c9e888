"""bt-train: scan, split, train, evaluate the best checkpoint once on test."""

from __future__ import annotations

from pathlib import Path

from braintumor.cli.shell import command, workflow
from braintumor.interrupts import INTERRUPTED
from braintumor.workflows.console import log

run = workflow("sweep", "train_or_go_on")


def main() -> None:
    """Entry point of `bt-train`."""
    command("train", run, after_sweep=_after_sweep)


def _after_sweep(folder: Path, code: int) -> None:
    if code == INTERRUPTED:
        from braintumor.workflows.sweep import describe_left  # Hydra's sweeper

        log.warning("%s", describe_left(folder))
        return
    workflow("compare", "finish_sweep")(folder)
