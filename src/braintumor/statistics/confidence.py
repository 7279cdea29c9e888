"""Does 90 % sure mean right nine times in ten, and which answers are better left to a person?"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp, softmax

from braintumor.errors import DataError, some
from braintumor.records import Predictions
from braintumor.statistics.proportions import upper_limit

# N images, K classes; confidence is the top probability
# probs: float (N, K), rows sum to 1; labels: int (N,) in [0, K); groups: int (N,)

CERTAINTY = 0.95  # with which the risk is not exceeded
_STEP = 0.05  # of the images, between the shares that are tried
BINS = 15  # as in most papers on calibration since Guo et al. 2017
# A network that needs more than this is broken, and one that needs less has made no error that
# could be learnt from.
_LEAST, _MOST = 0.05, 20.0
_log = logging.getLogger(__name__)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature under which softmax(logits / temperature) fits the labels best.

    logits: float (N, K), raw; of validation, never of the images that are reported.
    It is where the mean cross-entropy, which is convex in 1 / temperature, is smallest. Above 1
    the model was too sure, below 1 too modest. Where no minimum lies in [0.05, 20] the answer
    is 1, and a warning says why: every image is right, and cannot tell how much more certainty is
    true, or the model is no better than chance.
    Raises DataError if N == 0.
    Source: Guo et al. 2017, arXiv:1706.04599, section 4.2.
    """
    # half a second, which reading a checkpoint or a first step would wait for
    from scipy.optimize import brentq

    if not len(labels):
        raise DataError("there is no image to fit a temperature on; keep some for validation")
    gaps = np.asarray(logits, dtype=np.float64)
    gaps = gaps - gaps[np.arange(len(labels)), labels][:, None]

    def slope(sharpness: float) -> float:
        # of the mean cross-entropy over 1 / temperature; below 0: sharper is better
        return float((softmax(gaps * sharpness, axis=1) * gaps).sum(axis=1).mean())

    if slope(1 / _LEAST) <= 0 or slope(1 / _MOST) >= 0:
        is_right = (gaps <= 0).all(axis=1)
        _log.warning(
            "no temperature: none can be fitted on %s, %d of them right; "
            "probabilities stay as they are; validate on more images",
            some(len(labels), "validation image"),
            is_right.sum(),
        )
        return 1.0
    return float(1 / brentq(slope, 1 / _MOST, 1 / _LEAST, xtol=1e-12))


def calibration_summary(predictions: Predictions) -> dict[str, Any]:
    """What the temperature changes: {"temperature", "before": {...}, "after": {...}}.

    before is at temperature 1. Each holds ece and ece_mass (bins of equal width and of equal
    mass), brier and loss. Accuracy is the same on both sides: a temperature moves no argmax.
    """
    return {
        "temperature": predictions.temperature,
        "before": calibration_figures(replace(predictions, temperature=1.0)),
        "after": calibration_figures(predictions),
    }


def calibration_figures(at: Predictions) -> dict[str, float]:
    """A side of `calibration_summary`, of predictions at their temperature."""
    return {
        "ece": expected_calibration_error(at.probs, at.labels),
        "ece_mass": expected_calibration_error(at.probs, at.labels, mass=True),
        "brier": brier(at.probs, at.labels),
        "loss": float(image_losses(at).mean()),
    }


