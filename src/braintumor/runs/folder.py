"""The run folder: what lies where, and in which state the run is."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal

from braintumor.config import typed_part
from braintumor.errors import CheckpointError, ConfigError, DataError, MachineError
from braintumor.files import read_json, read_yaml, write_json
from braintumor.privacy import start_of
from braintumor.ranges import Within
from braintumor.runs.kinds import RUN, SWEEP, EvaluationFile

log = logging.getLogger(__name__)

State = Literal["running", "completed", "interrupted", "failed"]
_Whole = Annotated[int, Within(-(2**62), 2**62)]  # what tables hold
_PART = re.compile(r"\w[\w.-]{0,99}", re.ASCII)  # name of a folder within that of its run
_PARTS = (*RUN.files, *SWEEP.files, "eval", "eval/*", "plots")
_TOLD_BY = ("status.json", "best.safetensors", "multirun.yaml")  # each tells a run or a sweep


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

    def __post_init__(self) -> None:
        if not all(map(_PART.fullmatch, self.parts)):
            raise ConfigError("its parts are no names of folders in it")


@dataclass(frozen=True)
class _Environment:
    """What readers of environment.json use."""

    command: list[str] = field(default_factory=list)
    longer: list[list[str]] = field(default_factory=list)
    tested: _Whole = 0
    versions: dict[str, str] = field(default_factory=dict)
    working_directory: str | None = None


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
        remedy = "copy it again, or remove it to resume"
        return _read_told(self.status, _Status, remedy, with_null=False)

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
        return _read_told(self.environment, _Environment, "remove it, and repeat the command")

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


def _read_told(
    path: Path, kind: type[Any], remedy: str, *, with_null: bool = True
) -> dict[str, Any]:
    """What a file of a run says, which has to be as `kind` wants it; empty when there is none."""
    try:
        known = read_json(path) if path.is_file() else {}
        known = {k: v for k, v in known.items() if with_null or v is not None}
        typed_part(kind, known, "")
    except (DataError, ConfigError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); {remedy}") from error
    return known


def open_run(path: str | Path) -> RunFolder:
    """A run that exists. Raises CheckpointError when the folder does not hold one."""
    run = RunFolder(Path(path).expanduser())
    if not run.path.is_dir():
        raise CheckpointError(f"there is no run folder {run.path}{folders_beside(run.path)}")
    if not run.config.is_file():
        raise CheckpointError(f"{run.path} is not a run folder: it has no config.yaml")
    return run


def run_around(path: Path) -> Path:
    """The run or sweep of which a path names a file, such as last.ckpt; another path as it is."""
    for folder in path.parents:
        inside = path.relative_to(folder).as_posix()
        if any(fnmatch(inside, part) for part in _PARTS) and any(
            (folder / name).is_file() for name in _TOLD_BY
        ):
            log.info("%s is part of a run, which is taken: %s", path, folder)
            return folder
    return path


def once(paths: Iterable[Path]) -> list[Path]:
    """Each place once, in order, by its first name; says which have several."""
    names: dict[Path, list[str]] = {}
    for path in paths:
        names.setdefault(path.resolve(), []).append(str(path))
    for first, *others in names.values():
        if others:
            log.warning("%s is named %d times and counts once", first, 1 + len(others))
    return [Path(first) for first, *_ in names.values()]


def folders_beside(path: Path) -> str:
    """What an error adds on a path that is not there: the last runs beside it, or that around."""
    names = sorted(p.name for p in path.parent.glob("*") if (p / "status.json").is_file())[-5:]
    if not names and (path.parent / "status.json").is_file():
        return f"; the run is {path.parent}"
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
