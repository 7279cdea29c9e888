"""A part of the images, by class and never through what belongs together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from braintumor.errors import DataError
from braintumor.runtime import mix_seed

# N images, U units (images, or groups of images that must stay together), K classes


def cut(rows: pd.DataFrame, units: pd.Series, fraction: float, seed: int, part: str) -> pd.Index:
    """Index of the rows that go to `part`: about `fraction` of each class, whole units only.

    units: str (N,), what must stay together: a path, or a group.  part: "test" or "val".
    Units come in an order drawn from the seed; each is taken if that brings the class counts
    nearer to their targets. When every unit is one image, the counts are exact to rounding;
    where no unit mixes classes and fraction <= 0.5, they are off by at most the images of the
    largest unit of the class.
    Raises DataError when a class has too few units for all parts.
    """
    counts = pd.crosstab(units, rows["label"])  # (U, K) images
    to_leave = 2 if part == "test" else 1  # units of each class; validation is cut from them
    _refuse_too_few(counts, rows["label"], to_leave + 1)
    # ascii, since names of files may hold bytes that are no UTF-8
    order = sorted(counts.index, key=lambda unit: (mix_seed(seed, ascii(unit)), unit))
    table = counts.loc[order].to_numpy()
    target = np.maximum(np.rint(table.sum(axis=0) * fraction), 1)
    have = np.zeros(table.shape[1], dtype=np.int64)
    left: np.ndarray = (table > 0).sum(axis=0)
    taken = np.zeros(len(order), dtype=bool)

    def take(i: int) -> None:
        """Take unit i, unless too few would be left of a class that it has."""
        nonlocal have, left
        if not ((left == to_leave) & (table[i] > 0)).any():
            have, left, taken[i] = have + table[i], left - (table[i] > 0), True

    for i in range(len(order)):
        before, after = (target - have) / target, (target - have - table[i]) / target
        if after @ after < before @ before:
            take(i)
    for i in np.flatnonzero(
        table[:, have == 0].any(axis=1)
    ).tolist():  # units of a class still without
        if (have == 0)[table[i] > 0].any():
            take(i)
    _refuse_absent(have, counts, part)
    chosen = {unit for unit, is_taken in zip(order, taken, strict=True) if is_taken}
    return rows.index[units.isin(chosen)]


def _refuse_too_few(counts: pd.DataFrame, labels: pd.Series, needed: int) -> None:
    images, units = labels.value_counts(), (counts > 0).sum()
    names = "training, validation and test" if needed == 3 else "training and validation"
    for label in counts.columns:
        if units[label] < needed:
            patients = "" if units[label] == images[label] else f" of {units[label]} patients"
            patients += " or sets of copies" if patients else ""
            raise DataError(
                f"class {label} has only {images[label]} images{patients}, and {names} need at "
                f"least {needed}; add some or leave the class out"
            )


def _refuse_absent(have: np.ndarray, counts: pd.DataFrame, part: str) -> None:
    absent = [str(label) for label, count in zip(counts.columns, have, strict=True) if count == 0]
    if absent:
        raise DataError(
            f"the groups cannot be divided so that {part} and the rest both have images of class "
            f"{', '.join(absent)}; use split=stratified, another seed, or add patients"
        )
