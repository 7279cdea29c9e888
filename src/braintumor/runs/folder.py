"""The run folder: what lies where, and in which state the run is."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from braintumor.errors import CheckpointError
from braintumor.files import write_atomic, write_json
from braintumor.records import EpochRecord

if TYPE_CHECKING:
    import pandas as pd

METRICS_FILE, PREDICTIONS_FILE = "metrics.json", "predictions.csv"  # of an evaluation
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

    def read_status(self) -> dict[str, Any]:
        """The content of status.json; empty when there is none."""
        return json.loads(self.status.read_text()) if self.status.is_file() else {}

    def set_status(self, state: State, why: str | None = None, **facts: Any) -> None:
        """Record the state; facts join those recorded before."""
        known = self.read_status() | facts
        known |= {"status": state, "why": why, "updated": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        write_json(self.status, known)

    def append_history(self, record: EpochRecord) -> None:
        """Add a row to metrics.csv: whole or not at all."""
        self._write_rows([*self._rows(), dataclasses.asdict(record)])

    def cut_history(self, epochs: int) -> None:
        """Drop rows after `epochs`: a resumed run writes them again."""
        rows = self._rows()
        kept = [row for row in rows if int(row["epoch"]) <= epochs]
        if not kept:
            self.history.unlink(missing_ok=True)
        elif len(kept) < len(rows):
            self._write_rows(kept)

    def record_of(self, epoch: int) -> EpochRecord:
        """The row of an epoch, to the last digit."""
        (row,) = (row for row in self._rows() if int(row["epoch"]) == epoch)
        read: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "bool": "True".__eq__}
        fields = dataclasses.fields(EpochRecord)
        return EpochRecord(**{f.name: read[str(f.type)](row[f.name]) for f in fields})

    def _rows(self) -> list[dict[str, Any]]:
        if not self.history.exists():
            return []
        with self.history.open(newline="") as file:
            return list(csv.DictReader(file))

    def _write_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self.history, text.getvalue())

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


def run_name(data: str, model: str) -> str:
    """The name of a run's folder where the user gives none: <date>_<time>_<data>_<model>."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{data}_{model}"
