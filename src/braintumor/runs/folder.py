"""The run folder: what lies where, and in which state the run is."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from braintumor.errors import CheckpointError
from braintumor.files import write_atomic, write_json
from braintumor.records import EpochRecord

if TYPE_CHECKING:
    import pandas as pd

State = Literal["running", "completed", "interrupted", "failed"]


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; making one touches no disk."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.csv"

    @property
    def history(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def log(self) -> Path:
        return self.path / "train.log"

    @property
    def best(self) -> Path:
        return self.path / "best.safetensors"

    @property
    def selected(self) -> Path:
        """Under train.refit: the weights that validation chose, before the refit."""
        return self.path / "selected.safetensors"

    @property
    def last(self) -> Path:
        return self.path / "last.ckpt"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    def evaluation(self, name: str) -> Path:
        """Folder of one evaluation: the split, or <data>_<split> for another data set."""
        return self.path / "eval" / name

    def clear(self) -> bool:
        """Remove what a former run left here, keeping foreign files; true if there was any."""
        names = (
            "status.json", "best.safetensors", "selected.safetensors",
            "last.ckpt", "previous.ckpt", "next.ckpt",
        )  # fmt: skip
        old = [self.path / name for name in names if (self.path / name).exists()]
        for path in [*old, self.history, self.log]:
            path.unlink(missing_ok=True)
        for folder in ("eval", "refit", "tensorboard", "plots"):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        return bool(old)

    def read_status(self) -> dict[str, Any]:
        """The content of status.json; empty when there is none."""
        return json.loads(self.status.read_text()) if self.status.is_file() else {}

    def set_status(self, state: State, why: str | None = None, **facts: Any) -> None:
        """Record the state; facts join those recorded before."""
        known = self.read_status() | facts
        known |= {"status": state, "why": why, "updated": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        write_json(self.status, known)

    def append_history(self, record: EpochRecord) -> None:
        """Add a row to metrics.csv."""
        row = dataclasses.asdict(record)
        is_new = not self.history.exists()
        with self.history.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if is_new:
                writer.writeheader()
            writer.writerow(row)

    def cut_history(self, epochs: int) -> None:
        """Drop rows after `epochs`: a resumed run writes them again."""
        if self.history.exists():
            rows = self.read_history()
            write_atomic(self.history, rows[rows["epoch"] <= epochs].to_csv(index=False))

    def read_history(self) -> pd.DataFrame:
        """metrics.csv, a row per epoch; columns are the fields of EpochRecord."""
        import pandas as pd

        return pd.read_csv(self.history)


def open_run(path: str | Path) -> RunFolder:
    """A run that exists. Raises CheckpointError when the folder does not hold one."""
    run = RunFolder(Path(path).expanduser())
    if not run.path.is_dir():
        raise CheckpointError(f"there is no run folder {run.path}{folders_beside(run.path)}")
    if not run.config.is_file():
        raise CheckpointError(f"{run.path} is not a run folder: it has no config.yaml")
    return run


def folders_beside(path: Path) -> str:
    """What an error adds on a path that is not there: the last folders of its parent, by name."""
    parent = path.parent
    names = sorted(p.name for p in parent.glob("*") if p.is_dir())[-5:] if parent.is_dir() else []
    return f"; in {parent} there are: {', '.join(names)}" if names else ""


def read_config(run: RunFolder) -> dict[str, Any]:
    """The resolved settings of a run, as plain dicts and lists.

    Raises CheckpointError when config.yaml is damaged.
    """
    import yaml

    try:
        content = yaml.safe_load(run.config.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{run.config} is not YAML ({' '.join(str(error).split())})"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{run.config} holds no settings; copy it from the run again")
    return dict(content)


def make_run_folder(parent: Path, data: str, model: str) -> Path:
    """Make <date>_<time>_<data>_<model> below parent, with a number behind it when taken."""
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{data}_{model}"
    for number in itertools.count(1):
        path = parent / (name if number == 1 else f"{name}_{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:  # a run that began in the same second
            continue
        return path
    raise AssertionError("unreachable")
