"""bt-train: one run, all its folds and seeds, or the jobs of a sweep."""

from __future__ import annotations

from pathlib import Path

from braintumor.errors import TrainingError
from braintumor.runs.folder import RunFolder
from braintumor.workflows.arguments import Request
from braintumor.workflows.one_run import train_one
from braintumor.workflows.results import Run
from braintumor.workflows.resume import downloads
from braintumor.workflows.trials import has_trials


def train(request: Request) -> Run:
    """Scan, audit, split, train, and evaluate the best checkpoint once on the test split.

    request: the settings of configs/train.yaml; with folds or seeds they stand for several runs in
        one folder, with resume they are those of the interrupted run.
    Raises ConfigError, DataError, CheckpointError, TrainingError, MachineError.
    """
    with downloads(request):
        if not has_trials(request.settings):
            return train_one(request)
        # scipy and more, for which the first step of a single run would wait
        from braintumor.workflows.cross_validation import cross_validate

        return cross_validate(request)


def finish_sweep(folder: Path) -> None:
    """The table over the jobs of a sweep, a row a fold or seed where they have such trials.

    Raises TrainingError when some jobs failed.
    """
    # matplotlib, for which the first step of each job would wait
    from braintumor.workflows.compare import compare_sweep

    jobs = [RunFolder(path.parent) for path in sorted(folder.glob("*/status.json"))]
    trials = [sorted(path.parent for path in job.path.glob("*/status.json")) for job in jobs]
    compare_sweep(
        [run for job, own in zip(jobs, trials, strict=True) for run in own or [job.path]], folder
    )
    failed = [job.path.name for job in jobs if job.read_status()["status"] != "completed"]
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(jobs)} jobs failed ({', '.join(failed)}); "
            f"why stands in {folder}/<job>/status.json"
        )
