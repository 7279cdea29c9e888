"""Runs side by side: a leaderboard over configurations, and which differences are more than luck.

Rows are ranked by validation. Who ranks by the test split picks the luckiest run and reports
its luck as skill; the test figures stand beside, to be read and not to be chosen by.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from braintumor.compare import notes as words
from braintumor.compare.images import Evaluated, read_evaluated, same_questions, validation_images
from braintumor.compare.leaderboard import (
    WITH_INTERVAL,
    By,
    Configuration,
    configurations_of,
    history_of,
    leaderboard,
)
from braintumor.compare.pairs import Competitor, against_first, compare_pairs
from braintumor.compare.read import Run, is_comparable, read_runs, run_names
from braintumor.errors import DataError
from braintumor.report.figures import escaped

__all__ = [
    "Comparison", "as_markdown", "compare", "compare_runs", "is_comparable", "run_names",
]  # fmt: skip

_OF_SPLIT = ("n", "accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc", "loss")
_OF_CLEAN = ("n", "accuracy", "balanced_accuracy", "macro_f1")  # images without copies in training
_OF_VALIDATION = ("macro_f1", "accuracy", "balanced_accuracy", "auroc", "loss")
_COUNTS = ("seed", "n", "clean_n", "best_epoch", "parameters")
_TEXTS = ("run", "model", "data", "overrides", "status", "split", "why")
COLUMNS = (
    "run", "model", "data", "seed", "overrides", "status", "split", *_OF_SPLIT,
    *(f"clean_{name}" for name in _OF_CLEAN), "floor_accuracy", "best_epoch",
    *(f"val_{name}" for name in _OF_VALIDATION), "parameters", "images_per_s", "seconds", "why",
    *(f"{name}_{end}" for name in WITH_INTERVAL for end in ("low", "high")),
)  # fmt: skip
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What bt-compare says of some runs.

    runs: a row a run, with the `configuration` it belongs to and the number of its set of images.
    board: a row a configuration, ranked, as leaderboard.leaderboard gives it, with what the
        tests say of it beside the first, over all images and over the clean ones.
    pairs: as pairs.compare_pairs gives it.  notes: sentences for the reader, the ranking first.
    """

    runs: pd.DataFrame
    board: pd.DataFrame
    pairs: pd.DataFrame
    notes: tuple[str, ...]
    by: By
    split: str


def compare_runs(folders: Sequence[Path], split: str = "test") -> pd.DataFrame:
    """A row a run, best validation macro F1 first; what a run does not know is missing (NaN).

    folders: run folders, or folders of a sweep, which stand for all jobs in them. A job that
    did not complete keeps its row, with its status and why.
    Raises CheckpointError when there is no folder, or a completed run without this evaluation.
    """
    return _ranked(_table(read_runs(folders, split)), "validation")


def compare(
    folders: Sequence[Path],
    *,
    split: str,
    by: By,
    different_images: bool,
    resamples: int,
    seed: int,
) -> Comparison:
    """The leaderboard with its tests.

    by: what ranks, macro F1 on validation or on the split that is read.
    different_images: show configurations beside each other that were not evaluated on the same
        images, which a note then says; else DataError.
    resamples, seed: of the bootstrap.
    Raises CheckpointError as compare_runs does, and when predictions.csv is damaged.
    """
    runs = read_runs(folders, split)
    table = _table(runs)
    evaluated = [read_evaluated(run) for run in runs]
    configurations = configurations_of(runs, table["overrides"].tolist())
    competitors = _competitors(configurations, evaluated)
    differ = words.different_images(competitors, split)
    if differ and not different_images:
        raise DataError(
            f"{differ} Evaluate them on the same images, leave some out of runs=[…], or show them "
            "beside each other all the same with different_images=true"
        )
    board = leaderboard(table, configurations, by)
    order = {name: number for number, name in enumerate(board["run"])}
    pairs = compare_pairs(
        sorted(competitors, key=lambda one: order[one.name]), resamples=resamples, seed=seed
    )
    first = board["run"].iloc[0]
    for column, images in (("against_first", "all"), ("against_first_clean", "clean")):
        board[column] = [against_first(pairs, first, name, images) or None for name in board["run"]]
    table["configuration"] = _names(configurations, len(runs))
    table["image_set"] = _sets(configurations, competitors, len(runs))
    said = (
        words.ranking(by, split),
        *([differ] if differ else []),
        *words.about_runs(runs, evaluated, configurations, [validation_images(r) for r in runs]),
    )
    for note in said[1:]:
        _log.warning(note)
    return Comparison(_ranked(table, by), board, pairs, said, by, split)


