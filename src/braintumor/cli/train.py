"""bt-train: scan, split, train, evaluate the best checkpoint once on test."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from braintumor.cli.shell import Job, Settings, command


def main() -> None:
    """Entry point of `bt-train`."""
    if any(word.startswith("resume=") for word in sys.argv[1:]):
        # the data set is named in the run folder; the one that Hydra knows may have no such key
        sys.argv = [re.sub(r"^data\.download=", "++data.download=", word) for word in sys.argv]
    command("train", run, after_sweep=after_sweep)


def run(settings: Settings, job: Job) -> None:
    """Train one model and evaluate it, or all its folds and seeds; under -m one job of a sweep."""
    from braintumor.runtime import configure_process

    configure_process()  # before torch allocates, so before what imports it
    from braintumor.cli.parts import has_trials

    if has_trials(settings):
        from braintumor.cli.repeats import train_repeats as train
    else:
        from braintumor.cli.training import train_and_evaluate as train
    from braintumor.cli.resume import downloads

    with downloads(settings, job):
        train(settings, job)


def after_sweep(folder: Path) -> None:
    """The table over the jobs of a sweep, a row a fold or seed where they have such parts.

    Raises TrainingError when some jobs failed.
    """
    from braintumor.cli.compare import compare
    from braintumor.errors import TrainingError
    from braintumor.runs.folder import RunFolder

    jobs = [RunFolder(path.parent) for path in sorted(folder.glob("*/status.json"))]
    parts = [sorted(path.parent for path in job.path.glob("*/status.json")) for job in jobs]
    runs = [run for job, own in zip(jobs, parts, strict=True) for run in own or [job.path]]
    compare(runs, folder, split="test")
    failed = [job.path.name for job in jobs if job.read_status()["status"] != "completed"]
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(jobs)} jobs failed ({', '.join(failed)}); "
            f"why stands in {folder}/<job>/status.json"
        )


if __name__ == "__main__":
    main()
