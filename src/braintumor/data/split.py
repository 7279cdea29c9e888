"""Which images train, which choose the best epoch (val), and which test: drawn from a seed."""

from __future__ import annotations

import difflib
import itertools
from typing import Literal

import numpy as np
import pandas as pd

from braintumor.config import checked, first_of
from braintumor.data.folds import assign_folds, in_drawn_order, too_few_for
from braintumor.data.manifest import KNOWN
from braintumor.errors import ConfigError, DataError, some
from braintumor.files import natural_key
from braintumor.runtime import mix_seed

# N images, M images of one split, U units (images, or groups that stay together), K classes

SplitKind = Literal["auto", "official", "official_clean", "stratified", "grouped"]

_PARTS = ("train", "val", "test")


def assign_splits(
    manifest: pd.DataFrame,
    kind: SplitKind,
    seed: int,
    val_fraction: float,
    test_fraction: float,
    folds: int | None = None,
    fold: int | None = None,
) -> tuple[pd.DataFrame, str]:
    """The manifest with `split` filled (train, val, test, excluded), and the kind of split it is.

    official: the data set's own test split. official_clean: the same, and training images of
    which a copy or the patient is in test are excluded. stratified: test_fraction of the images,
    by class. grouped: the same, but rows of one `group` stay together. auto: official if there
    is a test split, else grouped if there are groups, else stratified.
    folds, fold: test is fold number `fold` (from 0) of `folds`, in the place of test_fraction;
    the division is the same for each fold, and every image is tested in exactly one. Validation
    is another draw in each.
    Validation is val_fraction of the training rows, by class and never through a group. Where
    an official split brings its own it stays, and training rows of its groups are excluded.
    The result depends on seed and paths (or groups), not on the order of rows; no row is lost.
    Fractions lie between 0 and 1, both left out.
    Raises ConfigError when the kind does not suit the manifest or there is no such fold,
    DataError when a class has too few images or groups.
    """
    check_kind(kind, folds, fold)
    kind = _resolve(manifest, kind)
    _check_folds(kind, folds, fold)
    groups = manifest["group"].where(manifest["group"].notna(), manifest["path"])
    if kind in ("official", "official_clean"):
        split = _without_copies(manifest["split"], groups, clean=kind == "official_clean")
    else:
        split = pd.Series("train", index=manifest.index, dtype="str")
        units = groups if kind == "grouped" else manifest["path"]
        if folds is None:
            split[_draw(manifest, units, test_fraction, mix_seed(seed, "test"), "test")] = "test"
        else:
            parts = assign_folds(manifest["label"], units, folds, mix_seed(seed, "folds"))
            split[parts == fold] = "test"
    _refuse_untrained(manifest["label"], split)
    if not (split == "val").any():
        train = manifest[split == "train"]
        # one order of units for all folds would validate all of them on much the same images
        draw = mix_seed(seed, "val") if fold is None else mix_seed(seed, "val", fold)
        split[_draw(train, groups[train.index], val_fraction, draw, "val")] = "val"
    manifest = manifest.assign(split=split)
    if kind == "grouped":
        refuse_crossing(manifest)
    return manifest, kind


def check_kind(kind: str, folds: int | None, fold: int | None) -> None:
    """Raises ConfigError when there is no such split, whatever the data are."""
    checked(kind, SplitKind, "split")
    _check_folds(kind, folds, fold)


def check_listed(listed: pd.DataFrame, kind: SplitKind, folds: int | None) -> None:
    """What `assign_splits` will refuse whatever the pictures hold, before one of them is read.

    listed: label and split (None: no own) of every image. Groups come from the pictures.
    Raises ConfigError and DataError.
    """
    is_official = (listed["split"] == "test").any() if kind == "auto" else "official" in kind
    if is_official:
        _check_folds("official", folds, None if folds is None else 0)
        _check_official(listed["split"], kind)
        _refuse_untrained(listed["label"], listed["split"])
        return
    for label, count in listed["label"].value_counts().items():
        if folds is not None and count < folds:
            raise too_few_for(folds, str(label), count)
    one_each = pd.crosstab(listed["path"], listed["label"])
    _refuse_too_few(one_each, listed["label"], 3)


def _check_official(own: pd.Series, kind: str) -> None:
    if not (own == "test").any():
        raise ConfigError(
            f"split={kind} needs a data set with its own test split, such as a folder "
            "Testing/; this one has none: use split=stratified, or split=auto"
        )
    unknown = int((~own.isin(_PARTS)).sum())
    if unknown and kind != "auto":
        raise DataError(
            f"{some(unknown, 'image', 'has')} no split of their own; use split=stratified"
        )


