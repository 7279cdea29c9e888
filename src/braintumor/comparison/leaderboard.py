"""The table of runs, and the leaderboard of their configurations."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from braintumor.comparison.agreement import differ
from braintumor.comparison.names import NOT_SETTINGS
from braintumor.comparison.read import Evaluated, Run, damaged
from braintumor.quoting import shell_line
from braintumor.report.texts import number
from braintumor.runs.checkpoint import Card, read_card
from braintumor.runs.history import read_history

By = Literal["validation", "test"]
WITH_INTERVAL = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc", "clean_accuracy")
_OF_SPLIT = ("n", "accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc", "loss")
_OF_CLEAN = ("n", "accuracy", "balanced_accuracy", "macro_f1")  # images without copies in training
_OF_VALIDATION = ("macro_f1", "accuracy", "balanced_accuracy", "auroc", "loss")
_COUNTS = ("seed", "n", "clean_n", "best_epoch", "parameters")
_TEXTS = ("run", "folder", "model", "data", "overrides", "status", "split", "quoted", "why")
RUN_COLUMNS = (
    "run", "folder", "model", "data", "seed", "overrides", "status", "split", *_OF_SPLIT,
    *(f"clean_{name}" for name in _OF_CLEAN), "floor_accuracy", "best_epoch",
    *(f"val_{name}" for name in _OF_VALIDATION), "parameters", "images_per_s", "seconds", "quoted",
    "why", *(f"{name}_{end}" for name in WITH_INTERVAL for end in ("low", "high")),
)  # fmt: skip
_MEANS = (
    *WITH_INTERVAL, "loss", "clean_balanced_accuracy", "clean_macro_f1", "val_macro_f1",
    "val_accuracy", "val_balanced_accuracy", "val_auroc", "val_loss",
)  # fmt: skip
_PLAIN_MEANS = ("n", "clean_n", "floor_accuracy", "images_per_s", "seconds", "parameters")
BOARD_COLUMNS = (
    "run", "model", "data", "overrides", "seeds", "runs", "completed", "status", "split", "n",
    *(f"{name}{end}" for name in _MEANS
      for end in ("", "_std", *(("_low", "_high") if name in WITH_INTERVAL else ()))),
    "clean_n", "floor_accuracy", "parameters", "images_per_s", "seconds", "quoted", "why",
)  # fmt: skip


@dataclass(frozen=True)
class Configuration:
    """Runs of one set of settings."""

    name: str
    runs: tuple[Run, ...]

    @property
    def evaluated(self) -> tuple[Evaluated, ...]:
        """What the runs answered that have predictions."""
        return tuple(run.evaluated for run in self.runs if run.evaluated is not None)

    @property
    def repeated_seeds(self) -> list[str]:
        """Seeds (and folds) that are there twice: copies that would fake a small spread."""
        seeds = [(run.seed, run.config.get("fold")) for run in self.runs if run.seed is not None]
        twice = [pair for pair, count in Counter(seeds).items() if count > 1]
        return [f"seed {seed}" + ("" if fold is None else f" fold {fold}") for seed, fold in twice]


def runs_table(runs: Sequence[Run]) -> pd.DataFrame:
    """RUN_COLUMNS, a row a run in the order given; what a run does not know is missing.

    overrides: those that not all runs share, which is what a sweep varied; as a shell takes them.
    """
    table = pd.DataFrame([_run_row(run) for run in runs], columns=list(RUN_COLUMNS))
    shared = set.intersection(*map(set, table["overrides"]))
    table["overrides"] = [
        shell_line(o for o in own if o not in shared and not o.startswith("run_dir=")) or None
        for own in table["overrides"]
    ]
    for name in table.columns:
        if name in _COUNTS:
            table[name] = pd.to_numeric(table[name]).astype("Int64")
        elif name not in _TEXTS:
            table[name] = pd.to_numeric(table[name]).astype(float)
    return table


def ranked(table: pd.DataFrame, by: By) -> pd.DataFrame:
    """The rows with the best macro F1 first, on validation or on the split that was read."""
    key = "val_macro_f1" if by == "validation" else "macro_f1"
    return table.sort_values(key, ascending=False, kind="stable", ignore_index=True)


def as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A mapping a row; None is what is missing."""
    rows: Any = table.astype(object).where(table.notna(), None).to_dict("records")
    return list(rows)


class Figure(NamedTuple):
    """One figure of a configuration; spread and interval are "" where there is none."""

    value: str
    spread: str
    interval: str


def figure_of(row: Mapping[str, Any], name: str) -> Figure:
    """Mean, spread over seeds and interval of one figure of a row of the board."""
    spread, low = row.get(f"{name}_std"), row.get(f"{name}_low")
    return Figure(
        number(row[name]),
        "" if spread is None else f"± {number(spread)}",
        "" if low is None else f"({number(low)}–{number(row[f'{name}_high'])})",
    )


