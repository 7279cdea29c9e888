"""Ours as a user runs it: main() of bt-train and bt-eval, with clocks around their own steps."""

from __future__ import annotations

import csv
import functools
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.job import Job

SETTINGS = (
    "bt-train and bt-eval with augment=light, train.imbalance=none, train.ema_decay=0, "
    "loss.label_smoothing=0, optimizer.lr as the peers, scheduler=constant, eval.views=1, else the "
    "defaults; the search for copies, checkpoints, report and Grad-CAM are part of its job"
)

# the width of a hidden layer, and dropout: what a sweep over heads varies
HEADS = {
    12: ("model.head.hidden=null,64,128,256", "model.head.dropout=0.1,0.2,0.5"),
    2: ("model.head.hidden=null,64",),
}


class Clocks:
    """Seconds of every call of chosen functions of the commands, by the name of the function."""

    def __init__(self) -> None:
        self.spans: dict[str, list[tuple[float, float]]] = {}
        self._undo: list[Callable[[], None]] = []

    def watch(self, module: str, name: str) -> None:
        """Raises AttributeError when the command has no such step any more."""
        place: Any = importlib.import_module(module)
        for part in name.split(".")[:-1]:
            place = getattr(place, part)
        last = name.split(".")[-1]
        plain = getattr(place, last)

        @functools.wraps(plain)
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.time()
            result = plain(*args, **kwargs)
            self.spans.setdefault(name, []).append((began, time.time()))
            return result

        setattr(place, last, timed)
        self._undo.append(lambda: setattr(place, last, plain))

    def first(self, name: str) -> float:
        """Seconds of the first call."""
        began, ended = self.spans[name][0]
        return ended - began

    def stop(self) -> None:
        for undo in self._undo:
            undo()


def measure(job: Job) -> dict[str, Any]:
    """Run the command of this job in this process; what was measured."""
    from braintumor.runtime import keep_big_blocks

    keep_big_blocks()  # as the commands do, before the imports that the clocks bring
    clocks = Clocks()
    try:
        return {"frozen": _train, "full": _train, "eval": _eval, "sweep": _sweep}[job.kind](
            job, clocks
        )
    finally:
        clocks.stop()


def _train(job: Job, clocks: Clocks) -> dict[str, Any]:
    clocks.watch("braintumor.workflows.one_run", "setup")
    clocks.watch("braintumor.workflows.one_run", "fit_and_save")
    run = Path(job.place) / "run"
    _command("train", [*training_options(job), f"run_dir={quoted(run)}"])
    images = sum(row["split"] == "train" for row in _rows(run / "manifest.csv"))
    epochs = []
    for row in _rows(run / "metrics.csv"):
        train_s = images / float(row["images_per_s"])
        epochs.append(
            {
                "train_s": train_s,
                "val_s": float(row["seconds"]) - train_s,
                "images": images,
                "loss": float(row["train_loss"]),
                "val_accuracy": float(row["val_accuracy"]),
            }
        )
    prepare, train = clocks.first("setup"), clocks.first("fit_and_save")
    return {
        "seconds": prepare + train,
        "before_s": clocks.spans["fit_and_save"][0][0] - job.born,
        "stages": {"prepare": prepare, "train": train},
        "images": images,
        "epochs": epochs,
    }


def _eval(job: Job, clocks: Clocks) -> dict[str, Any]:
    """From files to predictions; the report comes after, and is in the seconds of the process."""
    clocks.watch("braintumor.workflows.evaluate", "read_again")
    clocks.watch("braintumor.evaluation.evaluate", "load_split")
    clocks.watch("braintumor.evaluation.evaluate", "predict_with_features")
    out = Path(job.place) / "eval"
    arguments = [
        f"ckpt={quoted(job.ckpt)}", f"device={job.device}", f"batch_size={job.batch_size}",
        "eval.views=1", f"run_dir={quoted(out)}",
    ]  # fmt: skip
    _command("eval", arguments)
    steps = ("read_again", "load_split", "predict_with_features")
    stages = {name: clocks.first(name) for name in steps}
    (predictions,) = out.rglob("predictions.csv")
    answers = _rows(predictions)
    right = sum(row["true"] == row["pred"] for row in answers)
    return {
        "seconds": sum(stages.values()),
        "before_s": clocks.spans["read_again"][0][0] - job.born,
        "stages": stages,
        "images": len(answers),
        "accuracy": right / len(answers),
        "epochs": [],
    }


def _sweep(job: Job, _: Clocks) -> dict[str, Any]:
    out = Path(job.place) / "sweep"
    arguments = [*training_options(job), *HEADS[job.heads], f"hydra.sweep.dir={quoted(out)}"]
    began = time.time()
    _command("train", ["-m", *arguments])
    runs = sorted(path.parent for path in out.glob("*/status.json"))
    if len(runs) != job.heads:
        raise RuntimeError(f"the sweep left {len(runs)} runs, not {job.heads}")
    images = sum(row["split"] == "train" for row in _rows(runs[0] / "manifest.csv"))
    return {
        "seconds": time.time() - began,
        "before_s": began - job.born,
        "images": images,
        "epochs": [],
    }


def training_options(job: Job) -> list[str]:
    """The recipe that all contestants follow, in words of bt-train."""
    attention = "" if job.attention == "none" else f"_{job.attention}"
    trainable = "all" if job.kind == "full" else "head"
    return [
        "data=folder", f"data.root={quoted(job.root)}", f"data.image_size={job.px}",
        f"data.limit={job.limit or 'null'}", f"model={job.model}{attention}",
        f"model.backbone.weights={quoted(job.weights)}", f"device={job.device}",
        f"train.phases=[{{epochs: {job.epochs}, trainable: {trainable}}}]",
        f"train.batch_size={job.batch_size}", "train.imbalance=none", "train.ema_decay=0",
        "train.early_stopping.patience=null", "augment=light", "loss.label_smoothing=0",
        "optimizer=adamw", f"optimizer.lr={job.lr}", "scheduler=constant", "eval.views=1",
        *job.options,
    ]  # fmt: skip


def quoted(value: str | Path) -> str:
    """As Hydra's grammar reads it back, whatever the path holds."""
    text = str(value)
    if text in ("none", "imagenet"):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _command(name: str, arguments: list[str]) -> None:
    main = importlib.import_module(f"braintumor.cli.{name}").main
    before, sys.argv = sys.argv, [f"bt-{name}", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"bt-{name} left with exit code {end.code}") from end
    finally:
        sys.argv = before


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
