"""Run folders as bt-train and bt-eval leave them, read for a comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.comparison.agreement import refuse_edited
from braintumor.comparison.names import About, name_runs
from braintumor.config import typed_part
from braintumor.data.manifest import Patients, count_patients
from braintumor.errors import CheckpointError, ConfigError, first_line
from braintumor.runs.folder import RunFolder, once, read_config, run_around
from braintumor.runs.kinds import EvaluationFile
from braintumor.runs.metrics_file import read_metrics
from braintumor.runs.predictions_table import PredictionsTable, read_predictions, read_texts

# N images of an evaluation


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What a run answered, with what its manifest knows of the images.

    table: classes sorted.
    contents: SHA-256 (N,), groups: str (N,), "" for an image of its own; None when the manifest
        does not know every image.
    patients: what the manifest knows of them; nothing where it does not know every image.
    """

    table: PredictionsTable
    contents: np.ndarray | None
    groups: np.ndarray | None
    patients: Patients


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder; what is not in it is an empty mapping.

    split: the evaluation that is read.  name: tells it apart from the others.
    configuration: the name that runs of the same settings share.
    """

    folder: RunFolder
    split: str
    status: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, Any]
    environment: dict[str, Any]
    name: str = ""
    configuration: str = ""

    @property
    def seed(self) -> int | None:
        return self.status.get("seed", self.config.get("seed"))

    @cached_property
    def evaluated(self) -> Evaluated | None:
        """What the run answered; None when it has no predictions.csv.

        Raises CheckpointError when a file is damaged, or is not that of the others.
        """
        folder, manifest = self.folder.evaluation(self.split), self._manifest
        try:
            table = read_predictions(folder, sort_classes=True)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError) as error:
            raise damaged(folder / EvaluationFile.PREDICTIONS, error) from error
        refuse_edited(folder, table, self.metrics)
        if manifest is None or not pd.Index(table.paths).isin(manifest.index).all():
            return Evaluated(table, None, None, Patients(len(table.paths), 0, 0))
        found = manifest.loc[table.paths]
        contents = found["sha256"].to_numpy(dtype=object)
        groups = found["group"].to_numpy(dtype=object)
        return Evaluated(table, contents, groups, count_patients(found))

    @property
    def validation_images(self) -> frozenset[str] | None:
        """SHA-256 of the images that the run was validated on; None when they are not known."""
        manifest = self._manifest
        if manifest is None:
            return None
        return frozenset(manifest["sha256"][manifest["split"] == "val"])

    @cached_property
    def _manifest(self) -> pd.DataFrame | None:
        """manifest.csv by path, as texts; None when there is none.

        A run of folds has none of its own; that of its first part lists the same images.
        """
        paths = [run.manifest for run in (self.folder, *self.folder.parts)]
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            return None
        try:
            table = read_texts(path)
            # predictions.csv spells bytes that are no UTF-8 in this way
            table["path"] = [p.encode("utf-8", "backslashreplace").decode() for p in table["path"]]
            wanted = ["sha256", "group", "patient", "split"]
            return table.drop_duplicates("path").set_index("path")[wanted]
        except (ValueError, KeyError) as error:
            raise damaged(path, error) from error


def read_runs(folders: Sequence[Path], split: str) -> list[Run]:
    """The runs that the folders stand for, each once.

    folders: run folders, or folders of a sweep, which stand for all jobs in them.
    Raises CheckpointError when there is none, or a completed run without this evaluation.
    """
    paths = once(path for folder in folders for path in _runs_in(Path(folder), split))
    if not paths:
        raise CheckpointError("there is no run to compare; give run folders as runs=[RUN1,RUN2]")
    runs = [_read_run(path, split) for path in paths]
    told = zip(run_names(paths), runs, strict=True)
    names = name_runs([About(folder, run.status, run.config) for folder, run in told])
    return [
        dataclasses.replace(run, name=name, configuration=configuration)
        for run, (configuration, name) in zip(runs, names, strict=True)
    ]


def is_comparable(folder: Path) -> bool:
    """Whether a path is a run, or a file of one, or holds the jobs of a sweep."""
    folder = run_around(folder)
    return folder.is_dir() and (_is_run(folder) or any(map(_is_run, folder.iterdir())))


def run_names(runs: Sequence[Path]) -> list[str]:
    """As many trailing parts of each path as tell all runs apart.

    >>> run_names([Path("/runs/x/mine"), Path("/runs/y/mine")])
    ['x/mine', 'y/mine']
    """
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        # A sweep names its jobs 0, 1, 2: alone that says nothing.
        if len(set(names)) == len(names) and not any(name.isdigit() for name in names):
            return names
    return [str(run) for run in runs]


def damaged(
    path: Path,
    reason: object,
    remedy: str = "evaluate that run again, or leave it out of runs=[…]",
) -> CheckpointError:
    """The error for a file of a run that cannot be read."""
    return CheckpointError(f"{path} cannot be read ({first_line(reason)}); {remedy}")


def _read_run(path: Path, split: str) -> Run:
    folder = RunFolder(path)
    measured = folder.evaluation(split)
    metrics = read_metrics(measured) if (measured / EvaluationFile.METRICS).exists() else {}
    status, environment = folder.read_status(), folder.read_environment()
    if not metrics and status.get("status") in (None, "completed"):
        raise CheckpointError(
            f"{path} has no evaluation on {split} ({measured / EvaluationFile.METRICS} is not "
            f"there); run `bt-eval 'ckpt=\"{path}\"' split={split}` first"
        )
    return Run(folder, split, status, _read_config(folder), metrics, environment)


@dataclass(frozen=True)
class _Asked:
    """What is used of config.yaml, beside its words."""

    seed: int | None = None
    fold: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


def _read_config(folder: RunFolder) -> dict[str, Any]:
    """The settings; empty when there are none."""
    if not folder.config.exists():
        return {}
    config = read_config(folder)
    try:
        typed_part(_Asked, config, "")
    except ConfigError as error:
        raise damaged(folder.config, error) from error
    return config


def _runs_in(folder: Path, split: str) -> list[Path]:
    """The folder itself when it is a run, else the jobs of the sweep that it holds.

    A run of folds or seeds stands for itself where it was evaluated (split=pooled), and else
    for its parts.
    """
    folder = run_around(folder)
    if not folder.is_dir():
        raise CheckpointError(f"there is no run folder {folder}; check the path in runs=[…]")
    if _is_run(folder):
        run = RunFolder(folder)
        parts = [part.path for part in run.parts if _is_run(part.path)]
        return [folder] if run.evaluation(split).is_dir() else parts or [folder]
    jobs = [entry for entry in folder.iterdir() if entry.is_dir() and _is_run(entry)]
    if not jobs:
        raise CheckpointError(
            f"{folder} is no run folder (it holds no status.json, config.yaml or eval/) and no "
            "sweep of runs; give a folder that bt-train has written"
        )
    return sorted(jobs, key=lambda job: (len(job.name), job.name))  # Hydra's job 2 before 10


def _is_run(folder: Path) -> bool:
    run = RunFolder(folder)
    return any(path.exists() for path in (run.status, run.config, run.evaluation("any").parent))