def find_configurations(runs: Sequence[Run]) -> list[Configuration]:
    """The configurations in the order in which they first appear."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(run.configuration, []).append(run)
    return [Configuration(name, tuple(own)) for name, own in members.items()]


def leaderboard(
    table: pd.DataFrame, configurations: Sequence[Configuration], by: By
) -> pd.DataFrame:
    """BOARD_COLUMNS, a row a configuration, the best mean macro F1 first.

    table: by runs_table.
    quoted: over which images its reports quote the accuracy, "all" or "clean", or "none".
    A figure is the mean over the completed runs that have it, `_std` their sample standard
    deviation (NaN for one), `_low` and `_high` the mean ends of their intervals: the spread
    speaks of the training, the interval of the images.
    """
    rows = [
        {"run": one.name, **_board_row(table[table["run"].isin([run.name for run in one.runs])])}
        for one in configurations
    ]
    board = pd.DataFrame(rows, columns=list(BOARD_COLUMNS))
    for name in ("n", "clean_n", "parameters", "runs", "completed"):
        board[name] = pd.to_numeric(board[name]).round().astype("Int64")
    return ranked(board, by)


def _run_row(run: Run) -> dict[str, Any]:
    """What a run says of itself, more than RUN_COLUMNS ask for."""
    status, metrics, told = run.status, run.metrics, ("status", "parameters", "seconds", "why")
    values = dict(metrics.get("all", {}))
    values |= {f"clean_{key}": value for key, value in (metrics.get("clean") or {}).items()}
    for name in WITH_INTERVAL:
        low, high = values.get(f"{name}_ci") or (None, None)
        values |= {f"{name}_low": low, f"{name}_high": high}
    return {
        **values,
        "run": run.name,
        "folder": str(run.folder.path),
        "model": status.get("model_name"),
        "data": status.get("data_name") or run.config.get("data", {}).get("name"),
        "seed": run.seed,
        "overrides": status.get("overrides", []),
        "split": run.split if metrics else None,
        "quoted": (metrics.get("quote") or {"images": "all"}).get("images") or "none",
        "floor_accuracy": (metrics.get("floor") or {}).get("accuracy"),
        **_training_figures(run),
        **{name: status.get(name) for name in told},
    }


def _training_figures(run: Run) -> dict[str, Any]:
    """best_epoch, val_<name> of _OF_VALIDATION at that epoch, and images_per_s in training.

    images_per_s: images of all epochs over their time, which is the harmonic mean.
    Of pooled folds the mean of the folds; without metrics.csv there is best_epoch alone.
    Raises CheckpointError when it is damaged, or tells of another training than best.safetensors
    of a run that has ended.
    """
    best_epoch = run.status.get("best_epoch")
    if not run.folder.history.exists():
        folds = [replace(run, folder=p, status=p.read_status()) for p in run.folder.parts]
        means = pd.DataFrame([_training_figures(fold) for fold in folds]).mean(skipna=False)
        return {**means, "best_epoch": best_epoch}
    try:
        history = read_history(run.folder.history)
        if best_epoch is None:
            kept = history[history["is_best"].astype(bool)]
            best_epoch = int(kept["epoch"].iloc[-1]) if len(kept) else None
        row = history[history["epoch"] == best_epoch]
        if run.status.get("status") == "completed" and run.folder.best.is_file():
            _refuse_other(row, read_card(run.folder.best))
        values = {f"val_{name}": row[f"val_{name}"].iloc[-1] for name in _OF_VALIDATION if len(row)}
        if len(history):
            values["images_per_s"] = 1 / (1 / history["images_per_s"].astype(float)).mean()
    except (ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
        raise damaged(run.folder.history, error) from error
    return {"best_epoch": best_epoch, **values}


def _refuse_other(row: pd.DataFrame, card: Card) -> None:
    """Raises ValueError unless the row is that of the epoch whose weights were kept."""
    for name, value in card.validation.items():
        if not name.startswith("val_") or not isinstance(value, float):
            continue
        if row.empty or differ(row[name].iloc[-1], value):
            raise ValueError(f"it tells another {name} of the best epoch than best.safetensors")


def _common(overrides: Sequence[str | None]) -> str:
    """Overrides that all of these runs have, but for the seed."""
    # pandas may turn a None among texts into NaN
    first, *others = [shlex.split(o) if isinstance(o, str) else [] for o in overrides]
    kept = set(first).intersection(*others)
    return shell_line(w for w in first if w in kept and w.split("=")[0] not in NOT_SETTINGS)


def _board_row(runs: pd.DataFrame) -> dict[str, object]:
    done = runs[runs["accuracy"].notna()]
    row: dict[str, object] = {
        "model": runs["model"].iloc[0],
        "data": runs["data"].iloc[0],
        "overrides": _common(runs["overrides"].tolist()) or None,
        "seeds": ", ".join(str(seed) for seed in sorted(runs["seed"].dropna().unique())) or None,
        "runs": len(runs),
        "completed": len(done),
        "status": ", ".join(runs["status"].dropna().unique()) or None,
        "split": next(iter(done["split"].dropna()), None),
        # of several seeds the most careful
        "quoted": next((w for w in ("none", "clean") if (done["quoted"] == w).any()), "all"),
        "why": next(iter(runs["why"].dropna()), None),
    }
    for name in (*_MEANS, *_PLAIN_MEANS):
        values = done[name].dropna().astype(float)
        row |= {name: values.mean(), f"{name}_std": values.std()}
    for name in WITH_INTERVAL:
        ends = done[[f"{name}_low", f"{name}_high"]].astype(float)
        # an interval of some of the runs would not be that of the mean over all
        is_known = len(ends) > 0 and ends.notna().all(axis=None)
        row[f"{name}_low"], row[f"{name}_high"] = ends.mean() if is_known else (np.nan, np.nan)
    return row
