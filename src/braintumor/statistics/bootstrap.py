"""The group bootstrap: figures of many resamples of whole groups, all in one pass.

A resample is a column of weights: how often each group was drawn. What is a sum over images is
then one matrix product for all resamples; AUROC and average precision are cumulated weights in
the order of the scores, which is the same for every resample.
Source: Field & Welsh 2007, JRSS B 69:369-390 (groups); Efron & Tibshirani 1993, An Introduction
to the Bootstrap, ch. 13 (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import expit, logit, stdtrit

from braintumor.records import Predictions
from braintumor.statistics.calibration import BINS, bin_of, image_briers, image_losses
from braintumor.statistics.paired import Answers
from braintumor.statistics.proportions import EQUAL, LEVEL, NONE, Interval

# N images, G groups, R resamples, K classes, M models of a competitor, Q sums over images

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1")  # of a confusion matrix, for pairs
_MOST = 2**20  # weights at once: 4 MB stay in the cache, and 20,000 images need no more


def bootstrap_figures(
    predictions: Predictions, groups: np.ndarray, *, resamples: int, seed: int
) -> dict[str, Any]:
    """Figures of one model in each resample, as `weighted_figures` gives them.

    groups: int (N,), 0 to G - 1. Each resample draws G groups with replacement.
    """
    count, width = groups.max() + 1, min(resamples, _MOST // len(groups))
    draws = _draws(count, resamples, seed, width)
    return _joined([weighted_figures(predictions, groups, weights) for weights in draws])


def paired_bootstrap(
    competitors: Sequence[Sequence[Answers]], resamples: int, seed: int
) -> list[dict[str, np.ndarray]]:
    """FIGURES of each competitor in each resample: {name: float (R,)}, the mean over its models.

    All competitors see the same resamples, so that differences between them are paired. A class
    that a resample lacks is left out of its mean over classes.
    """
    present = np.unique(np.concatenate([m.groups for models in competitors for m in models]))
    tables = [_confusions(models, present) for models in competitors]
    found: list[list[dict[str, np.ndarray]]] = [[] for _ in competitors]
    width = _MOST // len(present)
    for weights in _draws(len(present), resamples, seed, width, resample_by_resample=True):
        for parts, table in zip(found, tables, strict=True):
            parts.append(_weighted_mean(table, weights))
    return [_joined(parts) for parts in found]


def mean_figures(models: Sequence[Answers]) -> dict[str, float]:
    """FIGURES of one competitor, without resampling: the mean over its models."""
    table = _confusions(models, np.unique(np.concatenate([model.groups for model in models])))
    found = _weighted_mean(table, np.ones((len(table), 1)))
    return {name: value.item() for name, value in found.items()}


def weighted_figures(
    predictions: Predictions, groups: np.ndarray, weights: np.ndarray
) -> dict[str, Any]:
    """What compute_metrics says of the images repeated by weight, for each column of weights.

    groups: int (N,), 0 to G - 1.  weights: int32 (G, R), how often each group is there.
    accuracy, balanced_accuracy, macro_f1, mcc, auroc, auprc, loss, brier, ece: float (R,);
    per_class: {name: auroc, auprc}. NaN exactly where compute_metrics has none.
    And ece_noise: the ECE that the draw alone makes, of the gaps in each bin less those of the
    images themselves; of a perfectly calibrated model it is all there is.
    """
    summands, count = _summands(predictions), len(predictions.classes)
    sums_of_group = np.stack([np.bincount(groups, row, len(weights)) for row in summands])
    sums = sums_of_group @ weights.astype(np.float64)
    images, loss, brier_score = sums[count**2 : -BINS]
    gaps, observed = sums[-BINS:], sums_of_group[-BINS:].sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ranking = [_ranking(predictions, k, weights[groups]) for k in range(count)]
        return {
            **confusion_figures(sums[: count**2].reshape(count, count, -1)),
            "auroc": _mean_defined(np.stack([auroc for auroc, _ in ranking])),
            "auprc": _mean_defined(np.stack([auprc for _, auprc in ranking])),
            "loss": loss / images,
            "brier": brier_score / images,
            "ece": np.abs(gaps).sum(axis=0) / images,
            "ece_noise": np.abs(gaps - observed).sum(axis=0) / images,
            "per_class": {
                name: {"auroc": auroc, "auprc": auprc}
                for name, (auroc, auprc) in zip(predictions.classes, ranking, strict=True)
            },
        }


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
            "balanced_accuracy": _mean_defined(right / truth),
            "macro_f1": _mean_defined(2 * right / (truth + answered)),
            "mcc": np.where(spread[0] > 0, mcc, np.nan),
        }


def spread_interval(
    value: float, drawn: np.ndarray, limits: tuple[float, float], degrees: int
) -> Interval:
    """value ± t standard deviations of its resamples, on a scale that keeps it within limits.

    The scale is the logit between the limits, or the logarithm above the lower one where the
    upper is infinite; the standard deviation is carried to it by the slope at the value.
    drawn: float (R,), NaN where a resample does not have the figure.
    limits: of the figure, (low, high).
    degrees: of freedom of Student's t, groups - 1.
    (NaN, NaN) where resamples cannot tell: the figure is undefined or at a limit, all resamples
    agree, or more than 5 % of them do not have it.
    """
    is_there = ~np.isnan(drawn)
    missing = (~is_there).mean()
    if np.isnan(value) or missing > 1 - LEVEL or drawn[is_there].std() < EQUAL:
        return NONE
    arm = float(stdtrit(max(1, degrees), 0.5 + LEVEL / 2)) * float(drawn[is_there].std())
    low, high = limits
    if np.isinf(high):
        factor = float(np.exp(arm / (value - low)))
        return low + (value - low) / factor, low + (value - low) * factor
    place, arm = (value - low) / (high - low), arm / (high - low)
    if not EQUAL < place < 1 - EQUAL:
        return NONE
    sides = expit(logit(place) + np.array([-1, 1]) * arm / (place * (1 - place)))
    return float(low + (high - low) * sides[0]), float(low + (high - low) * sides[1])


def percentile_interval(drawn: np.ndarray) -> Interval:
    """The middle 95 % of what resampling gave, without NaN; (NaN, NaN) where nothing is defined."""
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return NONE
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _draws(
    groups: int, resamples: int, seed: int, width: int, *, resample_by_resample: bool = False
) -> Iterator[np.ndarray]:
    """Weights of all resamples, `width` of them at once: int32 (G, width) each.

    Random numbers fill the row of a group, across resamples, before the next; or, resample by
    resample, a whole column. Intervals on disk came from one and from the other, so both stay.
    """
    random = np.random.default_rng(seed)
    for start in range(0, resamples, max(1, width)):
        r = min(max(1, width), resamples - start)
        if resample_by_resample:
            drawn = random.integers(0, groups, (r, groups)).T
        else:
            drawn = random.integers(0, groups, (groups, r))
        cells = np.bincount((drawn * r + np.arange(r)).ravel(), minlength=groups * r)
        yield cells.astype(np.int32).reshape(groups, r)


def _summands(predictions: Predictions) -> np.ndarray:
    """What each image adds: its cell of the confusion matrix, 1, loss, Brier, gaps: (Q, N)."""
    labels, probs = predictions.labels, predictions.probs
    n, count = probs.shape
    cell = np.zeros((count * count, n))
    cell[labels * count + predictions.predicted, np.arange(n)] = 1
    confidence = probs.max(axis=1)
    gaps = np.zeros((BINS, n))
    bins = bin_of(confidence, BINS, mass=False)
    gaps[bins, np.arange(n)] = (probs.argmax(axis=1) == labels) - confidence
    others = np.stack([np.ones(n), image_losses(predictions), image_briers(probs, labels)])
    return np.concatenate([cell, others, gaps])


def _confusions(models: Sequence[Answers], present: np.ndarray) -> np.ndarray:
    """Counts by group, model, true and predicted class: float (G, M, K, K)."""
    k = models[0].probs.shape[1]
    table = np.zeros((len(present), len(models), k, k))
    for number, model in enumerate(models):
        rows = np.searchsorted(present, model.groups)
        np.add.at(table[:, number], (rows, model.labels, model.predicted), 1)
    return table


def _weighted_mean(table: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """FIGURES of counts (G, M, K, K) under weights (G, R), as the mean over the models: (R,)."""
    sums = weights.T @ table.reshape(len(table), -1)
    matrix_KKRM = np.moveaxis(sums.reshape(-1, *table.shape[1:]), (-2, -1), (0, 1))
    found = confusion_figures(matrix_KKRM)
    return {name: found[name].mean(axis=-1) for name in FIGURES}


def _ranking(predictions: Predictions, k: int, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """AUROC and average precision of class k against the rest, each (R,). weights: (N, R)."""
    score = predictions.probs[:, k]
    order = np.argsort(score, kind="stable")
    is_class, score = (predictions.labels == k)[order], score[order]
    if not is_class.any():
        nothing = np.full(weights.shape[1], np.nan)
        return nothing, nothing
    # Images of one score stand and fall together: the first and the end of the row of equals
    # around each image of the class, each such row once.
    first = np.unique(np.searchsorted(score, score[is_class], side="left"))
    end = np.searchsorted(score, score[first], side="right")
    up_to = np.zeros((len(score) + 1, weights.shape[1]), np.int32)
    np.cumsum(weights[order], axis=0, dtype=np.int32, out=up_to[1:])
    below, until = up_to[first].astype(float), up_to[end].astype(float)
    row = np.searchsorted(first, np.flatnonzero(is_class), side="right") - 1
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    inside = np.add.reduceat(weights[order[is_class]], starts, axis=0).astype(float)
    class_until = np.cumsum(inside, axis=0)
    positives, images = class_until[-1], up_to[-1].astype(float)
    others_below = below - (class_until - inside)
    others_inside = until - below - inside
    wins = (inside * (others_below + others_inside / 2)).sum(axis=0)
    class_above = positives - class_until + inside
    all_above = images - below
    # a row that was not drawn adds nothing, and has no precision where nothing is above it
    precision = np.divide(class_above, all_above, out=np.zeros_like(all_above), where=all_above > 0)
    auprc = (inside * precision).sum(axis=0) / positives
    auroc = wins / (positives * (images - positives))
    return auroc, np.where(images > positives, auprc, np.nan)


def _mean_defined(values: np.ndarray) -> np.ndarray:
    """Mean over classes that have a value: (K, R) -> (R,); NaN where none has."""
    is_defined = ~np.isnan(values)
    return np.asarray(np.where(is_defined, values, 0).sum(axis=0) / is_defined.sum(axis=0))


def _joined(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for name, value in chunks[0].items():
        parts = [chunk[name] for chunk in chunks]
        joined[name] = _joined(parts) if isinstance(value, dict) else np.concatenate(parts)
    return joined
