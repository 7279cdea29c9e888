"""Whether files of an evaluation, or of a run, that tell of the same figures tell the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from braintumor.data.manifest import SPLITS
from braintumor.errors import CheckpointError
from braintumor.quoting import pasteable
from braintumor.runs.kinds import EvaluationFile
from braintumor.runs.predictions_table import PredictionsTable
from braintumor.statistics.metrics import confusion_figures

_TOLERANCE = 1e-5  # predictions.csv has 9 digits
_CHECKED = ("n", "accuracy", "balanced_accuracy", "macro_f1", "mcc", "loss")


def refuse_edited(folder: Path, table: PredictionsTable, metrics: Mapping[str, Any]) -> None:
    """Raises CheckpointError unless predictions.csv and metrics.json are of one evaluation.

    Counts, means over classes and the loss are worked out again, of all images and of those
    without copies in training; areas under curves and intervals are not.
    """
    rows = {"all": np.ones(len(table.labels), bool)}
    if table.in_training is not None:
        rows["clean"] = ~table.in_training
    for block, chosen in rows.items():
        told = metrics.get(block) or {}
        for name, value in _figures(table, chosen) if told else ():
            stated = told.get(name)
            if isinstance(stated, int | float) and differ(stated, value):
                raise CheckpointError(_sentence(folder, f"{block}.{name}", stated, value))


def differ(one: float, other: float) -> bool:
    """By more than the digits of a table leave open; also where one of them is no number."""
    return not abs(one - other) <= _TOLERANCE * max(1.0, abs(other))


def _figures(table: PredictionsTable, rows: np.ndarray) -> Iterator[tuple[str, float]]:
    labels, predicted, count = table.labels[rows], table.predicted[rows], len(table.classes)
    cells = np.bincount(labels * count + predicted, minlength=count * count)
    found = confusion_figures(cells.reshape(count, count)) | {"n": len(labels)}
    given = table.probs[rows, labels]
    if len(given) and (given != 0).all():  # the logarithm of what has underflowed is not known
        found["loss"] = -np.log(given).mean()
    return ((name, float(found[name])) for name in _CHECKED if name in found)


def _sentence(folder: Path, name: str, stated: float, value: float) -> str:
    again = "evaluate that run again"
    if folder.name in SPLITS:
        run = pasteable("ckpt", str(folder.parent.parent))
        again += f": bt-eval {run} split={folder.name} overwrite=true"
    return (
        f"{folder / EvaluationFile.PREDICTIONS} does not belong to {EvaluationFile.METRICS} beside "
        f"it: {name} is {stated:.6g} there, and {value:.6g} of these rows; copy both from the run, "
        f"or {again}"
    )
