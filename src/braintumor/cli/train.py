"""bt-train: scan, split, train, evaluate the best checkpoint once on test."""

from __future__ import annotations

from pathlib import Path

from braintumor.cli.shell import command, workflow
from braintumor.interrupts import INTERRUPTED
from braintumor.runs.folder import open_run
from braintumor.workflows.arguments import Request
from braintumor.workflows.console import log


def main() -> None:
    """Entry point of `bt-train`."""
    command("train", run, after_sweep=_after_sweep)


def run(request: Request) -> None:
    """Train what the settings say; under -m one job of a sweep."""
    if resume := request.settings["resume"]:
        from braintumor.workflows.sweep import go_on, holds_sweep  # Hydra's sweeper

        if holds_sweep(resume := Path(resume)):
            go_on(request)
            return
        open_run(resume)
    workflow("train", "train")(request)


def _after_sweep(folder: Path, code: int) -> None:
    if code == INTERRUPTED:
        from braintumor.workflows.sweep import describe_left  # as above

        log.warning("%s", describe_left(folder))
        return
    workflow("compare", "finish_sweep")(folder)
