"""What a model's probabilities let one do: call a tumour, name a set, turn a picture away.

Fitted on validation images, which no weight was trained on, and only applied to others.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from braintumor.errors import DataError, some
from braintumor.ranges import AboveZero, Finite, ShareWithin, Within
from braintumor.records import Predictions
from braintumor.statistics.confidence import fit_confidence, fit_temperature

# N images, K classes, G groups
# outlier_scores, upside_down_scores: float (N,), by the functions of input_checks; None: not known

NO_TUMOR = "no_tumor"
_ROUNDING = 1e-9  # 0.07 * 100 is 7.000000000000001, and no eighth image is meant
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DecisionSettings:
    """The `decision` section. Documented in configs/decision/default.yaml."""

    sensitivity: Annotated[float, Within(0, 1, "(]")]  # 1: the least sure tumour is called one
    prevalence: ShareWithin | None
    coverage: ShareWithin
    risk: ShareWithin
    reject: ShareWithin


@dataclass(frozen=True)
class Decisions:
    """Fitted on validation, kept in the card: `Decisions(**dataclasses.asdict(d))` is d again.

    n, groups: images and groups they were fitted on.
    temperature: all probabilities below are after it.
    threshold: p(any tumour) >= threshold is called tumour; None where no class is no_tumor, or
        validation had no tumour.
    conformal: a class is in the set where 1 - probability <= conformal; None where validation
        had too few groups to promise the coverage.
    outlier_threshold, turned_threshold: a score above it is foreign, or stands on its head; None
        where no scores were given.
    confidence: an image is answered where its top probability reaches it; None where validation
        could not show that at most the share `risk` of the answers is wrong.
    """

    n: int
    groups: int
    temperature: AboveZero
    sensitivity: Finite
    threshold: Finite | None
    coverage: Finite
    conformal: Finite | None
    reject: Finite
    outlier_threshold: Finite | None
    turned_threshold: Finite | None
    risk: Finite
    confidence: Finite | None


@dataclass(frozen=True, eq=False)
class Decided:
    """What the decisions say of N images; None where there is no such decision.

    tumor_prob: float (N,), of all tumor classes together; 1 where no class is no_tumor.
    sets: bool (N, K).  outlier_score: float (N,).  is_…: bool (N,).
    is_answered: sure enough, foreign or not; the others are for a person.
    """

    tumor_prob: np.ndarray
    is_tumor: np.ndarray | None
    sets: np.ndarray | None
    outlier_score: np.ndarray | None
    is_foreign: np.ndarray | None
    is_upside_down: np.ndarray | None = None
    is_answered: np.ndarray | None = None


def fit_decisions(
    predictions: Predictions,
    groups: np.ndarray | None,
    outlier_scores: np.ndarray | None,
    settings: DecisionSettings,
    upside_down_scores: np.ndarray | None = None,
) -> Decisions:
    """All decisions, fitted on validation images.

    predictions: of validation; its own temperature is not read, the fitted one is used.
    groups: int (N,), or None when every image stands alone.
    Raises DataError when there is no image.
    """
    if not len(predictions):
        raise DataError("there is no validation image to fit decisions on; keep some for it")
    temperature = fit_temperature(predictions.logits, predictions.labels)
    calibrated = replace(predictions, temperature=temperature)
    groups = np.arange(len(predictions)) if groups is None else groups
    return Decisions(
        n=len(predictions),
        groups=len(np.unique(groups)),
        temperature=temperature,
        sensitivity=settings.sensitivity,
        threshold=_tumor_threshold(calibrated, settings.sensitivity),
        coverage=settings.coverage,
        conformal=_conformal(calibrated, groups, settings.coverage),
        reject=settings.reject,
        outlier_threshold=_score_limit(outlier_scores, predictions.labels, settings.reject),
        turned_threshold=_score_limit(upside_down_scores, predictions.labels, settings.reject),
        risk=settings.risk,
        confidence=fit_confidence(calibrated, groups, settings.risk),
    )


def decide(
    predictions: Predictions,
    decisions: Decisions,
    outlier_scores: np.ndarray | None,
    upside_down_scores: np.ndarray | None = None,
) -> Decided:
    """Apply the decisions to any images of the same model, at the temperature of the decisions."""
    probs = replace(predictions, temperature=decisions.temperature).probs
    tumor, surest = tumor_probability(probs, predictions.classes), probs.max(axis=1)
    return Decided(
        tumor_prob=tumor,
        is_tumor=None if decisions.threshold is None else tumor >= decisions.threshold,
        # 1 - p, as in the fit: p >= 1 - conformal can round the other way at a tie
        sets=None if decisions.conformal is None else 1 - probs <= decisions.conformal,
        outlier_score=outlier_scores,
        is_foreign=_above(outlier_scores, decisions.outlier_threshold),
        is_upside_down=_above(upside_down_scores, decisions.turned_threshold),
        is_answered=None if decisions.confidence is None else surest >= decisions.confidence,
    )


def columns_of(classes: tuple[str, ...], decided: Decided) -> dict[str, Any]:
    """What predictions.csv says beside the probabilities; no column where nothing was decided.

    tumor_prob, is_tumor, set (names, "; " between them, "" when empty), answered,
    outlier_score, foreign, upside_down.
    """
    columns: dict[str, Any] = {}
    if decided.is_tumor is not None:
        columns["tumor_prob"] = [float(f"{p:.9g}") for p in decided.tumor_prob]
        columns["is_tumor"] = decided.is_tumor
    if decided.sets is not None:
        members = [np.flatnonzero(row) for row in decided.sets]
        columns["set"] = ["; ".join(classes[k] for k in row) for row in members]
    if decided.is_answered is not None:
        columns["answered"] = decided.is_answered
    if decided.is_foreign is not None and decided.outlier_score is not None:
        columns["outlier_score"] = [float(f"{score:.4g}") for score in decided.outlier_score]
        columns["foreign"] = decided.is_foreign
    if decided.is_upside_down is not None:
        columns["upside_down"] = decided.is_upside_down
    return columns


def tumor_probability(probs: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Probability of any tumour: float (N,), the sum over all classes but no_tumor.

    The sum, and not 1 - p(no_tumor), which rounds the smallest ones to 0.
    """
    return np.asarray(probs[:, [name != NO_TUMOR for name in classes]].sum(axis=1))


