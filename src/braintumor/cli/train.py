"""bt-train: scan, split, train, evaluate the best checkpoint once on test."""

from __future__ import annotations

import sys
from pathlib import Path

from braintumor.cli.shell import command
from braintumor.runs.folder import open_run
from braintumor.workflows.arguments import Request, resumable


def main() -> None:
    """Entry point of `bt-train`."""
    sys.argv[1:] = resumable(sys.argv[1:])
    command("train", run, after_sweep=after_sweep)


def run(request: Request) -> None:
    """Train what the settings say; under -m one job of a sweep."""
    if resume := request.settings["resume"]:
        open_run(resume)
    from braintumor.workflows.train import train  # torch, once the settings have been accepted

    train(request)


def after_sweep(folder: Path) -> None:
    """The table over the jobs of a sweep."""
    from braintumor.workflows.compare import finish_sweep  # matplotlib, once jobs have ended

    finish_sweep(folder)