def refuse_crossing(manifest: pd.DataFrame) -> None:
    """Raises DataError when a group has rows in more than one of train, val and test."""
    rows = manifest[manifest["split"].isin(_PARTS)].dropna(subset="group")
    crossing = rows[rows.groupby("group")["split"].transform("nunique") > 1]
    if not crossing.empty:
        names = sorted(crossing["group"].unique(), key=natural_key)
        raise DataError(
            f"{some(len(names), 'group')} (copies of one picture, or images of one patient) with "
            f"{some(len(crossing), 'image', 'is')} in more than one of train, val and test (first: "
            f"{first_of(names, 3)}); divide anew with split=grouped, or drop the test "
            "images' copies from training with split=official_clean"
        )


def seen_in_training(manifest: pd.DataFrame, split: str) -> np.ndarray:
    """Whether a copy or the patient of each image of `split` is in train or val: bool (M,).

    In the order of those rows. Images of the split itself do not count, and training images are
    not asked (all False): a score on them is no test anyway.
    """
    others = {"train": (), "val": ("train",)}.get(split, KNOWN)
    seen = manifest.loc[manifest["split"].isin(others), "group"].dropna()
    asked = manifest.loc[manifest["split"] == split, "group"]
    return (asked.notna() & asked.isin(seen)).to_numpy(dtype=bool)


def _resolve(manifest: pd.DataFrame, kind: SplitKind) -> SplitKind:
    has_test, has_groups = (manifest["split"] == "test").any(), manifest["group"].notna().any()
    if kind == "auto":
        return "official" if has_test else "grouped" if has_groups else "stratified"
    if kind in ("official", "official_clean"):
        _check_official(manifest["split"], kind)
    if kind == "grouped" and not has_groups:
        raise ConfigError(
            "split=grouped needs to know who belongs together, and this data set names no "
            "patient and holds no copies; add a column patient (data=table), or use "
            "split=stratified"
        )
    return kind


def _check_folds(kind: str, folds: int | None, fold: int | None) -> None:
    if folds is None and fold is None:
        return
    if folds is None or fold is None or folds < 2 or not 0 <= fold < folds:
        raise ConfigError(
            f"folds={folds} with fold={fold} name no part of the images; folds should be 2 or "
            "more, and fold from 0 to one less than that"
        )
    if kind in ("official", "official_clean"):
        raise ConfigError(
            f"folds={folds} divides all images anew, but split={kind} keeps the data set's own "
            "test split; use split=stratified, or split=grouped where patients are known"
        )


def _without_copies(own: pd.Series, groups: pd.Series, *, clean: bool) -> pd.Series:
    """The official split, in which held-out images stay and their copies leave training.

    Copies of validation images always do, since they would lead the choice of the best epoch;
    copies of test images only if clean, since published figures are measured with them.
    """
    split = own.copy()
    if clean:
        split[split.isin(KNOWN) & groups.isin(groups[split == "test"])] = "excluded"
    split[(split == "train") & groups.isin(groups[split == "val"])] = "excluded"
    return split


def _refuse_untrained(labels: pd.Series, split: pd.Series) -> None:
    if untrained := sorted(set(labels) - set(labels[split == "train"])):
        copies = int((split[labels.isin(untrained)] == "excluded").sum())
        why = f" ({copies} are excluded as copies of images in other splits)" if copies else ""
        trained = ", ".join(sorted(set(labels[split == "train"])))
        why += f", which are of {trained}" if trained else ""
        raise DataError(
            f"class {', '.join(untrained)} has no training image{why}; add some, give a class one "
            "name in all splits, remove it from the others, or pool them with split=stratified"
        )


def _draw(rows: pd.DataFrame, units: pd.Series, fraction: float, seed: int, part: str) -> pd.Index:
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
    order = in_drawn_order(counts.index, seed)
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
    for i in np.flatnonzero(table[:, have == 0].any(axis=1)).tolist():
        if (have == 0)[table[i] > 0].any():  # a unit of a class still without
            take(i)
    if not have.all():
        raise DataError(
            f"the groups cannot be divided so that {part} and the rest both have images of class "
            f"{', '.join(counts.columns[have == 0])}; use split=stratified, another seed, or add "
            "patients"
        )
    return rows.index[units.isin(list(itertools.compress(order, taken)))]


def _refuse_too_few(counts: pd.DataFrame, labels: pd.Series, needed: int) -> None:
    images, units = labels.value_counts(), (counts > 0).sum()
    names = "training, validation and test" if needed == 3 else "training and validation"
    for label in counts.columns[units < needed]:
        of, kinds = images[label], units[label]
        held, ways = some(of, "image"), "add some, or leave the class out"
        if kinds < of:
            one = "one patient, or copies of one picture"
            held += f" of {one if kinds == 1 else f'{kinds} patients or sets of copies'}"
            ways += ", or leave out what tells patients, where it does not"
        others = [str(other) for other in images.index if other != label]
        if near := difflib.get_close_matches(str(label), others, n=1, cutoff=0.85):
            ways += f"; or is it {near[0]}, misspelt?"
        raise DataError(
            f"class {label} has only {held}, and {names} need at least {needed}; {ways}"
        )
