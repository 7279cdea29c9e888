"""Is one model really better than another? Tests on the same images, and what they share.

A competitor is a sequence of Answers, one a trained model: usually one, and several when a
configuration was trained with several seeds. Then its mean over them is tested: what may change
is the images, the trained models are taken as they are.

Images of one patient, and copies of one picture, are right or wrong together. Every test here
therefore adds over groups first and treats the groups as what was drawn; where each image is its
own group they are the textbook's tests, digit for digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import ifft, next_fast_len
from scipy.stats import norm, rankdata

from braintumor.statistics.intervals import MOST, draw_groups, join_draws
from braintumor.statistics.metrics import confusion_figures
from braintumor.statistics.proportions import LEVEL, NONE, Interval

# N images, K classes, G groups of all competitors together, M models of a competitor, R resamples

_SAME = 1e-12  # between resamples: rounding
FIGURES = ("accuracy", "balanced_accuracy", "macro_f1")  # of a confusion matrix


@dataclass(frozen=True, eq=False)
class Answers:
    """What one trained model said of N images.

    labels, predicted: int (N,).  probs: float (N, K), or any scores where more speaks for the
    class.  groups: int (N,) from 0, in the numbering that all competitors share.
    """

    labels: np.ndarray
    predicted: np.ndarray
    probs: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Difference:
    """First minus second, with its 95 % interval and the p value."""

    value: float
    low: float
    high: float
    p: float


def mcnemar(first: Sequence[Answers], second: Sequence[Answers]) -> float:
    """McNemar's mid-p value that both are equally often right; 1 when nothing speaks against it.

    Under the null hypothesis a group that speaks for the first would as soon have spoken for the
    second, by as much; the distribution over all such flips of signs is computed and not drawn.
    One model each and one image a group: the binomial of the discordant pairs. Mid-p, since the
    exact p is needlessly large and mid-p was never seen to pass its level.
    Source: Fagerland et al. 2013, doi:10.1186/1471-2288-13-91.

    Three images, on which the second alone is right: (1/8 + 1/8) / 2 of all eight flips.
    >>> truth, said = np.zeros(3, dtype=int), (np.ones(3, dtype=int), np.zeros(3, dtype=int))
    >>> wrong, right = (Answers(truth, one, np.eye(2)[one], np.arange(3)) for one in said)
    >>> round(mcnemar([wrong], [right]), 6)
    0.125
    """
    count = _count_groups(first, second)
    # over a common denominator, so that means over models stay whole numbers
    gap = _right(first, count) * len(second) - _right(second, count) * len(first)
    steps, counts = np.unique(np.abs(gap[gap != 0]), return_counts=True)
    if not len(steps):
        return 1.0
    unit = int(np.gcd.reduce(steps))
    chance = _sums_of_flips(steps // unit, counts)
    observed = abs(int(gap.sum())) // unit
    beyond = 2 * chance[observed + 1 :].sum()
    at = chance[observed] * (1 if observed == 0 else 2)
    return float(np.clip(beyond + at / 2, 0, 1))


def delong(first: Sequence[Answers], second: Sequence[Answers]) -> Difference:
    """Difference of the mean one-against-rest AUROC; p of DeLong's z, NaN where undefined.

    Each image's share in the AUROC of each class is its structural component; shares are added
    over classes and groups, and their spread gives the variance of the difference, with all
    covariances between classes and competitors in it. Two classes: the usual AUROC.
    Source: DeLong et al. 1988, doi:10.2307/2531595; ranks as in Sun & Xu 2014,
    doi:10.1109/LSP.2014.2337313; groups as in Obuchowski 1997, doi:10.2307/2533958, where we
    take the root of both sides' corrections for the mixed term, equal up to 1 in the groups.
    """
    count = _count_groups(first, second)
    (area, share), (other_area, other_share) = _auroc(first, count), _auroc(second, count)
    value, error = area - other_area, float(np.sqrt(((share - other_share) ** 2).sum()))
    if np.isnan(value):
        return Difference(*[float("nan")] * 4)
    reach = norm.ppf((1 + LEVEL) / 2) * error
    p = 2 * norm.sf(abs(value) / error) if error else float(value == 0)
    return Difference(float(value), float(value - reach), float(value + reach), float(p))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p values after Holm's correction for all of them: float, same order; NaN stays NaN.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.

    >>> holm([0.04, 0.01, 0.03]).round(4).tolist()  # 3 times the least, 2 times the next, 1 time
    [0.06, 0.03, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected = np.full(len(p), np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def paired_bootstrap(
    competitors: Sequence[Sequence[Answers]], resamples: int, seed: int
) -> list[dict[str, np.ndarray]]:
    """FIGURES of each competitor in each resample: {name: float (R,)}, the mean over its models.

    All competitors see the same resamples, so that differences between them are paired. A class
    that a resample lacks is left out of its mean over classes.
    """
    present = np.unique(np.concatenate([m.groups for models in competitors for m in models]))
    tables = [_confusions(models, present) for models in competitors]
    found: list[list[dict[str, np.ndarray]]] = [[] for _ in competitors]
    width = MOST // len(present)
    for weights in draw_groups(len(present), resamples, seed, width, resample_by_resample=True):
        for parts, table in zip(found, tables, strict=True):
            parts.append(_weighted_mean(table, weights))
    return [join_draws(parts) for parts in found]


def mean_figures(models: Sequence[Answers]) -> dict[str, float]:
    """FIGURES of one competitor, without resampling: the mean over its models."""
    table = _confusions(models, np.unique(np.concatenate([model.groups for model in models])))
    found = _weighted_mean(table, np.ones((len(table), 1)))
    return {name: value.item() for name, value in found.items()}


def interval_of_difference(drawn: np.ndarray, groups: int) -> Interval:
    """Of a difference of two figures in [0, 1]: the middle 95 % of what resampling gave, no NaN.

    Where all resamples gave the same, as of two that are right on the same few images, they tell
    nothing, and the adjusted Wald interval of as many pairs stands for them. (NaN, NaN) where
    nothing is defined.
    drawn: the difference in each resample.  groups: how many were resampled.
    Source: Bonett & Price 2012, J. Educ. Behav. Stat. 37:479-488; of 18 pairs without a
    difference 2 / 20 count as discordant, and 1.96 sqrt(0.1 / 20) is 0.1386:
    >>> [round(limit, 4) for limit in interval_of_difference(np.zeros(100), 18)]
    [-0.1386, 0.1386]
    """
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return NONE
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if np.ptp(known) > _SAME:
        return float(low), float(high)
    for_first, for_second = (
        (groups * max(0.0, sign * float(known[0])) + 1) / (groups + 2) for sign in (1, -1)
    )
    value = for_first - for_second
    variance = (for_first + for_second - value**2) / (groups + 2)
    reach = norm.ppf((1 + LEVEL) / 2) * np.sqrt(variance)
    return float(max(-1, value - reach)), float(min(1, value + reach))


def _count_groups(first: Sequence[Answers], second: Sequence[Answers]) -> int:
    return max(int(model.groups.max()) for model in (*first, *second)) + 1


def _right(models: Sequence[Answers], count: int) -> np.ndarray:
    """Right answers of all models by group: int64 (G,)."""
    groups = [model.groups[model.predicted == model.labels] for model in models]
    return np.bincount(np.concatenate(groups), minlength=count)


def _sums_of_flips(steps: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Probability of each sum from 0 up, where counts[i] times steps[i] get a sign by a coin.

    By the characteristic function: a sum of coins is a product of cosines.
    """
    total = int((steps * counts).sum())
    length = next_fast_len(2 * total + 1)
    angles = 2 * np.pi * np.arange(length) / length
    product = np.prod(np.cos(np.outer(steps, angles)) ** counts[:, None], axis=0)
    return np.maximum(ifft(product).real[: total + 1], 0)


