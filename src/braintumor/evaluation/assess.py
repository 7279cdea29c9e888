"""What an accuracy is worth: without copies of training images, and beside floors and shortcuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from braintumor.evaluation.patients import KnownPatients, patients_unknown
from braintumor.records import Predictions
from braintumor.statistics.intervals import metric_intervals
from braintumor.statistics.metrics import compute_metrics, with_intervals

# M images evaluated, K classes

FEW = 20  # images of a class; below, one image moves its recall by more than 5 points


@dataclass(frozen=True, eq=False)
class Assessment:
    """Everything that puts the figures over all images into their place.

    contaminated: bool (M,), the model saw a copy (or the patient) in training; None: unknown.
    clean: figures over the other images, as figures_with_intervals gives them; None when unknown
        or no image is left.
    clean_counts: class -> clean images; empty when unknown.
    floors: as floors.measure_floors gives them.  best_floor: name, accuracy, clean_accuracy.
    shortcuts: name -> accuracy, clean_accuracy (None without clean images) with a part of each
        picture blanked.
    patients: what is known of them; contaminated can tell of no others.
    """

    contaminated: np.ndarray | None
    clean: Mapping[str, Any] | None
    clean_counts: Mapping[str, int]
    floors: pd.DataFrame | None
    best_baseline: Mapping[str, Any] | None
    shortcuts: Mapping[str, Mapping[str, float | None]]
    patients: KnownPatients

    @property
    def count(self) -> int | None:
        """Contaminated images; None when unknown."""
        return None if self.contaminated is None else int(self.contaminated.sum())

    @property
    def few(self) -> dict[str, int]:
        """Classes with fewer than FEW clean images, when some image is clean: name -> count."""
        if self.clean is None:
            return {}
        return {name: n for name, n in self.clean_counts.items() if n < FEW}


def assess(
    predictions: Predictions,
    contaminated: np.ndarray | None,
    floors: pd.DataFrame | None,
    shortcuts: Mapping[str, Predictions] | None,
    groups: np.ndarray | None = None,
    patients: KnownPatients | None = None,
) -> Assessment:
    """Put together what is known. shortcuts: of the same images in the same order.

    groups: int (M,), for the intervals of the clean figures; None: each image stands alone.
    patients: None: nothing is known of them.
    """
    is_clean = None if contaminated is None else ~contaminated
    left = None if is_clean is None else subset(predictions, is_clean)
    counts: dict[str, int] = {}
    if left is not None:
        numbers = np.bincount(left.labels, minlength=len(left.classes)).tolist()
        of_split = np.bincount(predictions.labels, minlength=len(left.classes))
        # a class that the split never had is not one that copies have emptied
        counts = {c: n for c, n, all_ in zip(left.classes, numbers, of_split, strict=True) if all_}
    return Assessment(
        contaminated=contaminated,
        clean=None
        if left is None or not len(left)
        else figures_with_intervals(left, None if groups is None else groups[is_clean]),
        clean_counts=counts,
        floors=floors,
        best_baseline=_best(floors),
        shortcuts={
            name: _accuracies(blanked, is_clean) for name, blanked in (shortcuts or {}).items()
        },
        patients=patients or patients_unknown(len(predictions)),
    )


def subset(predictions: Predictions, chosen: np.ndarray) -> Predictions:
    """The predictions of the chosen images. chosen: bool (M,)."""
    rows = np.flatnonzero(chosen)
    return replace(
        predictions,
        paths=tuple(predictions.paths[row] for row in rows),
        labels=predictions.labels[rows],
        logits=predictions.logits[rows],
    )


def figures_with_intervals(predictions: Predictions, groups: np.ndarray | None) -> dict[str, Any]:
    """What compute_metrics says, each figure followed by its interval, and how many groups."""
    found = with_intervals(compute_metrics(predictions), metric_intervals(predictions, groups))
    return found | {"groups": len(predictions if groups is None else np.unique(groups))}


def _best(floors: pd.DataFrame | None) -> dict[str, Any] | None:
    """The floor with the highest accuracy over all images, the first of equals."""
    if floors is None or not len(floors):
        return None
    place = int(np.argmax(floors["accuracy"].to_numpy()))
    accuracies = floors[["accuracy", "clean_accuracy"]].to_numpy(dtype=float)[place]
    return {
        "name": str(floors.index[place]),
        "accuracy": float(accuracies[0]),
        "clean_accuracy": float(accuracies[1]),
    }


def _accuracies(predictions: Predictions, is_clean: np.ndarray | None) -> dict[str, float | None]:
    is_right = predictions.predicted == predictions.labels
    clean = is_right[is_clean] if is_clean is not None else is_right[:0]
    return {
        "accuracy": float(is_right.mean()),
        "clean_accuracy": float(clean.mean()) if len(clean) else None,
    }
