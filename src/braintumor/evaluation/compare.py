"""Runs side by side: one table from what their folders hold.

Rows are ranked by validation. Who ranks by the test split picks the luckiest run and reports
its luck as skill; the test figures stand beside, to be read and not to be chosen by.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from braintumor.errors import CheckpointError
from braintumor.evaluation.plots.comparison import draw_comparison
from braintumor.evaluation.plots.style import to_png
from braintumor.evaluation.report.markdown import escaped
from braintumor.files import write_atomic

RANKING = (
    "Ranked by macro F1 on validation; the figures of the evaluated split are to be read and not "
    "to be chosen by, since ranking by them would pick the luckiest run."
)
_OF_SPLIT = ("n", "accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc", "loss")
_OF_CLEAN = ("n", "accuracy", "balanced_accuracy", "macro_f1")  # images without copies in training
_OF_VALIDATION = ("macro_f1", "accuracy", "balanced_accuracy", "auroc", "loss")
_COUNTS = ("seed", "n", "clean_n", "best_epoch", "parameters")
_OTHERS = ("seconds", "floor_accuracy")
COLUMNS = (
    "run", "model", "data", "seed", "overrides", "status", "split", *_OF_SPLIT,
    *(f"clean_{name}" for name in _OF_CLEAN), "floor_accuracy", "best_epoch",
    *(f"val_{name}" for name in _OF_VALIDATION), "parameters", "seconds", "why",
)  # fmt: skip
_log = logging.getLogger(__name__)


def compare_runs(folders: Sequence[Path], split: str = "test") -> pd.DataFrame:
    """A row a run, best validation macro F1 first; what a run does not know is missing (NaN).

    folders: run folders, or folders of a sweep, which stand for all jobs in them. A job that
    did not complete keeps its row, with its status and why.
    `table.attrs["notes"]` holds sentences for the reader, such as that runs were evaluated on
    different images, which is also logged as a warning.
    Raises CheckpointError when there is no folder, or a completed run without this evaluation.
    """
    runs = _without_repeats([run for folder in folders for run in _runs_in(Path(folder), split)])
    if not runs:
        raise CheckpointError("there is no run to compare; give run folders as runs=[RUN1,RUN2]")
    rows = [_row(run, name, split) for run, name in zip(runs, run_names(runs), strict=True)]
    _keep_what_differs(rows)
    table = _typed(pd.DataFrame(rows, columns=list(COLUMNS)))
    table = table.sort_values("val_macro_f1", ascending=False, kind="stable", ignore_index=True)
    table.attrs["notes"] = [RANKING, *_different_images(runs, run_names(runs), split)]
    for note in table.attrs["notes"][1:]:
        _log.warning(note)
    return table


def write_comparison(folder: Path, table: pd.DataFrame) -> None:
    """Write comparison.csv, comparison.md and comparison.png."""
    write_atomic(folder / "comparison.csv", _encoded(str(table.to_csv(index=False))))
    write_atomic(folder / "comparison.md", _encoded(as_markdown(table)))
    write_atomic(folder / "comparison.png", to_png(draw_comparison(table)))


def as_markdown(table: pd.DataFrame) -> str:
    """The table as GitHub Markdown under its notes; empty columns are left out."""
    shown = table.dropna(axis="columns", how="all")
    lines = [f"{escaped(note)}\n" for note in table.attrs.get("notes", [RANKING])]
    lines.append("| " + " | ".join(map(escaped, shown.columns)) + " |")
    is_number = [pd.api.types.is_numeric_dtype(shown[name]) for name in shown.columns]
    lines.append("|" + "|".join("---:" if number else "---" for number in is_number) + "|")
    for row in shown.itertuples(index=False):
        cells = [_cell(name, value) for name, value in zip(shown.columns, row, strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


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


def is_comparable(folder: Path) -> bool:
    """Whether a folder is a run, or holds the jobs of a sweep."""
    return folder.is_dir() and (_is_run(folder) or any(map(_is_run, folder.iterdir())))


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("status.json", "config.yaml", "eval"))


def _without_repeats(runs: list[Path]) -> list[Path]:
    return list({run.resolve(): run for run in runs}.values())


def run_names(runs: Sequence[Path]) -> list[str]:
    """As many trailing parts of each path as tell all runs apart."""
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        # A sweep names its jobs 0, 1, 2: alone that says nothing.
        if len(set(names)) == len(names) and not any(name.isdigit() for name in names):
            return names
    return [str(run) for run in runs]


def _row(run: Path, name: str, split: str) -> dict[str, Any]:
    status = _read_json(run / "status.json")
    evaluation = run / "eval" / split / "metrics.json"
    state = status.get("status")
    if not evaluation.exists() and state in (None, "completed"):
        raise CheckpointError(
            f"{run} has no evaluation on {split} ({evaluation} is not there); run "
            f"`bt-eval 'ckpt=\"{run}\"' split={split}` first"
        )
    metrics = _read_json(evaluation)
    figures, clean = metrics.get("all", {}), metrics.get("clean") or {}
    return {
        "run": name,
        "model": status.get("model_name"),
        "data": status.get("data_name") or _read_config(run).get("data", {}).get("name"),
        "seed": status.get("seed", _read_config(run).get("seed")),
        "overrides": status.get("overrides", []),
        "status": state,
        "split": split if metrics else None,
        **{key: figures.get(key) for key in _OF_SPLIT},
        **{f"clean_{key}": clean.get(key) for key in _OF_CLEAN},
        "floor_accuracy": (metrics.get("floor") or {}).get("accuracy"),
        **_validation(run / "metrics.csv", status.get("best_epoch")),
        "parameters": status.get("parameters"),
        "seconds": status.get("seconds"),
        "why": status.get("why"),
    }


def _keep_what_differs(rows: list[dict[str, Any]]) -> None:
    """Of the overrides of each run, those that not all runs share: what a sweep varied."""
    shared = set.intersection(*(set(row["overrides"]) for row in rows))
    for row in rows:
        own = [o for o in row["overrides"] if o not in shared and not o.startswith("run_dir=")]
        row["overrides"] = " ".join(own) or None


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Counts as whole numbers and figures as floats, also where some are missing."""
    for name in table.columns:
        if name in _COUNTS:
            table[name] = pd.to_numeric(table[name]).astype("Int64")
        elif name in (*_OF_SPLIT, *_OTHERS) or name.startswith(("val_", "clean_")):
            table[name] = pd.to_numeric(table[name]).astype(float)
    return table


