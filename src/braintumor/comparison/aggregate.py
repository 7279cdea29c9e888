"""Several runs as one result: folds pooled into one set of predictions, mean and spread of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.comparison.agreement import refuse_edited
from braintumor.comparison.read import damaged
from braintumor.errors import CheckpointError, some
from braintumor.evaluation.baseline_figures import Baselines
from braintumor.files import read_table, write_atomic, write_json
from braintumor.records import Predictions
from braintumor.report.page import as_markdown
from braintumor.report.texts import rate
from braintumor.runs.kinds import EvaluationFile
from braintumor.runs.metrics_file import read_metrics
from braintumor.runs.predictions_table import read_predictions

# M images of all folds

# key in metrics.json -> what a person reads
FIGURES = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1",
    "auroc": "AUROC",
}  # fmt: skip

_SMALLEST = 1e-300  # for probabilities that underflowed to 0, whose logarithm is not finite


def pool_folds(folders: Sequence[Path]) -> tuple[Predictions, np.ndarray | None]:
    """Out-of-fold predictions of all images, fold after fold, and which were seen: bool (M,).

    folders: an evaluation each, with predictions.csv. Logits are logarithms of probabilities.
    What was seen in training is None unless every fold knows it.
    Raises CheckpointError when a file is missing or damaged, when classes disagree, or when an
    image is there twice: then the folds are not of one division.
    """
    tables = []
    for folder in folders:
        with _reading(folder / EvaluationFile.PREDICTIONS):
            tables.append(read_predictions(folder))
    classes = tables[0].classes
    for folder, table in zip(folders, tables, strict=True):
        if table.classes != classes:
            raise CheckpointError(
                f"{folder} has the classes {', '.join(table.classes)}, but {folders[0]} has "
                f"{', '.join(classes)}; pool folds of one data set"
            )
    paths = pd.Series([path for table in tables for path in table.paths])
    twice = paths[paths.duplicated()].unique()
    if len(twice):
        raise CheckpointError(
            f"{some(len(twice), 'image', 'is')} tested in more than one fold (first: "
            f"{twice[0]}), so these folds are not of one division; train them anew with one seed "
            "and one folds=…"
        )
    probs = np.concatenate([table.probs for table in tables])
    predictions = Predictions(
        classes=classes,
        paths=tuple(paths),
        labels=np.concatenate([table.labels for table in tables]),
        logits=np.log(np.maximum(probs, _SMALLEST)).astype(np.float32),
    )
    seen = [table.in_training for table in tables if table.in_training is not None]
    return predictions, np.concatenate(seen) if len(seen) == len(tables) else None


def pool_baselines(folders: Sequence[Path]) -> Baselines | None:
    """What baselines answered on the images of all folds; each fold's learnt from its training.

    None unless every fold has them, with the answer of each image.
    folders: an evaluation each, of folds that `pool_folds` accepts.
    """
    if not all((folder / EvaluationFile.BASELINE_ANSWERS).is_file() for folder in folders):
        return None  # also where an earlier version kept none
    answers = [_read_indexed(folder / EvaluationFile.BASELINE_ANSWERS) for folder in folders]
    figures = [_read_indexed(folder / EvaluationFile.BASELINES) for folder in folders]
    seconds = [table["seconds"].astype(float) for table in figures]
    return Baselines(pd.concat(answers)[answers[0].columns], sum(seconds[1:], seconds[0]))


def read_own_metrics(folder: Path) -> dict[str, Any]:
    """metrics.json of an evaluation.

    Raises CheckpointError when it is missing, damaged, or not that of predictions.csv beside it.
    """
    metrics = read_metrics(folder)
    with _reading(folder / EvaluationFile.PREDICTIONS):
        refuse_edited(folder, read_predictions(folder), metrics)
    return metrics


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
    plain = table.astype(object).where(table.notna(), None)
    rows = {str(name): row.to_dict() for name, row in plain.iterrows()}
    of_parts = {name: rows.pop(name) for name in parts}
    write_atomic(folder / "summary.csv", str(table.to_csv()))
    write_atomic(folder / "summary.md", as_markdown(table.reset_index(), notes))
    write_json(folder / "summary.json", {"notes": list(notes), "parts": of_parts, **rows})


def summary_lines(table: pd.DataFrame, pooled: list[str]) -> list[str]:
    """Lines for a person: a figure each, over all images and over clean ones.

    pooled: names of the pooled rows.
    """
    lines = []
    floor = {} if table["floor_accuracy"].isna().all() else {"floor_accuracy": "best floor"}
    for name, words in (FIGURES | floor).items():
        texts = []
        for title, column in (("all", name), ("clean", f"clean_{name}")):
            if column not in table:
                continue
            values = table[column].to_dict()
            mean, std, least, most = (values[row] for row in ("mean", "std", "min", "max"))
            if np.isnan(mean):
                continue
            spread = "" if np.isnan(std) else f" ± {std:.3f} ({rate(least)}–{rate(most)})"
            together = "".join(f", pooled {rate(values[row])}" for row in pooled)
            texts.append(f"{title} {rate(mean)}{spread}{together}")
        lines.append(f"  {words:<18} {' | '.join(texts) or '–'}")
    return lines


def _row(metrics: Mapping[str, Any]) -> pd.Series:
    """Figures of one metrics.json; what is null or missing there is NaN."""
    everything, clean = metrics.get("all") or {}, metrics.get("clean") or {}
    names = ("n", *FIGURES)
    values = {name: everything.get(name) for name in names}
    values |= {f"clean_{name}": clean.get(name) for name in names}
    values["floor_accuracy"] = (metrics.get("floor") or {}).get("accuracy")
    return pd.Series(values, dtype="float64")


def _read_indexed(path: Path) -> pd.DataFrame:
    """The table by its first column; a class may be called NA, or 0."""
    with _reading(path):
        return pd.read_csv(read_table(path), index_col=0, dtype=str, keep_default_na=False)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raises CheckpointError where what reads the file within finds it missing or damaged."""
    remedy = "train or evaluate that run again"
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is not there; {remedy}") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise damaged(path, error, remedy) from error
