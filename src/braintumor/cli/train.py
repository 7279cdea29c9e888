"""bt-train: scan, split, train, evaluate the best checkpoint once on test."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from braintumor.cli.shell import command
from braintumor.workflows.arguments import Request


def main() -> None:
    """Entry point of `bt-train`."""
    if any(word.startswith("resume=") for word in sys.argv[1:]):
        # the data set is named in the run folder; the one that Hydra knows may have no such key
        sys.argv = [re.sub(r"^data\.download=", "++data.download=", word) for word in sys.argv]
    command("train", run, after_sweep=after_sweep)


def run(request: Request) -> None:
    """Train what the settings say; under -m one job of a sweep."""
    from braintumor.workflows.train import train  # torch, after the settings have been accepted

    train(request)


def after_sweep(folder: Path) -> None:
    """The table over the jobs of a sweep."""
    from braintumor.workflows.train import finish_sweep  # as above

    finish_sweep(folder)


if __name__ == "__main__":
    main()
