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


class EvaluationFile:
    """The names of what lies in the folder of an evaluation."""

    METRICS = "metrics.json"
    CLASSIFICATION_REPORT = "classification_report.txt"
    CONFUSION_MATRIX = "confusion_matrix.csv"
    CONFUSION_MATRIX_PICTURE = "confusion_matrix.png"
    PREDICTIONS = "predictions.csv"
    ROC = "roc.png"
    PRECISION_RECALL = "pr.png"
    CALIBRATION = "calibration.png"
    EXAMPLES = "examples.png"
    REPORT = "report.html"
    BASELINES = "floors.csv"
    BASELINES_PICTURE = "floors.png"
    DECISIONS = "decisions.png"


_EVALUATION_FILES = tuple(file for name, file in vars(EvaluationFile).items() if name.isupper())


def overlay_file(index: int) -> str:
    """The picture with its heat map of one image, by number: names belong to strangers."""
    return f"cam/{index:05d}.png"


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
EVALUATION = Kind("an evaluation", (*_EVALUATION_FILES, _OVERLAYS))
PREDICTIONS = Kind("a set of predictions", ("predictions.csv", _OVERLAYS))
DATA = Kind("a data report", _DATA_FILES)
COMPARISON = Kind("a comparison", _COMPARISON_FILES)
MATRIX = Kind("a matrix", ("matrix.csv", "matrix.md", "matrix.png"))
SWEEP = Kind("a sweep", ("multirun.yaml",), key="hydra.sweep.dir")