def _above(scores: np.ndarray | None, limit: float | None) -> np.ndarray | None:
    return None if limit is None or scores is None else scores > limit


def _tumor_threshold(predictions: Predictions, sensitivity: float) -> float | None:
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
        _log.warning("no tumor threshold: validation has no image with a tumor")
        return None
    chances = tumor_probability(predictions.probs, classes)
    descending = np.sort(chances[is_tumor])[::-1]
    needed = math.ceil(sensitivity * len(descending) - _ROUNDING)
    largest = float(descending[needed - 1])
    below = chances[~is_tumor & (chances < largest)]
    if not len(below):
        return largest
    return float((below.max() + descending[descending > below.max()].min()) / 2)


def _conformal(predictions: Predictions, groups: np.ndarray, coverage: float) -> float | None:
    """The quantile of the scores 1 - p(true class) that holds for a new image of a new group.

    Slices of one patient are alike: groups are exchangeable, images are not. Each group has the
    same weight, whatever its number of images, and one more, of a score above all, stands for
    the group to come. Where each group is one image, this is the quantile that MAPIE takes
    (split conformal, score "lac"), the ceil((N + 1) coverage)-th smallest score.
    None when G + 1 groups cannot reach the coverage: it takes coverage / (1 - coverage) groups.
    Source: Lee, Barber, Willett 2023, arXiv:2306.06342 (hierarchical conformal
    prediction); score: Sadinle, Lei, Wasserman 2019, JASA 114:223-234.
    """
    scores = 1 - predictions.probs[np.arange(len(predictions)), predictions.labels]
    _, of_group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    count = len(sizes)
    order = np.argsort(scores, kind="stable")
    # in groups, of which count + 1 make the whole
    mass = np.cumsum((1 / sizes)[of_group][order])
    needed = coverage * (count + 1) - _ROUNDING
    if needed > count:
        _log.warning(
            "no conformal sets: a coverage of %g takes %s of images, and validation "
            "has %d; validate on more images, or lower decision.coverage",
            coverage,
            some(math.ceil(coverage / (1 - coverage) - _ROUNDING), "group"),
            count,
        )
        return None
    return float(scores[order[np.searchsorted(mass, needed)]])


def _score_limit(scores: np.ndarray | None, labels: np.ndarray, reject: float) -> float | None:
    """The score that a new image of any class exceeds with a probability of `reject` at most.

    The (n + 1) (1 - reject)-th of the n scores of a class, as in a conformal test; the largest
    where n is too small for that (below 49 for 0.02), and then more exceed it. The limit of the
    class that has the largest: one over all images together would turn away more of a class of
    many looks, and depend on how many of it there are.
    """
    if scores is None:
        return None
    limits = []
    for k in np.unique(labels):
        own = np.sort(scores[labels == k])
        rank = math.ceil((len(own) + 1) * (1 - reject) - _ROUNDING)
        limits.append(float(own[min(rank, len(own)) - 1]))
    return max(limits)
