"""bt-train: one run, or all its folds and seeds."""

from __future__ import annotations

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
