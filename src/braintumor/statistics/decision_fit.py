"""The fit of all decisions on validation images, which no weight was trained on."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np

from braintumor.errors import DataError
from braintumor.records import Predictions
from braintumor.statistics.calibration import fit_temperature
from braintumor.statistics.decisions import NO_TUMOR, Decisions, DecisionSettings, tumor_probability
from braintumor.statistics.selective_prediction import fit_confidence

# N images, K classes, G groups

_ROUNDING = 1e-9  # 0.07 * 100 is 7.000000000000001, and no eighth image is meant
_log = logging.getLogger(__name__)


def fit_decisions(
    predictions: Predictions,
    groups: np.ndarray | None,
    outlier_scores: np.ndarray | None,
    settings: DecisionSettings,
    turned_scores: np.ndarray | None = None,
) -> Decisions:
    """Everything fitted on the validation images, which no weight was trained on.

    predictions: of validation; its own temperature is not read, the fitted one is used.
    groups: int (N,), or None when every image stands alone.
    outlier_scores: float (N,), by input_checks.outlier_scores.
    turned_scores: float (N,), by input_checks.orientation_scores.
    Raises DataError when there is no image.
    """
    if not len(predictions):
        raise DataError("there is no validation image to fit decisions on; keep some for it")
    temperature = fit_temperature(predictions.logits, predictions.labels)
    calibrated = replace(predictions, temperature=temperature)
    probs = calibrated.probs
    groups = np.arange(len(predictions)) if groups is None else groups
    return Decisions(
        n=len(predictions),
        groups=len(np.unique(groups)),
        temperature=temperature,
        sensitivity=settings.sensitivity,
        threshold=_tumor_threshold(probs, predictions, settings.sensitivity),
        coverage=settings.coverage,
        conformal=_conformal(probs, predictions.labels, groups, settings.coverage),
        reject=settings.reject,
        outlier_threshold=_upper_limit(outlier_scores, predictions.labels, settings.reject),
        turned_threshold=_upper_limit(turned_scores, predictions.labels, settings.reject),
        risk=settings.risk,
        confidence=fit_confidence(calibrated, groups, settings.risk),
    )


def _tumor_threshold(
    probs: np.ndarray, predictions: Predictions, sensitivity: float
) -> float | None:
    """The threshold with the fewest false alarms at which enough tumours are called tumour.

    Between the image without a tumour that is called healthy with the highest probability, and
    the tumour next above it, all thresholds do the same to these images; the middle is taken. The
    largest that reaches the sensitivity would lie at the edge: where validation is nearly
    separated that is near 1, and a slightly harder set of images falls under it.
    """
    classes = predictions.classes
    if NO_TUMOR not in classes:
        return None
    is_tumor = predictions.labels != classes.index(NO_TUMOR)
    if not is_tumor.any():
        _log.warning("validation has no image with a tumour, so no threshold can be fitted")
        return None
    chances = tumor_probability(probs, classes)
    descending = np.sort(chances[is_tumor])[::-1]
    needed = math.ceil(sensitivity * len(descending) - _ROUNDING)
    largest = float(descending[needed - 1])
    below = chances[~is_tumor & (chances < largest)]
    if not len(below):
        return largest
    return float((below.max() + descending[descending > below.max()].min()) / 2)


def _conformal(
    probs: np.ndarray, labels: np.ndarray, groups: np.ndarray, coverage: float
) -> float | None:
    """The quantile of the scores 1 - p(true class) that holds for a new image of a new group.

    Slices of one patient are alike: groups are exchangeable, images are not. Each group has the
    same weight, whatever its number of images, and one more, of a score above all, stands for
    the group to come. Where each group is one image, this is the quantile that MAPIE takes
    (split conformal, score "lac"), the ceil((N + 1) coverage)-th smallest score.
    None when G + 1 groups cannot reach the coverage: it takes coverage / (1 - coverage) groups.
    Source: Lee, Barber, Willett 2023, arXiv:2306.06342 (hierarchical conformal
    prediction); score: Sadinle, Lei, Wasserman 2019, JASA 114:223-234.
    """
    scores = 1 - probs[np.arange(len(labels)), labels]
    _, of_group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    count = len(sizes)
    order = np.argsort(scores, kind="stable")
    # in groups, of which count + 1 make the whole
    mass = np.cumsum((1 / sizes)[of_group][order])
    needed = coverage * (count + 1) - _ROUNDING
    if needed > count:
        _log.warning(
            "no conformal sets: a coverage of %g takes %d groups of validation images, and there "
            "are %d; validate on more, or lower decision.coverage",
            coverage,
            math.ceil(coverage / (1 - coverage) - _ROUNDING),
            count,
        )
        return None
    return float(scores[order[np.searchsorted(mass, needed)]])


def _upper_limit(scores: np.ndarray | None, labels: np.ndarray, reject: float) -> float | None:
    """The score that a new image of any class exceeds with a probability of `reject` at most.

    The (n + 1) (1 - reject)-th of the n scores of a class, as in a conformal test; the largest
    where n is too small for that (below 49 for 0.02), and then more exceed it. Of every class and
    not of all images: those of the class of many looks would pay for the others, and the share
    would depend on how many of it there are.
    """
    if scores is None:
        return None
    classes = np.unique(labels)

    def limit(of_class: np.ndarray) -> float:
        rank = math.ceil((len(of_class) + 1) * (1 - reject) - _ROUNDING)
        return float(np.sort(of_class)[min(rank, len(of_class)) - 1])

    return max(limit(scores[labels == k]) for k in classes)
