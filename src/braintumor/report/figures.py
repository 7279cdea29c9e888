"""Figures as text: in sentences, tiles and tables, and as the lengths and shades of their bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braintumor.evaluation.record import Evaluation
from braintumor.statistics.confidence import BINS
from braintumor.statistics.metrics import confusion_matrix

# K classes

_SIGN = "\N{NO-BREAK SPACE}%"
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
CLASS_COLUMNS = {
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "npv": "NPV",
    "f1": "F1",
    "auroc": "AUROC",
}  # figure of a class -> its heading
_CALIBRATION = (
    ("ece", "ECE", f"mean difference of confidence and accuracy, {BINS} bins of equal width"),
    ("ece_mass", "ECE, equal mass", f"the same, {BINS} bins of as many images each"),
    ("brier", "Brier score", "squared error of the probabilities, 0 to 2"),
    ("loss", "Loss", "cross-entropy in nats"),
)
_CHECKS = {
    "ssim_head_random": "SSIM, last layers randomised",
    "ssim_all_random": "SSIM, all layers randomised",
    "deletion": "Deletion",
    "insertion": "Insertion",
    "outside_head": "Heat outside the head",
    "pointing_hits": "Hottest place in the lesion",
    "lesion_iou": "Overlap with the lesion (IoU)",
}


def escaped(text: str) -> str:
    """Text that stays one cell of Markdown and becomes no markup.

    >>> escaped("<b>|c")
    '&lt;b&gt;\\\\|c'
    """
    text = " ".join(str(text).split())
    for sign, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        text = text.replace(sign, safe)
    return text


def is_defined(value: Any) -> bool:
    """Whether a figure is a finite number."""
    return value is not None and bool(np.isfinite(value))


def defined_pair(figures: Mapping[str, Any], name: str) -> Any:
    """The interval beside a figure; None where there is none, or an end of it is not defined."""
    pair = figures.get(f"{name}_ci")
    return pair if pair is not None and all(is_defined(end) for end in pair) else None


def number(value: float | None) -> str:
    """Four digits, or a dash for what is not defined."""
    return f"{value:.4f}" if is_defined(value) else "–"


def interval(figures: Mapping[str, Any], name: str) -> str:
    """ "0.9412–0.9630", the 95 % interval beside a figure; empty where there is none."""
    pair = defined_pair(figures, name)
    return f"{pair[0]:.4f}–{pair[1]:.4f}" if pair is not None else ""


def percent(share: float | None) -> str:
    """98.3 %, and never 100 % of what is not whole; a dash for what is not defined.

    >>> percent(0.99996)
    '99.99\xa0%'
    """
    if share is None or not is_defined(share):
        return "–"
    text = f"{share:.1%}"
    if text == "100.0%" and share < 1:
        text = f"{np.floor(share * 1e4) / 1e4:.2%}"
    return text.replace("%", _SIGN)


def percents(pair: Any, between: str = "–") -> str:
    """Both ends of an interval with one sign: 94.0–96.3 %."""
    return f"{percent(pair[0]).removesuffix(_SIGN)}{between}{percent(pair[1])}"


def with_interval(metrics: Mapping[str, Any], name: str) -> str:
    """ "95.3 % (95 % CI 94.0 to 96.3 %)", or the figure alone where it has no interval."""
    pair = defined_pair(metrics, name)
    if pair is None:
        return percent(metrics[name])
    return f"{percent(metrics[name])} (95{_SIGN} CI {percents(pair, ' to ')})"


def width(value: float | None) -> str:
    """Length of the bar under a figure in [0, 1], in percent."""
    return f"{100 * value:.1f}" if value is not None and is_defined(value) else "0"


def tiles(metrics: Mapping[str, Any], errors: int) -> list[dict[str, str]]:
    """Name, value, interval and hint of the figures over all images."""
    shown = [
        {"name": name, "value": number(metrics[key]), "interval": interval(metrics, key),
         "hint": hint}
        for key, name, hint in _TILES if key in metrics
    ]  # fmt: skip
    hint = f"of {metrics['n']:,} images"
    return [*shown, {"name": "Errors", "value": f"{errors:,}", "interval": "", "hint": hint}]


def class_rows(per_class: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of cells: value, interval and the length of a bar in percent."""
    return [
        {"name": name, "n": row["n"], "cells": [
            {"value": number(row[key]), "interval": interval(row, key), "width": width(row[key])}
            for key in CLASS_COLUMNS
        ]}
        for name, row in per_class.items()
    ]  # fmt: skip


def confusion(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Rows of cells: count, share of the row, and a shade from 0 to 10 in the style sheet."""
    rows = []
    for k, counts in enumerate(confusion_matrix(evaluation.predictions)):
        total = int(counts.sum())
        share = counts / max(total, 1)
        # Errors are few in a good model: the square root lets one among hundreds be seen.
        shade = np.where(np.arange(len(counts)) == k, share, np.sqrt(share))
        cells = [
            {
                "count": int(counts[j]),
                "share": percent(float(share[j])) if total else "–",
                "shade": f"{'ok' if j == k else 'bad'}-{int(np.ceil(shade[j] * 10))}",
            }
            for j in range(len(counts))
        ]
        name = evaluation.predictions.classes[k]
        rows.append({"name": name, "k": k, "n": total, "cells": cells})
    return rows


def calibration_table(summary: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Rows before and after, and a sentence on the temperature. summary: calibration_summary."""
    if not summary:
        return None
    before, after, temperature = (summary[key] for key in ("before", "after", "temperature"))
    kinds = ("as confident as right", "overconfident", "underconfident")
    was = kinds[int(np.sign(temperature - 1))]
    said = f"Temperature {temperature:.3f}, fitted on validation only, where the model was {was}."
    rows = [
        {"name": name, "before": number(before[key]), "after": number(after[key]), "hint": hint}
        for key, name, hint in _CALIBRATION
    ]
    return {"said": f"{said} It changes no answer; 0 is best in every row.", "rows": rows}


def check_rows(checks: Mapping[str, Mapping[str, Any]] | None) -> list[dict[str, str]]:
    """Name, value, interval and hint of the checks of the heat maps."""
    return [
        {
            "name": _CHECKS[name],
            "value": number(check["value"]),
            "interval": "",
            "hint": f"{check['meaning'].rstrip('.')}; mean of {check['n']:,} images.",
        }
        for name, check in (checks or {}).items()
    ]
