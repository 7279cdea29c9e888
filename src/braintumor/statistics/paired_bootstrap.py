"""The paired group bootstrap: how far a difference moves when other patients had been drawn.

Groups are drawn with replacement, the same ones for every competitor. Figures come from confusion
matrices, which add over groups, so all resamples are one matrix product.
Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from braintumor.statistics.paired import LEVEL, Answers

# G groups, K classes, M models of a competitor, R resamples

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1")  # what a confusion matrix holds

_LARGEST = 4_000_000  # weights of resamples in memory at once


def resample_figures(
    competitors: Sequence[Sequence[Answers]], resamples: int, seed: int
) -> list[dict[str, np.ndarray]]:
    """FIGURES of each competitor in each resample of the groups: name -> float (R,).

    All competitors see the same resamples, so differences between them are paired. A class that
    a resample lacks is left out of its mean over classes.
    """
    numbers = [np.concatenate([model.groups for model in models]) for models in competitors]
    present = np.unique(np.concatenate(numbers))
    tables = [_confusions(models, present) for models in competitors]
    found: list[list[dict[str, np.ndarray]]] = [[] for _ in competitors]
    for weights in _weights(len(present), resamples, seed):
        for parts, table in zip(found, tables, strict=True):
            shape = (len(weights), *table.shape[1:])
            parts.append(figures_of((weights @ table.reshape(len(present), -1)).reshape(shape)))
    return [{k: np.concatenate([part[k] for part in parts]) for k in FIGURES} for parts in found]


def figures_of(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """FIGURES of confusion matrices (..., M, K, K), as the mean over M models: float (...).

    A row is the true class. Recall counts the classes present, F1 those present or predicted.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, said = confusion.sum(axis=-1), confusion.sum(axis=-2)
    with np.errstate(invalid="ignore"):
        accuracy = right.sum(axis=-1) / true.sum(axis=-1)
        recall, f1 = right / true, 2 * right / (true + said)
    values = {
        "accuracy": accuracy,
        "balanced_accuracy": _mean_of_known(recall),
        "macro_f1": _mean_of_known(f1),
    }
    return {name: value.mean(axis=-1) for name, value in values.items()}


def figures(models: Sequence[Answers]) -> dict[str, float]:
    """FIGURES of one competitor: the mean over its models."""
    present = np.unique(np.concatenate([model.groups for model in models]))
    whole = figures_of(_confusions(models, present).sum(axis=0))
    return {name: float(value) for name, value in whole.items()}


def interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of what resampling gave; NaN where nothing was defined."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _confusions(models: Sequence[Answers], present: np.ndarray) -> np.ndarray:
    """Counts by group, model, true and predicted class: float (G, M, K, K)."""
    k = models[0].probs.shape[1]
    table = np.zeros((len(present), len(models), k, k))
    for number, model in enumerate(models):
        rows = np.searchsorted(present, model.groups)
        np.add.at(table[:, number], (rows, model.labels, model.predicted), 1)
    return table


def _weights(groups: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each group is drawn, in blocks that fit into memory: float (block, G)."""
    random = np.random.default_rng(seed)
    block = max(1, _LARGEST // groups)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        draws = random.integers(0, groups, (size, groups))
        draws += np.arange(size)[:, None] * groups
        yield np.bincount(draws.ravel(), minlength=size * groups).reshape(size, groups) * 1.0


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=-1) / known.sum(axis=-1)
