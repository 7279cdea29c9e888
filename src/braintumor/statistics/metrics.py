"""Figures over a whole split, computed once from all predictions and never batch by batch.

Undefined is not zero: a class that the split does not hold has no recall, and one that is never
predicted has no precision. Such figures are NaN here and null in metrics.json, and a mean over
classes takes those that have a value. The arithmetic is scikit-learn's wherever it has the figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn.metrics as sk

from braintumor.errors import DataError
from braintumor.records import Predictions
from braintumor.statistics.calibration import brier, expected_calibration_error, image_losses

# N images, K classes


def compute_metrics(predictions: Predictions) -> dict[str, Any]:
    """The figures of one split: the "all" block of metrics.json.

    accuracy; balanced_accuracy: mean recall of the classes present; macro_f1: mean over the
    classes present or predicted; mcc: 0 when one class is always predicted, NaN when the split
    holds one class only; auroc, auprc: one class against the rest, mean over the classes that
    have images on both sides (for two classes this AUROC is the usual one); loss: mean
    cross-entropy in nats; brier: squared error summed over the classes, in [0, 2]; ece: expected
    calibration error in 15 bins of equal width on the top probability; n; per_class: {name:
    precision, recall, specificity, npv, f1, auroc, auprc, n}, where recall is sensitivity,
    precision the positive and npv the negative predictive value among these images. All in
    [0, 1] but mcc in [-1, 1], loss >= 0, brier and the counts.
    Everything that reads probabilities reads them after temperature.
    Raises DataError when there is no image, CheckpointError when a logit is not finite.
    Source: Grandini et al. 2020, arXiv:2008.05756, for the averages over classes.

    Three of four are right; of "b" one in two is found, and all that is called so is "b":
    >>> logits = np.array([[2.0, 0], [1, 0], [1, 0], [0, 2]], dtype=np.float32)
    >>> labels = np.array([0, 0, 1, 1])
    >>> found = compute_metrics(Predictions(("a", "b"), tuple("1234"), labels, logits))
    >>> found["accuracy"], found["per_class"]["b"]["recall"], found["per_class"]["b"]["precision"]
    (0.75, 0.5, 1.0)
    """
    if not len(predictions):
        raise DataError("there is no image to evaluate; choose a split that is not empty")
    predictions.require_finite()
    per_class = _per_class(predictions)
    labels, predicted = predictions.labels, predictions.predicted
    several = len(np.unique(labels)) > 1
    return {
        "accuracy": float(sk.accuracy_score(labels, predicted)),
        "balanced_accuracy": _mean(per_class, "recall"),
        "macro_f1": _mean(per_class, "f1"),
        "mcc": float(sk.matthews_corrcoef(labels, predicted)) if several else float("nan"),
        "auroc": _mean(per_class, "auroc"),
        "auprc": _mean(per_class, "auprc"),
        "loss": float(image_losses(predictions).mean()),
        "brier": brier(predictions.probs, labels),
        "ece": expected_calibration_error(predictions.probs, labels),
        "n": len(predictions),
        "per_class": per_class,
    }


def with_intervals(metrics: Mapping[str, Any], intervals: Mapping[str, Any]) -> dict[str, Any]:
    """The figures with each interval right behind its figure, the order of metrics.json.

    metrics: as compute_metrics gives them.  intervals: as intervals.metric_intervals does.
    "accuracy": 0.9 is followed by "accuracy_ci": [0.87, 0.92]; None where there is no interval.
    """
    merged: dict[str, Any] = {}
    for name, value in metrics.items():
        if name == "per_class":
            merged[name] = {c: with_intervals(row, intervals[name][c]) for c, row in value.items()}
            continue
        merged[name] = value
        if f"{name}_ci" in intervals:
            low, high = intervals[f"{name}_ci"]
            merged[f"{name}_ci"] = None if np.isnan(low) or np.isnan(high) else [low, high]
    return merged


def classification_report(predictions: Predictions) -> str:
    """scikit-learn's table as text, word for word; it prints 0 where a figure is undefined."""
    return str(
        sk.classification_report(
            predictions.labels,
            predictions.predicted,
            labels=range(len(predictions.classes)),
            target_names=predictions.classes,
            zero_division=0,
        )
    )


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """Counts, int64 (K, K): a row is the true class, a column the predicted one."""
    classes = range(len(predictions.classes))
    matrix = sk.confusion_matrix(predictions.labels, predictions.predicted, labels=classes)
    return np.asarray(matrix, dtype=np.int64)


def _per_class(predictions: Predictions) -> dict[str, dict[str, Any]]:
    how = {"labels": range(len(predictions.classes))}
    answers = predictions.labels, predictions.predicted
    scores = sk.precision_recall_fscore_support(*answers, **how, zero_division=np.nan)
    precision, recall, f1, counts = scores
    # one class against the rest, (K,) each
    rightly_not, wrongly, missed, _ = (
        sk.multilabel_confusion_matrix(*answers, **how).reshape(-1, 4).T
    )
    with np.errstate(invalid="ignore"):
        specificity, npv = (
            rightly_not / (rightly_not + wrongly),
            rightly_not / (rightly_not + missed),
        )
    table = {}
    for k, name in enumerate(predictions.classes):
        auroc, auprc = _ranking(predictions, k)
        table[name] = {
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "specificity": float(specificity[k]),
            "npv": float(npv[k]),
            "f1": float(f1[k]),
            "auroc": auroc,
            "auprc": auprc,
            "n": int(counts[k]),
        }
    return table


def _ranking(predictions: Predictions, k: int) -> tuple[float, float]:
    """AUROC and average precision of class k against the rest; NaN without both sides."""
    is_class = predictions.labels == k
    if is_class.all() or not is_class.any():
        return float("nan"), float("nan")
    score = predictions.probs[:, k]
    auroc = sk.roc_auc_score(is_class, score)
    return float(auroc), float(sk.average_precision_score(is_class, score))


def _mean(per_class: dict[str, dict[str, Any]], name: str) -> float:
    """Mean over the classes that have a value; NaN when none has."""
    values = [row[name] for row in per_class.values() if not np.isnan(row[name])]
    return float(np.mean(values)) if values else float("nan")
