"""What every command leaves in a folder: the names of its files, and which are its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a command leaves in a folder: who removes or replaces work of ours touches no more.

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
_WRONG = "wrong/[0-9][0-9][0-9][0-9]*_*_as_*.png"
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
    BASELINE_ANSWERS = "floor_answers.csv"
    BASELINES_PICTURE = "floors.png"
    DECISIONS = "decisions.png"
    ERRORS = "errors.csv"


class PredictionsFile:
    """The names of what bt-predict leaves beside predictions.csv and cam/."""

    PAGE = "predictions.html"
    UNREADABLE = "unreadable.csv"


class TuningFile:
    """The names of what lies in the folder of a search."""

    STUDY = "study.journal"
    TRIALS = "trials.csv"
    BEST = "best.json"
    PAGE = "tuning.html"
    FINAL = "final"  # the run with the best settings


def overlay_file(index: int) -> str:
    """The picture with its heat map of one image, by number: names belong to strangers."""
    return f"cam/{index:05d}.png"


def wrong_file(rank: int, true: str, pred: str) -> str:
    """The picture of an error, by its place from 1, its class and what it was taken for."""
    return f"wrong/{rank:04d}_{true}_as_{pred}.png"


_EVALUATION_FILES = tuple(file for name, file in vars(EvaluationFile).items() if name.isupper())
JOBS = "jobs.csv"  # which job ran where and when, of a sweep or of folds and seeds
STATES = ("next.ckpt", "last.ckpt", "previous.ckpt")  # the newest first
_EVENTS = "tensorboard/events.out.tfevents.*"
_RUN_FILES = (
    "config.yaml", "status.json", "environment.json", "metrics.csv", "train.log", "traceback.txt",
    JOBS,
    "best.safetensors", "selected.safetensors", "init.safetensors", *STATES, _EVENTS, *_DATA_FILES,
    "refit/metrics.csv", *(f"refit/{name}" for name in STATES), f"refit/{_EVENTS}",
    *(f"summary.{suffix}" for suffix in ("csv", "json", "md")),
)  # fmt: skip
_COMPARISON_FILES = (
    "comparison.csv", "leaderboard.csv", "leaderboard.tex", "pairs.csv", "comparison.md",
    "comparison.html", "comparison.png", "pareto.png",
)  # fmt: skip

RUN = Kind("a training run", _RUN_FILES)
EVALUATION = Kind("an evaluation", (*_EVALUATION_FILES, _OVERLAYS, _WRONG))
PREDICTIONS = Kind(
    "a set of predictions",
    (EvaluationFile.PREDICTIONS, PredictionsFile.PAGE, PredictionsFile.UNREADABLE, _OVERLAYS),
)
DATA = Kind("a data report", _DATA_FILES)
COMPARISON = Kind("a comparison", _COMPARISON_FILES)
MATRIX = Kind("a matrix", ("matrix.csv", "matrix.md", "matrix.png"))
TUNING = Kind(
    "a search",
    (
        *(TuningFile.STUDY + end for end in ("", ".lock", ".workers/*.lock")),
        TuningFile.TRIALS, TuningFile.BEST, TuningFile.PAGE,
    ),
)  # fmt: skip
SWEEP = Kind("a sweep", ("multirun.yaml", JOBS), key="hydra.sweep.dir")
