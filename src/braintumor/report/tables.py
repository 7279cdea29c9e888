"""Figures of the page: tiles, the table of classes, the confusion matrix; as text and lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braintumor.records import Predictions
from braintumor.report import headline as verdict
from braintumor.statistics.calibration import BINS
from braintumor.statistics.metrics import confusion_matrix

# K classes

_TILES = (
    ("accuracy", "Accuracy", "share of images that are right"),
    ("balanced_accuracy", "Balanced accuracy", "mean recall of the classes"),
    ("macro_f1", "Macro F1", "mean F1 of the classes"),
    ("mcc", "MCC", "truth against prediction, −1 to 1"),
    ("auroc", "AUROC", "mean, one class against the rest"),
    ("auprc", "Average precision", "AUPRC; mean, one class against the rest"),
    ("loss", "Loss", "cross-entropy in nats; 0 is best"),
    ("brier", "Brier score", "squared error of the probabilities, 0 to 2; 0 is best"),
    ("ece", "ECE", f"calibration error, {BINS} bins; 0 is best"),
)
_COLUMNS = (
    ("precision", "Precision"),
    ("recall", "Recall"),
    ("specificity", "Specificity"),
    ("npv", "NPV"),
    ("f1", "F1"),
    ("auroc", "AUROC"),
)


def number(value: float | None) -> str:
    """Four digits, or a dash for what is not defined."""
    return f"{value:.4f}" if is_defined(value) else "–"


def interval(figures: Mapping[str, Any], name: str) -> str:
    """ "0.9412–0.9630", the 95 % interval beside a figure; empty where there is none."""
    pair = figures.get(f"{name}_ci")
    if pair is None or not all(is_defined(end) for end in pair):
        return ""
    return f"{pair[0]:.4f}–{pair[1]:.4f}"


def is_defined(value: Any) -> bool:
    """Whether a figure is a finite number."""
    return value is not None and bool(np.isfinite(value))


def tiles(metrics: Mapping[str, Any], errors: int) -> list[dict[str, str]]:
    """Name, value, interval and hint of the figures over all images."""
    shown = [
        {
            "name": name,
            "value": number(metrics[key]),
            "interval": interval(metrics, key),
            "hint": hint,
        }
        for key, name, hint in _TILES
        if key in metrics
    ]
    of_all = {"name": "Errors", "value": f"{errors:,}", "interval": ""}
    return [*shown, {**of_all, "hint": f"of {metrics['n']:,} images"}]


def columns(per_class: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Headings of the figures that the classes have."""
    return [heading for _, heading in _known(per_class)]


def class_rows(per_class: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of cells: value, interval and the length of a bar in percent."""
    known = _known(per_class)
    return [
        {
            "name": name,
            "n": row["n"],
            "cells": [
                {
                    "value": number(row[key]),
                    "interval": interval(row, key),
                    "width": width(row[key]),
                }
                for key, _ in known
            ],
        }
        for name, row in per_class.items()
    ]


def width(value: float | None) -> str:
    """Length of the bar under a figure in [0, 1], in percent."""
    return f"{100 * value:.1f}" if value is not None and is_defined(value) else "0"


def confusion(predictions: Predictions) -> list[dict[str, Any]]:
    """Rows of cells: count, share of the row, and a shade from 0 to 10 in the style sheet."""
    matrix = confusion_matrix(predictions)
    rows = []
    for k, counts in enumerate(matrix):
        total = int(counts.sum())
        share = counts / max(total, 1)
        # Errors are few in a good model: the square root lets one among hundreds be seen.
        shade = np.where(np.arange(len(counts)) == k, share, np.sqrt(share))
        cells = [
            {
                "count": int(counts[j]),
                "share": verdict.percent(float(share[j])) if total else "–",
                "shade": f"{'ok' if j == k else 'bad'}-{int(np.ceil(shade[j] * 10))}",
            }
            for j in range(len(counts))
        ]
        rows.append({"name": predictions.classes[k], "k": k, "n": total, "cells": cells})
    return rows


def _known(per_class: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    rows = list(per_class.values())
    return [column for column in _COLUMNS if rows and column[0] in rows[0]]
