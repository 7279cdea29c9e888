"""predictions.csv: what a model answered, a row an image. The one writer and the one reader.

Columns: path; true, where the images have labels; pred; prob_<class> in the order of the classes;
in_training ("true" or "false"), where that is known; and what the decisions say.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.files import read_table, write_atomic
from braintumor.records import Predictions
from braintumor.runs.kinds import EvaluationFile

# N images, K classes

_PROB = "prob_"


@dataclass(frozen=True, eq=False)
class PredictionsTable:
    """The predictions of N labelled images, as they are read.

    classes: K names.  paths: str (N,).  labels, predicted: int64 (N,) in [0, K).
    probs: float64 (N, K).  in_training: bool (N,), the model knows the image; None when unknown.
    """

    classes: tuple[str, ...]
    paths: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    probs: np.ndarray
    in_training: np.ndarray | None


def read_predictions(folder: Path, *, sort_classes: bool = False) -> PredictionsTable:
    """The predictions.csv of an evaluation; classes in its order, or sorted.

    Raises OSError when it cannot be opened, ValueError or KeyError when it is damaged.
    """
    table = read_texts(folder / EvaluationFile.PREDICTIONS)
    names = [str(name) for name in table.columns if str(name).startswith(_PROB)]
    names = sorted(names) if sort_classes else names
    classes = tuple(name.removeprefix(_PROB) for name in names)
    numbers = {name: k for k, name in enumerate(classes)}
    labels, predicted = (
        np.array([numbers.get(name, -1) for name in table[column]], dtype=np.int64)
        for column in ("true", "pred")
    )
    probs = table[names].astype("float64").to_numpy()
    if not names or (labels < 0).any() or (predicted < 0).any():
        raise ValueError("its columns do not fit together")
    seen = table["in_training"] if "in_training" in table else pd.Series(dtype="str")
    is_known = len(seen) > 0 and seen.isin(("true", "false")).all()
    return PredictionsTable(
        classes=classes,
        paths=table["path"].to_numpy(dtype=object),
        labels=labels,
        predicted=predicted,
        probs=probs,
        in_training=seen.eq("true").to_numpy(dtype=bool) if is_known else None,
    )


def write_predictions(
    folder: Path,
    predictions: Predictions,
    in_training: np.ndarray | None,
    more: Mapping[str, Sequence[Any]],
) -> None:
    """Write predictions.csv of labelled images.  more: columns behind the others."""
    probs = predictions.probs
    # 9 digits keep a float32 exact
    rounded = np.array([float(f"{p:.9g}") for p in probs.ravel()]).reshape(probs.shape)
    known = {} if in_training is None else {"in_training": in_training}
    table = pd.DataFrame({**_columns(predictions, rounded), **known, **more})
    table.insert(1, "true", np.asarray(predictions.classes, dtype=object)[predictions.labels])
    write_table(folder, table)


def unlabelled_table(predictions: Predictions, more: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """The table of images whose classes nobody has told; labels are not read."""
    return pd.DataFrame({**_columns(predictions, predictions.probs), **more})


def read_texts(path: Path) -> pd.DataFrame:
    """A CSV file of texts as they are: a class may be called NA."""
    return pd.read_csv(
        read_table(path), dtype="str", keep_default_na=False, encoding_errors="surrogateescape"
    )


def _columns(predictions: Predictions, probs: np.ndarray) -> dict[str, Any]:
    names = np.asarray(predictions.classes, dtype=object)
    columns = {"path": list(predictions.paths), "pred": names[predictions.predicted]}
    return columns | {f"{_PROB}{name}": probs[:, k] for k, name in enumerate(names)}


def write_table(folder: Path, table: pd.DataFrame) -> None:
    """Write predictions.csv, whole or not at all; flags as "true" and "false"."""
    table = table.copy()
    for name in table.select_dtypes("bool"):
        table[name] = np.where(table[name], "true", "false")
    # texts are quoted, or a line break in a file name would end the row
    text = str(table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC))
    write_atomic(folder / EvaluationFile.PREDICTIONS, text)
