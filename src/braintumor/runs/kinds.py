"""What each command leaves in a folder: the names of its files, and nothing beside them.

Who removes or replaces work of ours removes these, and touches no other file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a command leaves in a folder.

    name: as messages call it.  files: glob patterns of all that it writes there, relative to it.
    key: the setting that names another folder.
    """

    name: str
    files: tuple[str, ...]
    key: str = "run_dir"


_IMAGES = ("class_balance", "image_sizes", "samples", "copies", "curves", "floors")
_DATA_FILES = (
    "manifest.csv", "classes.csv", "image_sizes.csv", "audit.json", "duplicates.csv", "floors.csv",
    *(f"plots/{name}.png" for name in _IMAGES),
)  # fmt: skip
_OVERLAYS = "cam/[0-9][0-9][0-9][0-9][0-9]*.png"
EVALUATION_FILES = (
    "metrics.json", "classification_report.txt", "confusion_matrix.csv", "confusion_matrix.png",
    "predictions.csv", "roc.png", "pr.png", "calibration.png", "examples.png", "report.html",
    "floors.csv", "floors.png", "decisions.png", _OVERLAYS,
)  # fmt: skip
STATES = ("last.ckpt", "previous.ckpt", "next.ckpt")
_EVENTS = "tensorboard/events.out.tfevents.*"
_RUN_FILES = (
    "config.yaml", "status.json", "environment.json", "metrics.csv", "train.log", "traceback.txt",
    "best.safetensors", "selected.safetensors", *STATES, _EVENTS, *_DATA_FILES,
    "refit/metrics.csv", *(f"refit/{name}" for name in STATES), f"refit/{_EVENTS}",
    *(f"summary.{suffix}" for suffix in ("csv", "json", "md")),
)  # fmt: skip
_COMPARISON_FILES = (
    *(f"{name}.csv" for name in ("comparison", "leaderboard", "pairs")),
    "comparison.md", "comparison.html", "comparison.png", "pareto.png",
)  # fmt: skip

RUN = Kind("a training run", _RUN_FILES)
EVALUATION = Kind("an evaluation", EVALUATION_FILES)
PREDICTIONS = Kind("a set of predictions", ("predictions.csv", _OVERLAYS))
DATA = Kind("a data report", _DATA_FILES)
COMPARISON = Kind("a comparison", _COMPARISON_FILES)
MATRIX = Kind("a matrix", ("matrix.csv", "matrix.md", "matrix.png"))
SWEEP = Kind("a sweep", ("multirun.yaml",), key="hydra.sweep.dir")
