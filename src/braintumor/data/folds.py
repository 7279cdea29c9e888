"""The division of images into folds, each of which tests once: drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from braintumor.errors import DataError, some
from braintumor.runtime import mix_seed

# N images, K classes


def too_few_for(folds: int, label: str, count: int) -> DataError:
    """What is said of a class that has fewer images, or groups of them, than there are folds."""
    return DataError(
        f"class {label} has only {some(count, 'image')} or sets of images (of a patient, copies), "
        f"and folds={folds} need at least {folds}; use fewer folds, or leave the class out"
    )


def assign_folds(labels: pd.Series, units: pd.Series, folds: int, seed: int) -> np.ndarray:
    """The fold of each image, int64 (N,) in [0, folds); images of one unit share it.

    labels, units: str (N,), the class and the unit of each image; folds: 2 or more.
    Depends on the seed and the names of the units, not on the order of rows. Where every unit
    is one image, the folds differ by at most one image a class; where no unit mixes classes, by
    at most the images of the largest unit of that class.
    Raises DataError when a class has too few units: each fold needs one, and where it is
    tested two others must be left, to train and to validate.
    Source: scikit-learn's StratifiedKFold and StratifiedGroupKFold.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # takes a second

    counts = units.groupby(labels).nunique()
    for label, count in counts[counts < folds].items():
        raise too_few_for(folds, str(label), count)
    # both take ties in the order of units, so that order is drawn from the seed
    order = in_drawn_order(units.unique(), seed)
    unit_N = units.map({unit: u for u, unit in enumerate(order)}).to_numpy(dtype=np.int64)
    class_N = np.unique(labels, return_inverse=True)[1]
    rows = np.argsort(unit_N, kind="stable")
    if len(order) == len(units):
        parts = StratifiedKFold(folds).split(rows, class_N[rows])
    else:
        parts = StratifiedGroupKFold(folds).split(rows, class_N[rows], unit_N[rows])
    fold_N = np.empty(len(rows), dtype=np.int64)
    for fold, (_, test) in enumerate(parts):
        fold_N[rows[test]] = fold
    _refuse_uneven(labels, units, fold_N, folds)
    return fold_N


def in_drawn_order(units: Iterable[str], seed: int) -> list[str]:
    """The units in an order that depends on the seed and their names alone."""
    # ascii, since names of files may hold bytes that are no UTF-8
    return sorted(units, key=lambda unit: (mix_seed(seed, ascii(unit)), unit))


def _refuse_uneven(labels: pd.Series, units: pd.Series, fold_N: np.ndarray, folds: int) -> None:
    """Every class in every fold, and enough of it outside: the same answer for all folds."""
    table = pd.DataFrame({"label": labels, "unit": units, "fold": fold_N}).drop_duplicates()
    counts = pd.crosstab(table["label"], table["fold"])  # (K, folds) units
    counts = counts.reindex(columns=range(folds), fill_value=0)
    left = counts.sum(axis=1).to_numpy()[:, None] - counts
    for label in counts.index[((counts == 0) | (left < 2)).any(axis=1)]:
        raise DataError(
            f"the groups of class {label} cannot be divided into folds={folds} so that each tests "
            "some and leaves two to train and validate; use fewer folds, another seed, or "
            "split=stratified"
        )
