"""The entry points of the commands.

Each imports its workflow once its settings have been accepted: --help and mistakes wait for none.
"""

from __future__ import annotations

from pathlib import Path

from braintumor.cli.shell import INTERRUPTED, command
from braintumor.progress import waiting
from braintumor.runs.folder import open_run
from braintumor.workflows.arguments import Request
from braintumor.workflows.console import log


def bt_train() -> None:
    """Scan, split, train, evaluate the best checkpoint once on test."""
    command("train", train, after_sweep=_after_sweep)


def train(request: Request) -> None:
    """Train what the settings say; under -m one job of a sweep."""
    if resume := request.settings["resume"]:
        from braintumor.workflows.sweep import go_on, is_sweep  # Hydra's sweeper

        if is_sweep(resume := Path(resume)):
            go_on(request)
            return
        open_run(resume)
    with waiting("starting"):
        from braintumor.workflows.train import train as workflow  # torch

    workflow(request)


def _after_sweep(folder: Path, code: int) -> None:
    if code == INTERRUPTED:
        from braintumor.workflows.sweep import describe_left  # as above

        log.warning("%s", describe_left(folder))
        return
    with waiting("starting"):
        from braintumor.workflows.compare import finish_sweep  # matplotlib, once jobs have ended

    finish_sweep(folder)


def bt_eval() -> None:
    """A checkpoint on its own data set or on any other; several on several as a matrix."""
    command("eval", _evaluate)


def _evaluate(request: Request) -> None:
    with waiting("starting"):
        from braintumor.workflows.evaluate import evaluate  # pandas

    evaluate(request)


def bt_predict() -> None:
    """Classify pictures that have no labels."""
    command("predict", _predict)


def _predict(request: Request) -> None:
    with waiting("starting"):
        from braintumor.workflows.predict import predict  # pandas

    predict(request)


def bt_data() -> None:
    """Scan, audit, split and explore a data set."""
    command("data", _explore)


def _explore(request: Request) -> None:
    with waiting("starting"):
        from braintumor.workflows.data import explore  # scikit-learn

    explore(request)


def bt_compare() -> None:
    """Finished runs side by side."""
    command("compare", _compare)


def _compare(request: Request) -> None:
    with waiting("starting"):
        from braintumor.workflows.compare import compare  # matplotlib

    compare(request)
