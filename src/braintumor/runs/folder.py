"""The run folder: what lies where, and in which state the run is.

Also what every other command leaves in a folder: the names of its files.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from braintumor.config import Within, typed
from braintumor.errors import CheckpointError, ConfigError, DataError, MachineError
from braintumor.files import read_json, read_yaml, write_json
from braintumor.privacy import start_of

State = Literal["running", "completed", "interrupted", "failed"]


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

_Whole = Annotated[int, Within(-(2**62), 2**62)]  # what tables hold
_PART = re.compile(r"\w[\w.-]{0,99}", re.ASCII)  # name of a folder within that of its run


@dataclass(frozen=True)
class _Status:
    """What readers of status.json use."""

    status: State = "running"
    why: str = ""
    parts: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    model_name: str = ""
    data_name: str = ""
    best_epoch: _Whole = 0
    seed: _Whole = 0
    parameters: _Whole = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Environment:
    """What readers of environment.json use."""

    command: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    working_directory: str | None = None


def _check(kind: type[Any], told: Mapping[str, Any]) -> None:
    """Raises ConfigError where what readers use is of another type."""
    used = {known.name for known in dataclasses.fields(kind)}
    typed(kind, {k: v for k, v in told.items() if k in used}, "")


@dataclass
class RunFolder:
    """Paths of one run; making one touches no disk."""

    path: Path

    def __post_init__(self) -> None:
        self.config = self.path / "config.yaml"
        self.status = self.path / "status.json"
        self.environment = self.path / "environment.json"
        self.manifest = self.path / "manifest.csv"
        self.history = self.path / "metrics.csv"
        self.log = self.path / "train.log"
        self.best = self.path / "best.safetensors"
        # under train.refit: the weights that validation chose, before the refit
        self.selected = self.path / "selected.safetensors"
        # a copy of what the run began with, under init=
        self.init = self.path / "init.safetensors"
        self.last = self.path / "last.ckpt"
        self.plots = self.path / "plots"

    def evaluation(self, name: str) -> Path:
        """Folder of one evaluation: the split, or <data>_<split> for another data set."""
        return self.path / "eval" / name

    def read_status(self) -> dict[str, Any]:
        """The content of status.json, less what is null; empty when there is none.

        Raises CheckpointError when it is damaged, or names parts that lie elsewhere.
        """
        if not self.status.is_file():
            return {}
        try:
            known = {k: v for k, v in read_json(self.status).items() if v is not None}
            _check(_Status, known)
            if not all(map(_PART.fullmatch, known.get("parts", ()))):
                raise DataError("its parts are no names of folders in it")
        except (DataError, ConfigError) as error:
            raise CheckpointError(
                f"{self.status} is damaged ({error}); copy it again, or remove it to resume"
            ) from error
        return known

    @property
    def state(self) -> str | None:
        """How status.json says that it ended, or that it runs; None when there is none."""
        return self.read_status().get("status")

    @property
    def is_complete(self) -> bool:
        """Whether status.json says that it has been trained and evaluated."""
        return self.state == "completed"

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do: what a status.json that was copied says is not enough.

        Where there are test images, it has been evaluated on them.
        """
        figures = self.evaluation("test") / EvaluationFile.METRICS
        has_test = self.manifest.is_file() and b'"test"' in self.manifest.read_bytes()
        return self.is_complete and (figures.is_file() or not has_test)

    @property
    def parts(self) -> list[RunFolder]:
        """The runs of its folds and seeds, in order; [] when it is one run."""
        return [RunFolder(self.path / name) for name in self.read_status().get("parts", ())]

    def read_environment(self) -> dict[str, Any]:
        """The content of environment.json; empty when there is none.

        Raises CheckpointError when it is damaged.
        """
        try:
            known = read_json(self.environment) if self.environment.is_file() else {}
            _check(_Environment, known)
        except (DataError, ConfigError) as error:
            raise CheckpointError(
                f"{self.environment} is damaged ({error}); remove it, and repeat the command"
            ) from error
        return known

    def require(self) -> None:
        """Raises MachineError where the folder is no longer there, or is another: it was moved."""
        if not self.config.is_file():
            raise MachineError(
                f"{self.path} has been moved or removed while this command was writing there; put "
                "it back, or name where it is now, and go on with: bt-train resume=FOLDER"
            )

    def set_status(self, state: State, why: str | None = None, **facts: Any) -> None:
        """Record the state; facts join those recorded before.

        Raises MachineError where there is no such folder (any more).
        """
        if not self.path.is_dir():
            self.require()
        known = self.read_status() | facts
        known |= {"status": state, "why": why, "updated": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        write_json(self.status, known)


def open_run(path: str | Path) -> RunFolder:
    """A run that exists. Raises CheckpointError when the folder does not hold one."""
    run = RunFolder(Path(path).expanduser())
    if not run.path.is_dir():
        raise CheckpointError(f"there is no run folder {run.path}{folders_beside(run.path)}")
    if not run.config.is_file():
        raise CheckpointError(f"{run.path} is not a run folder: it has no config.yaml")
    return run


def folders_beside(path: Path) -> str:
    """What an error adds on a path that is not there: the last runs beside it, by name."""
    names = sorted(p.name for p in path.parent.glob("*") if (p / "status.json").is_file())[-5:]
    return f"; runs in {path.parent}: {', '.join(names)}" if names else ""


def read_config(run: RunFolder) -> dict[str, Any]:
    """The resolved settings of a run, as plain dicts and lists.

    Raises CheckpointError when config.yaml is damaged.
    """
    try:
        content = read_yaml(run.config)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise CheckpointError(f"{run.config} holds no settings; copy it from the run again")
    return dict(content)


def begun_in(run: RunFolder) -> Path | None:
    """The folder where the command of the run was typed; None where that is not known."""
    return start_of(run.read_environment().get("working_directory"), run.path)


def run_name(data: str, model: str) -> str:
    """The name of a run's folder where the user gives none: <date>_<time>_<data>_<model>."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{data}_{model}"
