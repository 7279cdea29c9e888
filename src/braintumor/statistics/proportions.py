"""Intervals of proportions, and of means of figures that have intervals, over groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit

# N images, G groups, K classes

Interval = tuple[float, float]
NONE: Interval = (float("nan"), float("nan"))
EQUAL = 1e-12  # spread below is rounding


def wilson(right: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of the proportion right / n; (NaN, NaN) when n is 0.

    n may be an effective number of images, which need not be whole.
    Source: Wilson 1927, JASA 22:209-212; Newcombe 1998, Stat. Med. 17:857-872, method 3.
    """
    if not n:
        return NONE
    z = float(ndtri(0.5 + confidence / 2))
    centre = (right + z * z / 2) / (n + z * z)
    reach = z / (n + z * z) * float(np.sqrt(max(0.0, right * (n - right) / n) + z * z / 4))
    # rounding would leave 1e-17 where the limit is 0 or 1
    low = 0.0 if right <= 0 else max(0.0, centre - reach)
    return float(low), 1.0 if right >= n else float(min(1.0, centre + reach))


def share_interval(values: np.ndarray, groups: np.ndarray, confidence: float = 0.95) -> Interval:
    """Interval of the mean of images' values in [0, 1]: Wilson with their effective number.

    values: float (N,).  groups: int (N,).  (NaN, NaN) when N is 0.
    """
    if not len(values):
        return NONE
    return _share_of(values, groups).interval(confidence)


def upper_limit(values: np.ndarray, groups: np.ndarray, confidence: float) -> float:
    """The exact upper limit, from one side, of the share of images of value 1.

    values: 0 or 1, float (N,).  groups: int (N,); their effective number of images counts.
    1 where N is 0 or all values are 1.
    Source: Clopper & Pearson 1934, Biometrika 26:404-413; with an effective number, Korn &
    Graubard 1998, Survey Methodology 24:193-201.
    """
    if not len(values) or values.all():
        return 1.0
    share = _share_of(values, groups)
    n = _effective(share, 2 * confidence - 1)
    return float(betaincinv(share.value * n + 1, n - share.value * n, confidence))


@dataclass(frozen=True, eq=False)
class Share:
    """A proportion of images: of those in `whole`, those in `part`. Both float (G,), by group."""

    part: np.ndarray
    whole: np.ndarray

    @property
    def value(self) -> float:
        n = self.whole.sum()
        return float(self.part.sum() / n) if n else float("nan")

    @property
    def residuals(self) -> np.ndarray:
        """What each group has above its share: (G,), sums to 0."""
        return np.asarray(self.part - self.value * self.whole)

    def interval(self, confidence: float) -> Interval:
        n = _effective(self, confidence)
        return wilson(self.value * n, n, confidence) if n else NONE


def _share_of(values: np.ndarray, groups: np.ndarray) -> Share:
    _, of_group = np.unique(groups, return_inverse=True)
    part = np.bincount(of_group, weights=values)
    return Share(part, np.bincount(of_group).astype(float))


def _effective(share: Share, confidence: float) -> float:
    """How many independent images these are worth: at most as many as they are.

    Their number over the design effect, at least 1, of the ratio estimator over groups, with
    Student's tail for few groups. When none or all are right, groups show no difference that
    could be measured, and images of one group count as one that was looked at again.
    Source: Korn & Graubard 1998, Survey Methodology 24:193-201, for effective size and degrees
    of freedom; Franco et al. 2019, J. Surv. Stat. Methodol. 7:334-364, for Wilson with it.
    """
    n, groups = float(share.whole.sum()), int((share.whole > 0).sum())
    if n == groups:
        return n
    if share.value in (0.0, 1.0) or groups == 1:
        return n**2 / float((share.whole**2).sum())
    variance = groups / (groups - 1) * float((share.residuals**2).sum()) / n**2
    design = max(1.0, variance / (share.value * (1 - share.value) / (n - 1)))
    tail = 0.5 + confidence / 2
    return max(1.0, n / design * float(stdtrit(n - 1, tail) / stdtrit(groups - 1, tail)) ** 2)


def mean_interval(values: np.ndarray, limits: np.ndarray, correlation: np.ndarray) -> Interval:
    """Interval of the mean of figures in [0, 1] from the interval of each.

    values: float (K,).  limits: float (K, 2).  correlation: of the figures, float (K, K).
    Each limit gives back a variance. (NaN, NaN) when K is 0.
    Source: Zou & Donner 2008, Stat. Med. 27:1693-1702 (MOVER).
    """
    if not len(values):
        return NONE
    down, up = values - limits[:, 0], limits[:, 1] - values
    # a matrix of correlations has no negative square, but for rounding
    reach = [np.sqrt(max(0.0, d @ correlation @ d)) / len(values) for d in (down, up)]
    return float(max(0, values.mean() - reach[0])), float(min(1, values.mean() + reach[1]))


def correlations(rows: np.ndarray) -> np.ndarray:
    """Correlation (K, K) of K rows that each have the mean 0; a row without spread has none."""
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    unit = np.divide(rows, length, out=np.zeros_like(rows), where=length > EQUAL)
    correlation = unit @ unit.T
    np.fill_diagonal(correlation, 1)
    return np.asarray(correlation)