def _auroc(models: Sequence[Answers], count: int) -> tuple[float, np.ndarray]:
    """Mean AUROC of the models, and each group's share in its error: float (G,)."""
    areas, share = [], np.zeros(count)
    for model in models:
        of_classes = [_components(model, k) for k in range(model.probs.shape[1])]
        known = [found for found in of_classes if found is not None]
        if not known:
            return float("nan"), share
        areas.append(np.mean([area for area, _ in known]))
        mean = np.mean([component for _, component in known], axis=0)
        share += np.bincount(model.groups, mean, minlength=count) / len(models)
    return float(np.mean(areas)), share


def _components(model: Answers, k: int) -> tuple[float, np.ndarray] | None:
    """AUROC of class k against the rest and each image's share: float (N,); None without both."""
    is_class = model.labels == k
    if is_class.all() or not is_class.any():
        return None
    score = model.probs[:, k]
    ranks = rankdata(score)
    share = np.empty(len(score))
    for side, other in ((is_class, ~is_class), (~is_class, is_class)):
        # how many of the other side lie below, ties counted half
        share[side] = (ranks[side] - rankdata(score[side])) / other.sum()
    share[~is_class] = 1 - share[~is_class]
    area = float(share[is_class].mean())
    share -= area
    for side in (is_class, ~is_class):
        groups = len(np.unique(model.groups[side]))
        # one group alone has no spread to measure
        share[side] *= np.sqrt(groups / (groups - 1)) / side.sum() if groups > 1 else np.nan
    return area, share


def _confusions(models: Sequence[Answers], present: np.ndarray) -> np.ndarray:
    """Counts by group, model, true and predicted class: float (G, M, K, K)."""
    k = models[0].probs.shape[1]
    table = np.zeros((len(present), len(models), k, k))
    for number, model in enumerate(models):
        rows = np.searchsorted(present, model.groups)
        np.add.at(table[:, number], (rows, model.labels, model.predicted), 1)
    return table


def _weighted_mean(table: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """FIGURES of counts (G, M, K, K) under weights (G, R), as the mean over the models: (R,)."""
    sums = weights.T @ table.reshape(len(table), -1)
    matrix_KKRM = np.moveaxis(sums.reshape(-1, *table.shape[1:]), (-2, -1), (0, 1))
    found = confusion_figures(matrix_KKRM)
    return {name: found[name].mean(axis=-1) for name in FIGURES}
