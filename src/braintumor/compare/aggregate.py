"""Several runs as one result: folds pooled into one set of predictions, mean and spread of all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.compare.compare import as_markdown
from braintumor.errors import CheckpointError
from braintumor.files import write_atomic, write_json
from braintumor.records import Predictions

# M images of all folds, K classes

FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
}  # key in metrics.json -> what a person reads

_SMALLEST = 1e-300  # for probabilities that underflowed to 0, whose logarithm is not finite


def pool_folds(folders: Sequence[Path]) -> tuple[Predictions, np.ndarray | None]:
    """Out-of-fold predictions of all images, fold after fold, and which were seen: bool (M,).

    folders: an evaluation each, with predictions.csv. Logits are logarithms of probabilities.
    What was seen in training is None unless every fold knows it.
    Raises CheckpointError when a file is missing or damaged, when classes disagree, or when an
    image is there twice: then the folds are not of one division.
    """
    tables = [_read_table(folder / "predictions.csv") for folder in folders]
    classes = _classes(tables[0])
    for folder, table in zip(folders, tables, strict=True):
        if _classes(table) != classes:
            raise CheckpointError(
                f"{folder} has the classes {', '.join(_classes(table))}, but {folders[0]} has "
                f"{', '.join(classes)}; pool folds of one data set"
            )
    table = pd.concat(tables, ignore_index=True)
    twice = table["path"][table["path"].duplicated()].unique()
    if len(twice):
        raise CheckpointError(
            f"{len(twice)} images are tested in more than one fold (first: {twice[0]}), so these "
            "folds are not of one division; train them anew with one seed and one folds=…"
        )
    seen = table["in_training"] if "in_training" in table else pd.Series("", index=table.index)
    is_known = seen.isin(("true", "false")).all()  # NaN for the images of a fold without it
    probs = table[[f"prob_{name}" for name in classes]].to_numpy(dtype=np.float64)
    predictions = Predictions(
        classes=classes,
        paths=tuple(table["path"]),
        labels=table["true"].map({name: k for k, name in enumerate(classes)}).to_numpy(np.int64),
        logits=np.log(np.maximum(probs, _SMALLEST)).astype(np.float32),
    )
    return predictions, seen.eq("true").to_numpy(dtype=bool) if is_known else None


def read_metrics(folder: Path) -> dict[str, Any]:
    """metrics.json of an evaluation. Raises CheckpointError when it is missing or damaged."""
    path = folder / "metrics.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error


def summarise(
    parts: Mapping[str, Mapping[str, Any] | None], pooled: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """A row a part, then mean, std (ddof 1), min and max over the parts, then the pooled rows.

    parts: name -> content of metrics.json; None for a part that has not ended, whose row is NaN.
    Columns: n and FIGURES of all images, clean_n and clean_… of those without a copy in
    training, floor_accuracy. Undefined figures are NaN and left out of mean and spread; std of
    one value is NaN. Several pooled rows (one a seed) get pooled_mean and pooled_std.
    """
    table = pd.DataFrame({name: _row(metrics or {}) for name, metrics in parts.items()}).T
    extra = pd.DataFrame({name: _row(metrics) for name, metrics in pooled.items()}).T
    figures = [name for name in table.columns if name not in ("n", "clean_n")]
    spread = table[figures].agg(["mean", "std", "min", "max"])
    pieces = [table, spread, extra]
    if len(pooled) > 1:
        pieces.append(extra[figures].agg(["mean", "std"]).add_prefix("pooled_", axis="index"))
    whole = pd.concat([piece for piece in pieces if len(piece)])
    whole.index.name = "part"
    return whole.astype({"n": "Int64", "clean_n": "Int64"})


def write_summary(
    folder: Path, table: pd.DataFrame, parts: Sequence[str], notes: Sequence[str]
) -> None:
    """Write summary.csv, summary.md and summary.json ({notes, parts: {name: row}, mean: row, …}).

    notes: sentences above the table, such as what was repeated.
    """
    shown = table.reset_index()
    shown.attrs["notes"] = list(notes)
    rows = {str(name): _plain(row) for name, row in table.astype(object).iterrows()}
    of_parts = {name: rows.pop(name) for name in parts}
    write_atomic(folder / "summary.csv", str(table.to_csv()))
    write_atomic(folder / "summary.md", as_markdown(shown))
    write_json(folder / "summary.json", {"notes": list(notes), "parts": of_parts, **rows})


def summary_lines(table: pd.DataFrame, pooled: list[str]) -> list[str]:
    """Lines for a person: a figure each, over all images and over clean ones.

    pooled: names of the pooled rows.
    """
    lines = []
    for name, words in FIGURES.items():
        texts = []
        for title, column in (("all", name), ("clean", f"clean_{name}")):
            values = table[column].to_dict()
            mean, std, least, most = (values[row] for row in ("mean", "std", "min", "max"))
            if np.isnan(mean):
                continue
            spread = "" if np.isnan(std) else f" ± {std:.3f} ({least:.3f}–{most:.3f})"
            together = "".join(f", pooled {_rate(values[row])}" for row in pooled)
            texts.append(f"{title} {mean:.3f}{spread}{together}")
        lines.append(f"  {words:<18} {' | '.join(texts) or '–'}")
    return lines


def _rate(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _row(metrics: Mapping[str, Any]) -> pd.Series:
    """Figures of one metrics.json; what is null or missing there is NaN."""
    everything, clean = metrics.get("all") or {}, metrics.get("clean") or {}
    names = ("n", *FIGURES)
    values = {name: everything.get(name) for name in names}
    values |= {f"clean_{name}": clean.get(name) for name in names}
    values["floor_accuracy"] = (metrics.get("floor") or {}).get("accuracy")
    return pd.Series(values, dtype="float64")


def _plain(row: pd.Series) -> dict[str, Any]:
    return {str(name): None if pd.isna(value) else value for name, value in row.items()}


def _read_table(path: Path) -> pd.DataFrame:
    """predictions.csv: texts as they are (a class may be called NA), probabilities as floats."""
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
        names = [str(name) for name in table.columns if str(name).startswith("prob_")]
        table = table.astype(dict.fromkeys(names, "float64"))
        if not names or not table["true"].isin(_classes(table)).all() or "path" not in table:
            raise ValueError("its columns do not fit together")
    except (OSError, ValueError, KeyError) as error:  # pandas' parser errors are ValueErrors
        raise _unreadable(path, error) from error
    return table


def _classes(table: pd.DataFrame) -> tuple[str, ...]:
    names = [str(name) for name in table.columns]
    return tuple(name.removeprefix("prob_") for name in names if name.startswith("prob_"))


def _unreadable(path: Path, reason: Exception) -> CheckpointError:
    if isinstance(reason, FileNotFoundError):
        return CheckpointError(f"{path} is not there; train or evaluate that run again")
    first = next(iter(str(reason).splitlines()), type(reason).__name__)
    return CheckpointError(f"{path} cannot be read ({first}); train or evaluate that run again")
