"""Intervals in closed form: of proportions and AUROC over groups, of means, and by a spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, expit, logit, ndtri, stdtrit

# N images, G groups, K classes, R resamples

Interval = tuple[float, float]
NONE: Interval = (float("nan"), float("nan"))
LEVEL = 0.95  # of every interval
EQUAL = 1e-12  # spread below is rounding
_TAIL = 0.5 + LEVEL / 2
_Z = float(ndtri(_TAIL))
_NEAR = 1e-9  # how near to 0 or 1 a limit of an AUROC is looked for


def wilson(right: float, n: float) -> Interval:
    """Wilson's score interval of the proportion right / n; (NaN, NaN) when n is 0.

    n may be an effective number of images, which need not be whole.
    Source: Wilson 1927, JASA 22:209-212; Newcombe 1998, Stat. Med. 17:857-872, method 3.

    81 of 263, as in Newcombe's table I:
    >>> [round(limit, 4) for limit in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    if not n:
        return NONE
    centre = (right + _Z * _Z / 2) / (n + _Z * _Z)
    reach = _Z / (n + _Z * _Z) * float(np.sqrt(max(0.0, right * (n - right) / n) + _Z * _Z / 4))
    # rounding would leave 1e-17 where the limit is 0 or 1
    low = 0.0 if right <= 0 else max(0.0, centre - reach)
    return float(low), 1.0 if right >= n else float(min(1.0, centre + reach))


def share_interval(values: np.ndarray, groups: np.ndarray) -> Interval:
    """Wilson's interval of the mean of images' values in [0, 1], with their effective number.

    values: float (N,).  groups: int (N,).

    Five patients with two images each, all right, are worth five images: 5 / (5 + 1.96 ** 2).
    >>> [round(limit, 4) for limit in share_interval(np.ones(10), np.repeat(np.arange(5), 2))]
    [0.5655, 1.0]
    """
    return _share(values, groups).interval()


def upper_limit(values: np.ndarray, groups: np.ndarray, confidence: float) -> float:
    """The exact one-sided upper limit of the share of images of value 1.

    values: 0 or 1, float (N,).  groups: int (N,); their effective number of images counts.
    1 where N is 0 or all values are 1.
    Source: Clopper & Pearson 1934, Biometrika 26:404-413; with an effective number, Korn &
    Graubard 1998, Survey Methodology 24:193-201.

    No error in 59 images: 0.95 ** 59 is 0.0485, so less than 5 % are wrong.
    >>> round(upper_limit(np.zeros(59), np.arange(59), 0.95), 4)
    0.0495
    """
    if values.all():
        return 1.0
    share = _share(values, groups)
    n = _effective_size(share, 2 * confidence - 1)
    return float(betaincinv(share.value * n + 1, n - share.value * n, confidence))


def auroc_interval(value: float, positives: float, negatives: float) -> Interval:
    """Interval of an AUROC from its value and the numbers of images on both sides.

    A limit is where the value is as far away as the variance of an AUROC at that limit allows,
    so that a ranking without an error has a lower limit below 1.
    Source: Newcombe 2006, Stat. Med. 25:559-573, method 5; variance: Hanley & McNeil 1982,
    Radiology 143:29-36.
    """
    from scipy.optimize import brentq  # half a second, which a first step would wait for

    others = (positives + negatives) / 2 - 1

    def excess(limit: float) -> float:
        spread = 1 + others * (1 - limit) / (2 - limit) + others * limit / (1 + limit)
        variance = limit * (1 - limit) * spread / (positives * negatives)
        return float((value - limit) ** 2 - _Z**2 * variance)

    low = brentq(excess, _NEAR, value - _NEAR) if value > 2 * _NEAR else 0.0
    high = brentq(excess, value + _NEAR, 1 - _NEAR) if value < 1 - 2 * _NEAR else 1.0
    return float(low), float(high)


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

    def interval(self) -> Interval:
        n = _effective_size(self, LEVEL)
        return wilson(self.value * n, n)


def kish_size(sizes: np.ndarray) -> float:
    """Effective number of images where those of one group all say the same.

    sizes: images of each group.  Source: Kish 1965, Survey Sampling.

    >>> kish_size(np.array([2, 2, 2])), kish_size(np.array([4, 1, 1]))
    (3.0, 2.0)
    """
    sizes = sizes.astype(float)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def mean_interval(values: np.ndarray, limits: np.ndarray, correlation: np.ndarray) -> Interval:
    """Interval of the mean of figures in [0, 1] from the interval of each.

    values: float (K,).  limits: float (K, 2).  correlation: of the figures, float (K, K).
    Each limit gives back a variance. (NaN, NaN) when K is 0.
    Source: Zou & Donner 2008, Stat. Med. 27:1693-1702 (MOVER).

    Two recalls of 0.8 (0.5 to 0.9), not correlated: the reaches fall by the root of 2.
    >>> limits = np.array([[0.5, 0.9], [0.5, 0.9]])
    >>> [round(limit, 3) for limit in mean_interval(np.array([0.8, 0.8]), limits, np.eye(2))]
    [0.588, 0.871]
    """
    if not len(values):
        return NONE
    down, up = values - limits[:, 0], limits[:, 1] - values
    # a matrix of correlations has no negative square, but for rounding
    reach = [np.sqrt(max(0.0, d @ correlation @ d)) / len(values) for d in (down, up)]
    return float(max(0, values.mean() - reach[0])), float(min(1, values.mean() + reach[1]))


def difference_interval(first: tuple[float, Interval], second: tuple[float, Interval]) -> Interval:
    """Interval of first minus second, each a figure and its interval, of different images.

    Source: Newcombe 1998, Stat. Med. 17:873-890, method 10; there 56 / 70 less 48 / 80:
    >>> shares = [(right / n, wilson(right, n)) for right, n in ((56, 70), (48, 80))]
    >>> [round(limit, 4) for limit in difference_interval(*shares)]
    [0.0524, 0.3339]
    """
    (a, (a_low, a_high)), (b, (b_low, b_high)) = first, second
    down = np.hypot(a - a_low, b_high - b)
    return float(a - b - down), float(a - b + np.hypot(a_high - a, b - b_low))


def spread_interval(
    value: float, drawn: np.ndarray, limits: tuple[float, float], degrees: int
) -> Interval:
    """value ± t standard deviations of its resamples, on a scale that keeps it within limits.

    The scale is the logit between the limits, or the logarithm above the lower one where the
    upper is infinite; the standard deviation is carried to it by the slope at the value.
    drawn: float (R,), NaN where a resample does not have the figure.  degrees: of freedom of t.
    (NaN, NaN) where resamples cannot tell: the figure is undefined or at a limit, all resamples
    agree, or more than 5 % of them do not have it.
    """
    is_there = ~np.isnan(drawn)
    missing = (~is_there).mean()
    if np.isnan(value) or missing > 1 - LEVEL or drawn[is_there].std() < EQUAL:
        return NONE
    arm = float(stdtrit(max(1, degrees), _TAIL)) * float(drawn[is_there].std())
    low, high = limits
    if np.isinf(high):
        factor = float(np.exp(arm / (value - low)))
        return low + (value - low) / factor, low + (value - low) * factor
    place, arm = (value - low) / (high - low), arm / (high - low)
    if not EQUAL < place < 1 - EQUAL:
        return NONE
    sides = expit(logit(place) + np.array([-1, 1]) * arm / (place * (1 - place)))
    return float(low + (high - low) * sides[0]), float(low + (high - low) * sides[1])


def correlations(rows: np.ndarray) -> np.ndarray:
    """Correlation (K, K) of K rows that each have the mean 0; a row without spread has none."""
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    unit = np.divide(rows, length, out=np.zeros_like(rows), where=length > EQUAL)
    correlation = unit @ unit.T
    np.fill_diagonal(correlation, 1)
    return np.asarray(correlation)


def _share(values: np.ndarray, groups: np.ndarray) -> Share:
    _, number = np.unique(groups, return_inverse=True)
    return Share(np.bincount(number, weights=values), np.bincount(number).astype(float))


def _effective_size(share: Share, confidence: float) -> float:
    """How many independent images these are worth: at most as many as they are.

    Their number over the design effect, at least 1, of the ratio estimator over groups, with
    Student's tail for few groups. When none or all are right, groups show no difference that
    could be measured, and images of one group are taken to say all the same.
    Source: Korn & Graubard 1998, Survey Methodology 24:193-201, for effective size and degrees
    of freedom; Franco et al. 2019, J. Surv. Stat. Methodol. 7:334-364, for Wilson with it.
    """
    n, groups = float(share.whole.sum()), int((share.whole > 0).sum())
    if n == groups:
        return n
    if share.value in (0.0, 1.0) or groups == 1:
        return kish_size(share.whole)
    variance = groups / (groups - 1) * float((share.residuals**2).sum()) / n**2
    design = max(1.0, variance / (share.value * (1 - share.value) / (n - 1)))
    tail = 0.5 + confidence / 2
    return max(1.0, n / design * float(stdtrit(n - 1, tail) / stdtrit(groups - 1, tail)) ** 2)
