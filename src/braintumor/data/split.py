"""Who trains, who chooses, who judges: train, val and test, the same for the same seed."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from braintumor.errors import ConfigError, DataError
from braintumor.runtime import mix_seed

# U units (images, or groups of images that must stay together), K classes

SplitKind = Literal["auto", "official", "stratified", "grouped"]


def assign_splits(
    manifest: pd.DataFrame, kind: SplitKind, seed: int, val_fraction: float, test_fraction: float
) -> tuple[pd.DataFrame, str]:
    """The manifest with `split` filled (train, val, test), and the kind of split it is.

    official: the data set's own test split. stratified: test_fraction of the images, by class.
    grouped: the same, but rows of one `group` stay together. auto: official if there is a test
    split, else grouped if there are groups, else stratified.
    Validation is val_fraction of the training rows, by class and never through a group, unless
    an official split brings its own. The result depends on seed and paths (or groups), not on
    the order of rows; no row is lost.
    Raises ConfigError when the kind does not suit the manifest or a fraction is not in (0, 1),
    DataError when a class has too few images or groups.
    """
    for name, fraction in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
        if not 0 < fraction < 1:
            raise ConfigError(f"data.{name}={fraction} should lie between 0 and 1, such as 0.2")
    kind = _resolve(manifest, kind)
    groups = manifest["group"].where(manifest["group"].notna(), manifest["path"])
    split = manifest["split"].copy() if kind == "official" else _all_train(manifest)
    if kind != "official":
        units = groups if kind == "grouped" else manifest["path"]
        split[_cut(manifest, units, test_fraction, mix_seed(seed, "test"), "test")] = "test"
    if not (split == "val").any():
        train = manifest[split == "train"]
        split[_cut(train, groups[train.index], val_fraction, mix_seed(seed, "val"), "val")] = "val"
    _refuse_untrained(manifest["label"], split)
    return manifest.assign(split=split), kind


def _resolve(manifest: pd.DataFrame, kind: SplitKind) -> SplitKind:
    has_test, has_groups = (manifest["split"] == "test").any(), manifest["group"].notna().any()
    if kind == "auto":
        return "official" if has_test else "grouped" if has_groups else "stratified"
    if kind == "official":
        if not has_test:
            raise ConfigError(
                "split=official needs a data set with its own test split, such as a folder "
                "Testing/; this one has none: use split=stratified, or split=auto"
            )
        unknown = int((~manifest["split"].isin(("train", "val", "test"))).sum())
        if unknown:
            raise DataError(f"{unknown} images have no split of their own; use split=stratified")
    if kind == "grouped" and not has_groups:
        raise ConfigError(
            "split=grouped needs to know who belongs together, and this data set names no "
            "patient; add a column patient (data=table), or use split=stratified"
        )
    if kind not in ("official", "stratified", "grouped"):
        raise ConfigError(f"split={kind} is not one of auto, official, stratified, grouped")
    return kind


def _all_train(manifest: pd.DataFrame) -> pd.Series:
    return pd.Series("train", index=manifest.index, dtype="str")


def _cut(rows: pd.DataFrame, units: pd.Series, fraction: float, seed: int, part: str) -> pd.Index:
    """Index of the rows that go to `part`: about `fraction` of each class, whole units only.

    Units come in an order drawn from the seed; each is taken if that brings the class counts
    nearer to their targets. When every unit is one image, the counts are exact to rounding.
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


def _refuse_untrained(labels: pd.Series, split: pd.Series) -> None:
    untrained = sorted(set(labels) - set(labels[split == "train"]))
    if untrained:
        raise DataError(
            f"class {', '.join(untrained)} has no training image; add some, remove the class "
            "from the other splits, or pool them with split=stratified"
        )
