"""How sure a figure is, given how many images, and how many patients or pictures, it rests on.

A bootstrap alone is no answer where models are good: of a model without an error it says [1, 1],
and a rare class that happens to be all right adds nothing to its spread. With 319 images of which
6 are of the rarest class, its 95 % interval held the true balanced accuracy in 62 % of 400
simulated sets and Wilson's limits, added up, in 92 %. So proportions, and means of them, stand on
Wilson, and the bootstrap is left with what has no other way, on a scale that knows its limits
(MCC: 95 % against 93 % for plain percentiles). Rankings have a page of their own, rankings.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from braintumor.records import Predictions
from braintumor.statistics.auc_intervals import ranking_intervals
from braintumor.statistics.bootstrap import bootstrap_figures, spread_interval, weighted_figures
from braintumor.statistics.proportions import (
    EQUAL,
    NONE,
    Interval,
    Share,
    correlations,
    mean_interval,
)

# N images, G groups, K classes, R resamples

_LIMITS = {"mcc": (-1.0, 1.0), "brier": (0.0, 2.0), "loss": (0.0, float("inf"))}


def metric_intervals(
    predictions: Predictions,
    groups: np.ndarray | None,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """An interval for every figure of compute_metrics: {"accuracy_ci": (low, high), …,
    "per_class": {name: {"recall_ci": (low, high), …}}}.

    groups: int (N,), images of one patient or copies of one picture share a number; None: every
    image is its own group. Groups are drawn and counted, not images: copies are no new evidence.

    Wilson, with the number of images replaced by an effective one where groups hold several:
        accuracy; per class recall (sensitivity), specificity, precision (PPV), npv, and f1, which
        is 2 j / (1 + j) of j, the right ones among the images that are or are called the class.
    Limits of the classes added up: balanced_accuracy, macro_f1, auroc, auprc.
    Spread of the group bootstrap, on a scale without limits: mcc, brier (logit) and loss (log);
        per class auroc and auprc, see rankings.ranking_intervals.
    Group bootstrap of the gaps: ece; its lower limit is 0 where chance alone would give as much,
        and otherwise on the safe side (coverage 97 % to 100 % in simulations).

    (NaN, NaN) where the figure is undefined; of mcc, brier and loss also where the resamples all
    agree: then no bootstrap knows how sure it is.
    The order of the images and the numbers of the groups change nothing.
    """
    predictions, groups = _in_own_order(predictions, groups)
    once = np.ones((groups.max() + 1, 1), np.int32)
    figures = weighted_figures(predictions, groups, once)
    drawn = bootstrap_figures(predictions, groups, resamples=resamples, seed=seed)
    found = _of_shares(predictions, groups, confidence)
    for name, limits in _LIMITS.items():
        found[f"{name}_ci"] = spread_interval(
            figures[name].item(), drawn[name], limits, groups.max(), confidence
        )
    rankings = ranking_intervals(predictions, groups, figures, drawn, confidence)
    for c, row in rankings.pop("per_class").items():
        found["per_class"][c] |= row
    found |= rankings
    found["ece_ci"] = _of_gaps(figures["ece"].item(), drawn, confidence)
    return found


def _of_shares(predictions: Predictions, groups: np.ndarray, confidence: float) -> dict[str, Any]:
    """The intervals that need no resamples."""

    def share(part: np.ndarray, whole: np.ndarray) -> Share:
        return Share(*(np.bincount(groups, weights=of) for of in (part & whole, whole)))

    labels, predicted = predictions.labels, predictions.predicted
    rows, recalls, overlaps = {}, [], []
    for k, name in enumerate(predictions.classes):
        is_class, is_called = labels == k, predicted == k
        recalls.append(share(is_called, is_class))
        overlaps.append(share(is_class & is_called, is_class | is_called))
        rows[name] = {
            "precision_ci": share(is_class, is_called).interval(confidence),
            "recall_ci": recalls[-1].interval(confidence),
            "specificity_ci": share(~is_called, ~is_class).interval(confidence),
            "npv_ci": share(~is_class, ~is_called).interval(confidence),
            "f1_ci": tuple(map(_as_f1, overlaps[-1].interval(confidence))),
        }
    recall_limits = [row["recall_ci"] for row in rows.values()]
    f1_limits = [row["f1_ci"] for row in rows.values()]
    f1s = [_as_f1(overlap.value) for overlap in overlaps]
    return {
        "accuracy_ci": share(labels == predicted, labels >= 0).interval(confidence),
        "balanced_accuracy_ci": _of_mean(recalls, [r.value for r in recalls], recall_limits),
        "macro_f1_ci": _of_mean(overlaps, f1s, f1_limits),
        "per_class": rows,
    }


def _as_f1(overlap: float) -> float:
    """Hand, Christen & Kirielle 2021, Mach. Learn. 110:451-456: F1 is 2 j / (1 + j)."""
    return 2 * overlap / (1 + overlap)


def _of_mean(shares: list[Share], values: list[float], limits: list[tuple[float, ...]]) -> Interval:
    """Interval of the mean of the values that are defined.

    Groups that stand above their share in two classes at once, or in one and below in the other,
    correlate the two.
    """
    known = [k for k, value in enumerate(values) if not np.isnan(value)]
    residuals = np.array([shares[k].residuals for k in known]).reshape(len(known), -1)
    of_known = np.array(limits)[known]
    return mean_interval(np.array(values)[known], of_known, correlations(residuals))


def _of_gaps(value: float, drawn: Mapping[str, Any], confidence: float) -> Interval:
    """ECE is never below its noise, so resamples of it lie too high by what noise adds.

    The gaps of the resamples about those observed say how far from the truth an ECE can be; it
    is at least the difference. The upper limit is the percentile less the excess of the mean.
    """
    tail = 0.5 + confidence / 2
    low = max(0.0, value - float(np.quantile(drawn["ece_noise"], tail)))
    high = float(np.quantile(drawn["ece"], tail) - (drawn["ece"].mean() - value))
    return NONE if drawn["ece_noise"].max() < EQUAL else (low, max(value, high))


def _in_own_order(
    predictions: Predictions, groups: np.ndarray | None
) -> tuple[Predictions, np.ndarray]:
    """Images sorted by path and groups numbered as they come, so that draws are always the same."""
    order = np.lexsort((*predictions.logits.T, predictions.labels, np.array(predictions.paths)))
    paths = tuple(predictions.paths[i] for i in order)
    labels, logits = predictions.labels[order], predictions.logits[order]
    owner = np.arange(len(order)) if groups is None else np.asarray(groups)[order]
    _, first, number = np.unique(owner, return_index=True, return_inverse=True)
    return replace(
        predictions, paths=paths, labels=labels, logits=logits
    ), first.argsort().argsort()[number]
