"""Figures of many resamples at once: one pass over the images instead of one a resample.

A resample is a column of weights: how often each group was drawn. Everything that is a sum over
images is then one matrix product, and the ranking figures are cumulated weights in the order of
scores, which is the same for every resample.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import expit, logit, stdtrit

from braintumor.records import Predictions
from braintumor.statistics.calibration import BINS, bin_of, image_briers, image_losses
from braintumor.statistics.proportions import EQUAL, NONE, Interval

# N images, G groups, R resamples, K classes, Q quantities that are sums over images

_MOST = 2**20  # weights at once: 4 MB stay in the cache, and 20,000 images need no more


def bootstrap_figures(
    predictions: Predictions, groups: np.ndarray, *, resamples: int, seed: int
) -> dict[str, Any]:
    """Figures of resamples of whole groups: each float (R,), per_class: {name: {figure: (R,)}}.

    groups: int (N,), 0 to G - 1. Each resample draws G groups with replacement.
    See `weighted_figures` for which figures, and for where they are NaN.
    Source: Field & Welsh 2007, JRSS B 69:369-390, on the bootstrap of clusters.
    """
    chunks = [
        weighted_figures(predictions, groups, weights)
        for weights in _draws(groups.max() + 1, len(groups), resamples, seed)
    ]
    return _joined(chunks)


def weighted_figures(
    predictions: Predictions, groups: np.ndarray, weights: np.ndarray
) -> dict[str, Any]:
    """What compute_metrics says of the images repeated by weight, for each column of weights.

    groups: int (N,), 0 to G - 1.  weights: int32 (G, R), how often each group is there.
    balanced_accuracy, macro_f1, mcc, auroc, auprc, loss, brier, ece: float (R,); per_class:
    {name: auroc, auprc}. NaN exactly where compute_metrics has none.
    And ece_noise: what ece would be, had all bins lain on the diagonal before the draw.
    """
    of_groups = _of_groups(_summands(predictions), groups, weights.shape[0])
    sums = of_groups @ weights.astype(np.float64)
    count = len(predictions.classes)
    matrix = sums[: count**2].reshape(count, count, -1)
    images, loss, brier_score = sums[count**2 : -BINS]
    gaps, observed = sums[-BINS:], of_groups[-BINS:].sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ranking = [_ranking(predictions, k, weights[groups]) for k in range(count)]
        return {
            **_confusion_figures(matrix),
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


def spread_interval(
    value: float,
    drawn: np.ndarray,
    limits: tuple[float, float],
    degrees: int,
    confidence: float,
) -> Interval:
    """Interval from the standard deviation of resamples, where limits lie infinitely far.

    drawn: float (R,), NaN where a resample does not have the figure.
    limits: of the figure, (low, high); with high infinite the scale is the logarithm, else logit.
    degrees: of freedom, groups - 1: few groups estimate their own spread poorly.
    (NaN, NaN) where a share of the resamples above 1 - confidence does not have the figure, and
    where they all agree, or it is at a limit: then no bootstrap knows how sure it is.
    """
    is_there = ~np.isnan(drawn)
    missing = (~is_there).mean()
    if np.isnan(value) or missing > 1 - confidence or drawn[is_there].std() < EQUAL:
        return NONE
    arm = float(stdtrit(max(1, degrees), 0.5 + confidence / 2)) * float(drawn[is_there].std())
    low, high = limits
    if np.isinf(high):
        factor = float(np.exp(arm / (value - low)))
        return low + (value - low) / factor, low + (value - low) * factor
    place, arm = (value - low) / (high - low), arm / (high - low)
    if not EQUAL < place < 1 - EQUAL:
        return NONE
    sides = expit(logit(place) + np.array([-1, 1]) * arm / (place * (1 - place)))
    return float(low + (high - low) * sides[0]), float(low + (high - low) * sides[1])


def _draws(groups: int, images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Weights of all resamples, as many at once as memory should hold: int32 (G, r) each."""
    random = np.random.default_rng(seed)
    width = max(1, min(resamples, _MOST // images))
    for start in range(0, resamples, width):
        r = min(width, resamples - start)
        drawn = random.integers(0, groups, (groups, r)) * r + np.arange(r)
        yield np.bincount(drawn.ravel(), minlength=groups * r).astype(np.int32).reshape(groups, r)


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


def _of_groups(summands: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """(Q, N) -> (Q, G)."""
    return np.stack([np.bincount(groups, weights=row, minlength=count) for row in summands])


def _confusion_figures(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Of matrices (K, K, R), truth first: balanced accuracy, macro F1 and MCC, each (R,).

    Source of the MCC of K classes: Gorodkin 2004, Comput. Biol. Chem. 28:367-374.
    """
    right = np.einsum("kkr->kr", matrix)
    truth, answered = matrix.sum(axis=1), matrix.sum(axis=0)
    images = truth.sum(axis=0)
    spread = (images**2 - (truth**2).sum(axis=0), images**2 - (answered**2).sum(axis=0))
    covariance = right.sum(axis=0) * images - (truth * answered).sum(axis=0)
    mcc = np.where(spread[1] > 0, covariance / np.sqrt(spread[0] * spread[1]), 0.0)
    return {
        "balanced_accuracy": _mean_defined(right / truth),
        "macro_f1": _mean_defined(2 * right / (truth + answered)),
        "mcc": np.where(spread[0] > 0, mcc, np.nan),
    }


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
