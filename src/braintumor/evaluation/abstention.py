"""Which answers to give and which to leave to a person: selective classification."""

from __future__ import annotations

import logging

import numpy as np

from braintumor.records import Predictions

# N images, G groups, L levels of confidence; confidence is the top probability

_ROUNDING = 1e-9  # 2 / 100 is no more than a risk of 0.02
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

    Of the answers given at most the share `risk` is wrong, where each group has the same weight,
    whatever its number of images, and one more, answered wrongly, stands for the group to come:
    a few sure and right answers do not yet show that sure answers are right.

    predictions: of validation.  groups: int (N,).
    None where no confidence reaches that; it takes 1 / risk - 1 groups without an error at least.
    Source: Geifman & El-Yaniv 2017, arXiv:1705.08500; the one more as in Angelopoulos et al. 2022,
    arXiv:2208.02814 (conformal risk control).
    """
    confidence = predictions.probs.max(axis=1)
    is_wrong = predictions.predicted != predictions.labels
    _, of_group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weights = (1 / sizes)[of_group]
    levels, of_level = np.unique(-confidence, return_inverse=True)  # the most confident first
    answered = np.cumsum(np.bincount(of_level, weights))
    errors = np.cumsum(np.bincount(of_level, weights * is_wrong))
    enough = np.flatnonzero((errors + 1) / (answered + 1) <= risk + _ROUNDING)
    if not len(enough):
        _log.warning(
            "no answer is left to a person: at no confidence can validation show that at most %g "
            "of the answers are wrong; validate on more images, or raise decision.risk",
            risk,
        )
        return None
    last = -float(levels[enough[-1]])
    below = -float(levels[min(enough[-1] + 1, len(levels) - 1)])
    middle = (last + below) / 2
    return middle if middle > below else last
