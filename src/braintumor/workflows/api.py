"""What the commands do, for notebooks and scripts: the same words, results in their place."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.privacy import set_privacy
from braintumor.runtime import Precision, configure_process
from braintumor.workflows.compose import compose
from braintumor.workflows.console import log_to_console

if TYPE_CHECKING:
    import pandas as pd

    from braintumor.data.dataset import Dataset
    from braintumor.workflows.arguments import Request
    from braintumor.workflows.load import LoadedModel
    from braintumor.workflows.results import (
        ComparisonResult,
        CrossDatasetResult,
        EvaluationResult,
        Run,
        TuningResult,
    )

# Each workflow is imported when it is called: torch and matplotlib take seconds, and nobody needs
# all of them.


def train(*words: str, **settings: Any) -> Run:
    """Train a model and evaluate it once on the test split, as bt-train does.

        run = bt.train("data.root=mri", data="folder", model="resnet50_cbam", train={"epochs": 20})
        run.metrics["all"]["accuracy"], run.predictions, run.history, run.report

    words, settings: those of bt-train, see `compose`; `resume="runs/x"` goes on with a run.
    Raises ConfigError, DataError, CheckpointError, TrainingError or MachineError, each with what
    is wrong and what to do.
    """
    return _run("sweep", "train_or_go_on", _request("train", words, settings))


def tune(*words: str, **settings: Any) -> TuningResult:
    """Search for better settings of `train`, judged on validation, as bt-tune does.

    found = bt.tune("data.root=mri", data="folder", model="resnet50", tune={"trials": 20})
    found.best["settings"], found.best["command"], found.trials, found.page
    """
    return _run("tune", "tune", _request("tune", words, settings))


def evaluate(*words: str, **settings: Any) -> EvaluationResult | CrossDatasetResult:
    """Evaluate a checkpoint on its own data set or another, as bt-eval does.

        bt.evaluate(ckpt="runs/x", data="folder", split="all", **{"data.root": "other"}).metrics

    With on=[…] every checkpoint on every data set: a table.
    """
    return _run("evaluate", "evaluate", _request("eval", words, settings))


def predict(*words: str, **settings: Any) -> pd.DataFrame:
    """Classify pictures and write predictions.csv with heat maps, as bt-predict does.

        bt.predict(ckpt="runs/x", input="folder")

    `load` is for pictures in memory, and writes nothing.
    """
    return _run("predict", "predict", _request("predict", words, settings))


def read_data(*words: str, **settings: Any) -> Dataset:
    """Read, audit and divide a data set, with the settings of bt-data; nothing is written
    but the cache.

    data = bt.read_data("data.root=mri", data="folder")
    data.manifest, data.pixels, data.classes
    """
    return _run("explore", "read_only", _request("data", words, settings))


def compare(*words: str, **settings: Any) -> ComparisonResult:
    """Compare finished runs, as bt-compare does: runs=[…] of folders, patterns or Runs.

    bt.compare(runs=["runs/a", "runs/b"]).leaderboard
    """
    return _run("compare", "compare", _request("compare", words, settings))


def load(
    path: str | Path | Run,
    *,
    device: str = "auto",
    precision: Precision | None = None,
    batch_size: int = 64,
    views: int | None = None,
) -> LoadedModel:
    """The trained model of a run, or of its best.safetensors, ready for pictures.

        classifier = bt.load("runs/x")
        classifier.predict(["a.png", array, "folder/"])   # DataFrame: path, pred, prob_<class>, …
        classifier.heatmap("a.png")                       # float array in [0, 1]

    device: auto, cpu, cuda, cuda:N or mps.  precision: None: fp32, as the run was evaluated.
    views: None: as the run was evaluated.
    batch_size: pictures at once.
    Raises CheckpointError when there is none or it is damaged.
    """
    configure_process()
    from braintumor.workflows.load import Use  # see above
    from braintumor.workflows.load import load as workflow

    folder: Any = getattr(path, "folder", path)
    return workflow(folder, Use(device, precision, batch_size, views))


def _run(module: str, function: str, request: Request) -> Any:
    return getattr(importlib.import_module(f"braintumor.workflows.{module}"), function)(request)


def _request(command: str, words: tuple[str, ...], settings: dict[str, Any]) -> Request:
    log_to_console()
    configure_process()  # before torch allocates
    request = compose(command, words, settings)
    set_privacy(request.settings)
    return request
