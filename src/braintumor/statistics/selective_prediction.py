"""Which answers to give and which to leave to a person: selective classification."""

from __future__ import annotations

import logging
import math

import numpy as np
import pandas as pd

from braintumor.records import Predictions
from braintumor.statistics.proportions import upper_limit

# N images; confidence is the top probability

CERTAINTY = 0.95  # with which the risk is not exceeded
_STEP = 0.05  # of the images, between the shares that are tried
_log = logging.getLogger(__name__)


def risk_coverage(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Share of images answered, the most confident first, and the errors among them.

    float (N,), k / N for k = 1…N, and float (N,), the error rate of the k most confident.
    Images of equal confidence share their errors evenly, so that their order changes nothing.
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
    of the images, the most confident first, are tried in steps of 5 % from the smallest that
    could show it, and the last is taken before the exact upper limit of the errors, over groups,
    exceeds the risk. To stop at the first that fails is what keeps the certainty whole.

    predictions: of validation.  groups: int (N,), images of one patient share a number.
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
            "every image is answered, none is left to a person: at no confidence can validation "
            "show that at most %g of the answers are wrong; validate on more images, or raise "
            "decision.risk",
            risk,
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