def as_markdown(table: pd.DataFrame) -> str:
    """The table as GitHub Markdown under its notes (`attrs["notes"]`); empty columns left out."""
    shown = table.dropna(axis="columns", how="all")
    lines = [f"{escaped(note)}\n" for note in table.attrs.get("notes", [])]
    lines.append("| " + " | ".join(map(escaped, shown.columns)) + " |")
    is_number = [pd.api.types.is_numeric_dtype(shown[name]) for name in shown.columns]
    lines.append("|" + "|".join("---:" if number else "---" for number in is_number) + "|")
    for row in shown.itertuples(index=False):
        lines.append("| " + " | ".join(_cell(value) for value in row) + " |")
    return "\n".join(lines) + "\n"


def _competitors(
    configurations: Sequence[Configuration], evaluated: Sequence[Evaluated | None]
) -> list[Competitor]:
    """Configurations with predictions; runs of one that have none are left out."""
    known = [one for one in evaluated if one is not None]
    numbers = iter(same_questions(known))
    question = [None if one is None else next(numbers) for one in evaluated]
    found = []
    for one in configurations:
        members = [n for n in one.members if evaluated[n] is not None]
        if members:
            answered = tuple(e for n in members if (e := evaluated[n]) is not None)
            asked = tuple(q for n in members if (q := question[n]) is not None)
            found.append(Competitor(one.name, answered, asked))
    return found


def _names(configurations: Sequence[Configuration], count: int) -> list[str]:
    names = {n: one.name for one in configurations for n in one.members}
    return [names[n] for n in range(count)]


def _sets(
    configurations: Sequence[Configuration], competitors: Sequence[Competitor], count: int
) -> pd.Series:
    """Number of the set of images of each run, from 1; missing without predictions."""
    asked = {one.name: iter(one.questions) for one in competitors}
    numbers: list[int | None] = [None] * count
    for one in configurations:
        if one.name in asked and len(list(one.members)):
            for n in one.members:
                number = next(asked[one.name], None)
                numbers[n] = None if number is None else number + 1
    return pd.Series(numbers, dtype="Int64")


def _ranked(table: pd.DataFrame, by: By) -> pd.DataFrame:
    key = "val_macro_f1" if by == "validation" else "macro_f1"
    return table.sort_values(key, ascending=False, kind="stable", ignore_index=True)


def _table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a run, in the order given."""
    rows = [_row(run) for run in runs]
    _keep_what_differs(rows)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in table.columns:
        if name in _COUNTS:
            table[name] = pd.to_numeric(table[name]).astype("Int64")
        elif name not in _TEXTS:
            table[name] = pd.to_numeric(table[name]).astype(float)
    return table


def _row(run: Run) -> dict[str, Any]:
    status, metrics = run.status, run.metrics
    figures, clean = metrics.get("all", {}), metrics.get("clean") or {}
    values = {**figures, **{f"clean_{key}": value for key, value in clean.items()}}
    ends: dict[str, float | None] = {}
    for name in WITH_INTERVAL:
        low, high = values.get(f"{name}_ci") or (None, None)
        ends |= {f"{name}_low": low, f"{name}_high": high}
    return {
        "run": run.name,
        "model": status.get("model_name"),
        "data": status.get("data_name") or run.config.get("data", {}).get("name"),
        "seed": run.seed,
        "overrides": status.get("overrides", []),
        "status": status.get("status"),
        "split": run.split if metrics else None,
        **{key: figures.get(key) for key in _OF_SPLIT},
        **{f"clean_{key}": clean.get(key) for key in _OF_CLEAN},
        "floor_accuracy": (metrics.get("floor") or {}).get("accuracy"),
        **history_of(run, _OF_VALIDATION),
        "parameters": status.get("parameters"),
        "seconds": status.get("seconds"),
        "why": status.get("why"),
        **ends,
    }


def _keep_what_differs(rows: list[dict[str, Any]]) -> None:
    """Of the overrides of each run, those that not all runs share: what a sweep varied."""
    shared = set.intersection(*(set(row["overrides"]) for row in rows))
    for row in rows:
        own = [o for o in row["overrides"] if o not in shared and not o.startswith("run_dir=")]
        row["overrides"] = " ".join(own) or None


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value == round(value) and abs(value) > 1 else f"{value:.4f}"
    return escaped(str(value))
