"""Figures over a whole split. The arithmetic is scikit-learn's wherever it has the figure.

Undefined is not zero: a class that the split does not hold has no recall, and one that is never
predicted has no precision. Such figures are NaN here and null in metrics.json, and a mean over
classes takes those that have a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn.metrics as sk

from braintumor.errors import DataError
from braintumor.records import Predictions
from braintumor.statistics.confidence import brier, expected_calibration_error, image_losses

# N images, K classes, R resamples

# mean over classes -> what of each class it is the mean of
_MEANS = {"balanced_accuracy": "recall", "macro_f1": "f1", "auroc": "auroc", "auprc": "auprc"}
_COLUMNS = 40  # characters of the four columns of scikit-learn's report


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
    means = {mean: _mean(per_class, key) for mean, key in _MEANS.items()}
    return {
        "accuracy": float(sk.accuracy_score(labels, predicted)),
        "balanced_accuracy": means["balanced_accuracy"],
        "macro_f1": means["macro_f1"],
        "mcc": float(sk.matthews_corrcoef(labels, predicted)) if several else float("nan"),
        "auroc": means["auroc"],
        "auprc": means["auprc"],
        "loss": float(image_losses(predictions).mean()),
        "brier": brier(predictions.probs, labels),
        "ece": expected_calibration_error(predictions.probs, labels),
        "n": len(predictions),
        "per_class": per_class,
    }


def with_intervals(metrics: Mapping[str, Any], intervals: Mapping[str, Any]) -> dict[str, Any]:
    """The figures with each interval right behind its figure, the order of metrics.json.

    intervals: as intervals.metric_intervals gives them.
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
    """scikit-learn's table as text, word for word, with a dash where a figure is undefined.

    "macro avg" is over the classes that have the figure, as everywhere here: of the F1 it is the
    macro_f1 of compute_metrics.
    """
    classes = predictions.classes
    how = {"labels": range(len(classes)), "target_names": classes, "zero_division": np.nan}
    text = str(sk.classification_report(predictions.labels, predictions.predicted, **how))
    # a class may be called nan: names stand before the four columns
    parts = [(line[:-_COLUMNS], line[-_COLUMNS:]) for line in text.split("\n")]
    return "\n".join(name + figures.replace("nan", "  –") for name, figures in parts)


def means_over(per_class: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Mean of compute_metrics -> the classes that it is over.

    per_class: as compute_metrics gives it; a figure that is left out is not defined.
    """
    return {
        mean: [name for name, row in per_class.items() if not np.isnan(row.get(key, np.nan))]
        for mean, key in _MEANS.items()
    }


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """Counts, int64 (K, K): a row is the true class, a column the predicted one."""
    classes = range(len(predictions.classes))
    return sk.confusion_matrix(predictions.labels, predictions.predicted, labels=classes)


def confusion_figures(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, balanced accuracy, macro F1 and MCC of confusion matrices (K, K, …): float (…).

    The first axis is the true class. Recall counts the classes present, F1 those present or
    predicted. MCC is 0 where one class is always predicted, NaN where one class is all there is.
    Source of the MCC of K classes: Gorodkin 2004, Comput. Biol. Chem. 28:367-374.

    >>> found = confusion_figures(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    >>> {name: round(float(value), 4) for name, value in found.items()}
    {'accuracy': 0.8333, 'balanced_accuracy': 0.875, 'macro_f1': 0.8286, 'mcc': 0.7071}
    """
    right = np.einsum("kk...->k...", matrix)
    truth, answered = matrix.sum(axis=1), matrix.sum(axis=0)
    images, all_right = truth.sum(axis=0), right.sum(axis=0)
    spread = (images**2 - (truth**2).sum(axis=0), images**2 - (answered**2).sum(axis=0))
    covariance = all_right * images - (truth * answered).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mcc = np.where(spread[1] > 0, covariance / np.sqrt(spread[0] * spread[1]), 0.0)
        return {
            "accuracy": all_right / images,
            "balanced_accuracy": mean_defined(right / truth),
            "macro_f1": mean_defined(2 * right / (truth + answered)),
            "mcc": np.where(spread[0] > 0, mcc, np.nan),
        }


def mean_defined(values: np.ndarray) -> np.ndarray:
    """Mean over classes that have a value: (K, R) -> (R,); NaN where none has."""
    is_defined = ~np.isnan(values)
    return np.asarray(np.where(is_defined, values, 0).sum(axis=0) / is_defined.sum(axis=0))


def _per_class(predictions: Predictions) -> dict[str, dict[str, Any]]:
    how = {"labels": range(len(predictions.classes))}
    answers = predictions.labels, predictions.predicted
    scores = sk.precision_recall_fscore_support(*answers, **how, zero_division=np.nan)
    precision, recall, f1, counts = scores
    # one class against the rest, (K,) each
    matrices = sk.multilabel_confusion_matrix(*answers, **how)
    rightly_not, wrongly, missed, _ = matrices.reshape(-1, 4).T
    auroc, auprc = np.array([_ranking(predictions, k) for k in how["labels"]]).T
    with np.errstate(invalid="ignore"):
        columns = {
            "precision": precision,
            "recall": recall,
            "specificity": rightly_not / (rightly_not + wrongly),
            "npv": rightly_not / (rightly_not + missed),
            "f1": f1,
            "auroc": auroc,
            "auprc": auprc,
            "n": counts,
        }
    names = enumerate(predictions.classes)
    return {name: {key: column[k].item() for key, column in columns.items()} for k, name in names}


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
