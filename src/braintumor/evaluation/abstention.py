"""Which answers to give and which to leave to a person: selective classification."""

from __future__ import annotations

import logging

import numpy as np

from braintumor.evaluation.proportions import share_interval
from braintumor.records import Predictions

# N images; confidence is the top probability

_CERTAINTY = 0.95  # with which the risk is not exceeded: the upper limit of one side
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

    Of the answers given at most the share `risk` is wrong, and that with 95 % certainty: the upper
    limit of their errors, over groups, may not exceed it. The share itself would do so for every
    second model.

    predictions: of validation.  groups: int (N,), images of one patient share a number.
    None where no confidence reaches that; without an error it takes about 2.7 / risk groups.
    Source: Geifman & El-Yaniv 2017, arXiv:1705.08500 (selection with guaranteed risk).
    """
    confidence = predictions.probs.max(axis=1)
    is_wrong = (predictions.predicted != predictions.labels).astype(float)
    order = np.argsort(-confidence, kind="stable")
    confidence, is_wrong, groups = confidence[order], is_wrong[order], groups[order]
    for end in _ends(confidence, is_wrong)[::-1]:
        _, most = share_interval(is_wrong[:end], groups[:end], 2 * _CERTAINTY - 1)
        if most <= risk:
            last, below = confidence[end - 1], confidence[min(end, len(confidence) - 1)]
            middle = (last + below) / 2
            return float(middle if middle > below else last)
    _log.warning(
        "no answer is left to a person: at no confidence can validation show that at most %g "
        "of the answers are wrong; validate on more images, or raise decision.risk",
        risk,
    )
    return None


def _ends(confidence: np.ndarray, is_wrong: np.ndarray) -> np.ndarray:
    """How many of the images, the most confident first, could be the ones answered.

    Those before a level of confidence that has an error, and all: between errors more is better.
    """
    starts = np.flatnonzero(np.diff(confidence, prepend=np.inf))  # of the levels
    has_error = np.maximum.reduceat(is_wrong, starts) > 0
    ends = np.append(starts[has_error], len(confidence))
    return ends[ends > 0]
