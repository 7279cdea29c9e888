"""bt-train: scan, split, train, evaluate the best checkpoint once on test."""

from __future__ import annotations

from pathlib import Path

from braintumor.cli.shell import Job, Settings, command


def main() -> None:
    """Entry point of `bt-train`."""
    command("train", run, after_sweep=after_sweep)


def run(settings: Settings, job: Job) -> None:
    """Train one model and evaluate it; under -m this is one job of the sweep."""
    from braintumor.runtime import keep_big_blocks

    keep_big_blocks()  # before torch allocates, so before what imports it
    from braintumor.cli.training import train_and_evaluate

    train_and_evaluate(settings, job)


def after_sweep(folder: Path) -> None:
    """The table over the jobs of a sweep. Raises TrainingError when some of them failed."""
    from braintumor.cli.compare import compare
    from braintumor.errors import TrainingError
    from braintumor.runs.folder import RunFolder

    compare([folder], folder, split="test")
    jobs = [RunFolder(path.parent) for path in sorted(folder.glob("*/status.json"))]
    failed = [job.path.name for job in jobs if job.read_status()["status"] != "completed"]
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(jobs)} jobs failed ({', '.join(failed)}); "
            f"why stands in {folder}/<job>/status.json"
        )


if __name__ == "__main__":
    main()