def _validation(path: Path, best_epoch: int | None) -> dict[str, Any]:
    """Figures of validation at the epoch that was kept, from metrics.csv."""
    if not path.exists():
        return {"best_epoch": best_epoch}
    try:
        history = pd.read_csv(path)
        if best_epoch is None:
            kept = history[history["is_best"].astype(bool)]
            best_epoch = int(kept["epoch"].iloc[-1]) if len(kept) else None
        row = history[history["epoch"] == best_epoch]
        values = {f"val_{key}": row[f"val_{key}"].iloc[-1] for key in _OF_VALIDATION if len(row)}
    except (ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
        raise _damaged(path, error) from error
    return {"best_epoch": best_epoch, **values}


def _different_images(runs: Sequence[Path], names: Sequence[str], split: str) -> list[str]:
    """A sentence when the runs were not evaluated on the same images, else nothing."""
    groups: list[tuple[frozenset[str], frozenset[str] | None, list[str]]] = []
    for run, name in zip(runs, names, strict=True):
        path = run / "eval" / split / "predictions.csv"
        if not path.exists():
            continue
        paths = frozenset(row["path"] for row in _read_csv(path, ("path",)))
        contents = _contents(run, paths)
        for known_paths, known_contents, members in groups:
            # Names alone may deceive: two phantom sets share them. Content decides where known.
            has_both = contents is not None and known_contents is not None
            if contents == known_contents if has_both else paths == known_paths:
                members.append(name)
                break
        else:
            groups.append((paths, contents, [name]))
    if len(groups) < 2:
        return []
    sets = "; ".join(f"{', '.join(members)}: {len(paths):,} images" for paths, _, members in groups)
    return [
        f"These runs were evaluated on {len(groups)} different sets of images, so their figures "
        f"on {split} cannot be compared across sets ({sets})."
    ]


def _contents(run: Path, paths: frozenset[str]) -> frozenset[str] | None:
    """SHA-256 of the images, from the run's manifest; None when it does not know them all."""
    manifest = run / "manifest.csv"
    if not manifest.exists():
        return None
    known = {row["path"]: row["sha256"] for row in _read_csv(manifest, ("path", "sha256"))}
    return frozenset(known[path] for path in paths) if paths <= known.keys() else None


def _read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{name: row[name] for name in columns} for row in csv.DictReader(file)]
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise _damaged(path, error) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(content, dict):
        raise _damaged(path, "it is not a mapping")
    return content


def _read_config(run: Path) -> dict[str, Any]:
    path = run / "config.yaml"
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error
    return content if isinstance(content, dict) else {}


def _damaged(path: Path, reason: object) -> CheckpointError:
    first = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    return CheckpointError(
        f"{path} cannot be read ({first}); evaluate that run again, or leave it out of runs=[…]"
    )


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _cell(name: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value == round(value) and abs(value) > 1 else f"{value:.4f}"
    return escaped(str(value))