def reliability(
    probs: np.ndarray, labels: np.ndarray, bins: int = BINS, *, mass: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean confidence and accuracy of each bin: int (bins,), float (bins,), float (bins,).

    Bins lie on the top probability and are closed on the right: of equal width, or with mass
    of equal numbers of images. An empty bin is NaN.
    Source: Guo et al. 2017, arXiv:1706.04599, section 2; mass: Nguyen & O'Connor 2015,
    arXiv:1508.05154, section 3.
    """
    confidence, is_right = probs.max(axis=1), probs.argmax(axis=1) == labels
    index = bin_of(confidence, bins, mass=mass)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, weights=confidence, minlength=bins) / count
        accuracy = np.bincount(index, weights=is_right, minlength=bins) / count
    return count, mean, accuracy


def expected_calibration_error(
    probs: np.ndarray, labels: np.ndarray, bins: int = BINS, *, mass: bool = False
) -> float:
    """Mean distance of accuracy and top probability over the bins, in [0, 1]; 0 is perfect.

    A bin counts by its images. Even of a perfectly calibrated model it
    is above 0, by about sqrt(bins / N) times the spread of right and wrong, since what is left
    to chance in a bin has no sign here: compare it only at equal N.
    Raises DataError if N == 0.
    Source: Guo et al. 2017, arXiv:1706.04599, eq. 3; its bias: Kumar et al. 2019,
    arXiv:1909.10155.

    Two bins hold images: .65 on average and half right, .9 and right: (2 * .15 + .1) / 3.
    >>> probs, labels = np.array([[0.6, 0.4], [0.3, 0.7], [0.1, 0.9]]), np.array([1, 1, 1])
    >>> round(expected_calibration_error(probs, labels, bins=4), 4)
    0.1333
    """
    _refuse_empty(labels)
    count, mean, accuracy = reliability(probs, labels, bins, mass=mass)
    return float(np.nansum(np.abs(accuracy - mean) * count) / len(labels))


def bin_of(confidence: np.ndarray, bins: int, *, mass: bool) -> np.ndarray:
    """The bin of each confidence: int (N,) in [0, bins). Equal ones never part."""
    if not mass:
        return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    # in whole numbers: 0.3 * 10 is more than 3
    places = -(-np.arange(1, bins) * len(confidence) // bins) - 1
    edges = np.sort(confidence)[np.maximum(places, 0)]
    return np.searchsorted(edges, confidence, side="left")


def brier(probs: np.ndarray, labels: np.ndarray) -> float:
    """Mean of `image_briers`: in [0, 2], 0 is perfect. Raises DataError if N == 0."""
    _refuse_empty(labels)
    return float(image_briers(probs, labels).mean())


def image_briers(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Squared distance of the probabilities to the truth, summed over classes: float (N,).

    In [0, 2], as Brier wrote it; of two classes it is twice the score of the second alone.
    Source: Brier 1950, Monthly Weather Review 78:1-3.

    >>> image_briers(np.array([[0.75, 0.25]]), np.array([0])).tolist()  # .25 ** 2 + .25 ** 2
    [0.125]
    """
    truth = np.eye(probs.shape[1])[labels]
    return np.asarray(((probs - truth) ** 2).sum(axis=1))


def image_losses(predictions: Predictions) -> np.ndarray:
    """Cross-entropy of each image after temperature, in nats: float (N,)."""
    # From logits and not from probabilities: those underflow to 0, and log(0) has no value.
    logits = predictions.logits.astype(np.float64) / predictions.temperature
    of_truth = logits[np.arange(len(predictions)), predictions.labels]
    return np.asarray(logsumexp(logits, axis=1) - of_truth)


def risk_coverage(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Share of images answered, the most confident first, and the errors among them.

    float (N,) each, of the k most confident for k = 1…N. Images of equal confidence share their
    errors evenly, so that their order changes nothing.
    Source: Geifman & El-Yaniv 2017, arXiv:1705.08500.
    """
    errors, _ = by_confidence(predictions)
    counts = np.arange(1, len(errors) + 1)
    return counts / len(errors), np.cumsum(errors) / counts


def aurc(predictions: Predictions) -> float:
    """Area under the risk-coverage curve: mean risk over all coverages; 0 is perfect.

    Source: Geifman, Uziel & El-Yaniv 2019, arXiv:1805.08206; Ding et al. 2020,
    arXiv:1903.02050, for what it does and does not compare.

    The surest of two is right, the other wrong: risks 0 and 1/2.
    >>> logits = np.array([[3, 0], [1, 0]], dtype=np.float32)
    >>> aurc(Predictions(("a", "b"), ("1", "2"), np.array([0, 1]), logits))
    0.25
    """
    return float(risk_coverage(predictions)[1].mean())


def by_confidence(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Errors in [0, 1], the most confident first, and the images they belong to: (N,), (N,)."""
    confidence = predictions.probs.max(axis=1)
    is_wrong = predictions.predicted != predictions.labels
    _, level = np.unique(confidence, return_inverse=True)
    mean_of_level = np.bincount(level, weights=is_wrong) / np.bincount(level)
    order = np.argsort(-confidence, kind="stable")
    return mean_of_level[level][order], order


def fit_confidence(predictions: Predictions, groups: np.ndarray, risk: float) -> float | None:
    """The confidence from which on answers are given, so that most images are answered.

    Of the answers given at most the share `risk` is wrong, and that with 95 % certainty: shares
    of the validation images, the most confident first, are tried in steps of 5 % from the smallest
    that could show it, and the last is taken before the exact upper limit of the errors, over
    groups, exceeds the risk. To stop at the first that fails is what keeps the certainty whole.
    None where no confidence can show that; without an error it takes about 3 / risk groups.
    Source: Geifman & El-Yaniv 2017, arXiv:1705.08500 (selection with guaranteed risk);
    Angelopoulos et al. 2021, arXiv:2110.01052 (learn then test, fixed sequence).
    """
    confidence = predictions.probs.max(axis=1)
    is_wrong = (predictions.predicted != predictions.labels).astype(float)
    order = np.argsort(-confidence, kind="stable")
    confidence, is_wrong, groups = confidence[order], is_wrong[order], groups[order]
    answered = 0
    for end in _shares_to_try(confidence, groups, risk):
        if upper_limit(is_wrong[:end], groups[:end], CERTAINTY) > risk:
            break
        answered = end
    if not answered:
        _log.warning(
            "a person has to check every answer: validation cannot show, for any confidence, that "
            "at most %g %% of the answers are wrong; validate on more images, or raise "
            "decision.risk",
            100 * risk,
        )
        return None
    last, below = confidence[answered - 1], confidence[min(answered, len(confidence) - 1)]
    middle = (last + below) / 2
    return float(middle if middle > below else last)


def _shares_to_try(confidence: np.ndarray, groups: np.ndarray, risk: float) -> list[int]:
    """How many of the images, sorted by confidence: from the fewest that could show the risk on.

    Images of equal confidence are taken together.
    """
    needed = math.log(1 - CERTAINTY) / math.log(1 - risk)  # images without an error
    count = len(confidence)
    # what n images in groups are worth: n² over the sum of squared sizes, image after image
    before = pd.Series(groups).groupby(groups).cumcount().to_numpy()
    worth = np.arange(1, count + 1) ** 2 / np.cumsum(2 * before + 1)
    could = np.flatnonzero(worth >= needed)
    if not len(could):
        return []
    steps = np.arange(could[0] + 1, count, max(1, round(_STEP * count)))
    ends = np.searchsorted(-confidence, -confidence[np.append(steps, count) - 1], side="right")
    return np.unique(ends).tolist()


def _refuse_empty(labels: np.ndarray) -> None:
    if not len(labels):
        raise DataError("there is no image to judge calibration on; choose a split with images")
