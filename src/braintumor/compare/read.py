"""Run folders as bt-train and bt-eval leave them, read for a comparison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from braintumor.errors import CheckpointError


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder; what is not in it is an empty mapping.

    name: tells it apart from the others.  split: the evaluation that is read.
    """

    path: Path
    name: str
    split: str
    status: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, Any]
    environment: dict[str, Any]

    @property
    def evaluation(self) -> Path:
        return self.path / "eval" / self.split

    @property
    def seed(self) -> int | None:
        return self.status.get("seed", self.config.get("seed"))


def read_runs(folders: Sequence[Path], split: str) -> list[Run]:
    """The runs that the folders stand for, each once.

    folders: run folders, or folders of a sweep, which stand for all jobs in them.
    Raises CheckpointError when there is none, or a completed run without this evaluation.
    """
    found = [path for folder in folders for path in _runs_in(Path(folder), split)]
    paths = list({path.resolve(): path for path in found}.values())
    if not paths:
        raise CheckpointError("there is no run to compare; give run folders as runs=[RUN1,RUN2]")
    return [_read(path, name, split) for path, name in zip(paths, run_names(paths), strict=True)]


def is_comparable(folder: Path) -> bool:
    """Whether a folder is a run, or holds the jobs of a sweep."""
    return folder.is_dir() and (_is_run(folder) or any(map(_is_run, folder.iterdir())))


def run_names(runs: Sequence[Path]) -> list[str]:
    """As many trailing parts of each path as tell all runs apart."""
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        # A sweep names its jobs 0, 1, 2: alone that says nothing.
        if len(set(names)) == len(names) and not any(name.isdigit() for name in names):
            return names
    return [str(run) for run in runs]


def damaged(path: Path, reason: object) -> CheckpointError:
    """The error for a file of a run that cannot be read."""
    first = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    return CheckpointError(
        f"{path} cannot be read ({first}); evaluate that run again, or leave it out of runs=[…]"
    )


def _read(path: Path, name: str, split: str) -> Run:
    run = Run(
        path,
        name,
        split,
        status=_read_json(path / "status.json"),
        config=_read_config(path / "config.yaml"),
        metrics=_read_json(path / "eval" / split / "metrics.json"),
        environment=_read_json(path / "environment.json"),
    )
    if not run.metrics and run.status.get("status") in (None, "completed"):
        raise CheckpointError(
            f"{path} has no evaluation on {split} ({run.evaluation / 'metrics.json'} is not "
            f"there); run `bt-eval 'ckpt=\"{path}\"' split={split}` first"
        )
    return run


def _runs_in(folder: Path, split: str) -> list[Path]:
    """The folder itself when it is a run, else the jobs of the sweep that it holds.

    A run of folds or seeds stands for itself where it was evaluated (split=pooled), and else
    for its parts.
    """
    if not folder.is_dir():
        raise CheckpointError(f"there is no run folder {folder}; check the path in runs=[…]")
    if _is_run(folder):
        named = _read_json(folder / "status.json").get("parts", [])
        parts = [part for part in (folder / str(name) for name in named) if _is_run(part)]
        return [folder] if (folder / "eval" / split).is_dir() else parts or [folder]
    jobs = [entry for entry in folder.iterdir() if entry.is_dir() and _is_run(entry)]
    if not jobs:
        raise CheckpointError(
            f"{folder} is no run folder (it holds no status.json, config.yaml or eval/) and no "
            "sweep of runs; give a folder that bt-train has written"
        )
    return sorted(jobs, key=lambda job: (len(job.name), job.name))  # Hydra's job 2 before 10


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("status.json", "config.yaml", "eval"))


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, error) from error
    if not isinstance(content, dict):
        raise damaged(path, "it is not a mapping")
    return content


def _read_config(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise damaged(path, error) from error
    return content if isinstance(content, dict) else {}
