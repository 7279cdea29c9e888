"""k folds: each image tested once, groups whole, classes as even as the groups allow."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braintumor.data.folds import assign_folds
from braintumor.data.split import SplitKind, assign_splits
from braintumor.errors import ConfigError, DataError

CLASSES = ("a", "b", "c")


def manifest_of(groups: list[tuple[int, int]], mixed: bool = False) -> pd.DataFrame:
    """A group for each (class, size); groups of one are lone images (group NaN).

    mixed: every fourth image of a group is of the next class, as with contradicting labels.
    """
    rows = []
    for g, (label, size) in enumerate(groups):
        for i in range(size):
            name = CLASSES[(label + (mixed and i % 4 == 3)) % 3]
            rows.append((f"{g}/{i}.png", name, None, f"g{g}" if size > 1 else None))
    return pd.DataFrame(rows, columns=["path", "label", "split", "group"]).astype("str")


def units_of(manifest: pd.DataFrame) -> pd.Series:
    return manifest["group"].where(manifest["group"].notna(), manifest["path"])


# twenty small groups of each class, so that no group of nine images fills a fold alone: nobody
# could divide those so that each fold leaves two groups to train and validate
groups_strategy = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=10, max_size=40
).map(lambda more: [(k, 1 + k) for k in range(3) for _ in range(20)] + more)


def fold_tables(manifest: pd.DataFrame, kind: SplitKind, folds: int, seed: int) -> pd.DataFrame:
    """The split of each image (rows) in each fold (columns)."""
    return pd.DataFrame(
        {
            i: assign_splits(manifest, kind, seed, 0.2, 0.2, folds, i)[0]["split"]
            for i in range(folds)
        }
    )


def assert_no_group_crosses(groups: pd.Series, split: pd.Series) -> None:
    assert split.groupby(groups).agg(lambda parts: len(set(parts)) == 1).all()


@settings(max_examples=10, deadline=None)
@given(groups_strategy, st.booleans(), st.integers(0, 2**31), st.integers(2, 4))
def test_each_image_is_tested_once_and_no_group_crosses(
    groups: list[tuple[int, int]], mixed: bool, seed: int, folds: int
) -> None:
    manifest = manifest_of(groups, mixed)
    splits = fold_tables(manifest, "grouped", folds, seed)
    assert (splits == "test").sum(axis=1).eq(1).all()
    assert splits.isin(["train", "val", "test"]).all(axis=None)  # no row is lost
    for fold in splits:
        assert_no_group_crosses(manifest["group"], splits[fold])
        assert (pd.crosstab(manifest["label"], splits[fold]) > 0).all(axis=None)


@settings(max_examples=40, deadline=None)
@given(groups_strategy, st.integers(0, 2**31), st.integers(2, 4))
def test_folds_differ_by_at_most_the_largest_group_of_a_class(
    groups: list[tuple[int, int]], seed: int, folds: int
) -> None:
    """With one class a group, each goes to the fold that has the fewest images of the class.

    So the fullest fold, without the last group it got, had no more than any other has now.
    """
    manifest = manifest_of(groups)
    fold_N = assign_folds(manifest["label"], units_of(manifest), folds, seed)
    counts = pd.crosstab(manifest["label"], fold_N)
    largest = units_of(manifest).groupby(manifest["label"]).agg(lambda u: u.value_counts().max())
    assert (counts.max(axis=1) - counts.min(axis=1) <= largest).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(4, 60), min_size=2, max_size=3), st.integers(0, 2**31))
def test_folds_of_single_images_are_exact_to_rounding(sizes: list[int], seed: int) -> None:
    manifest = manifest_of([(k, 1) for k, size in enumerate(sizes) for _ in range(size)])
    counts = pd.crosstab(
        manifest["label"], assign_folds(manifest["label"], manifest["path"], 4, seed)
    )
    for label, size in zip(CLASSES, sizes, strict=False):
        assert set(counts.loc[label]) <= {size // 4, -(-size // 4)}


@settings(max_examples=15, deadline=None)
@given(groups_strategy, st.booleans(), st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_of_rows(
    groups: list[tuple[int, int]], mixed: bool, random: object
) -> None:
    manifest = manifest_of(groups, mixed)
    order = list(range(len(manifest)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = manifest.iloc[order].reset_index(drop=True)
    for kind in ("grouped", "stratified"):
        one, two = (
            assign_splits(m, kind, 7, 0.2, 0.2, 3, 1)[0].set_index("path")["split"]  # type: ignore[arg-type]
            for m in (manifest, shuffled)
        )
        assert one.to_dict() == two.to_dict()


@pytest.mark.parametrize("kind", ["grouped", "stratified"])
def test_seed_decides_the_folds(kind: SplitKind) -> None:
    manifest = manifest_of([(k, 3) for k in range(3) for _ in range(20)])
    one, again, other = (fold_tables(manifest, kind, 3, seed) for seed in (1, 1, 2))
    assert one.equals(again)
    assert not (one == "test").equals(other == "test")


def test_folds_validate_on_draws_of_their_own() -> None:
    """One draw for all would lean the choices of all folds to the same images."""
    manifest = manifest_of([(k, 2) for k in range(3) for _ in range(100)])
    splits = fold_tables(manifest, "grouped", 5, 0)
    pairs = [(i, j) for i in range(5) for j in range(i)]
    shared = [((splits[i] == "val") & (splits[j] == "val")).sum() for i, j in pairs]
    # a fifth of 480, of which three fifths remain beside both tests; by chance a fifth of those
    assert 0.05 * 96 < np.mean(shared) < 0.35 * 96
    assert fold_tables(manifest, "grouped", 5, 0).equals(splits)


def test_stratified_folds_test_by_image_but_validate_by_group() -> None:
    manifest = manifest_of([(k, 4) for k in range(3) for _ in range(15)])
    splits = fold_tables(manifest, "stratified", 3, 0)
    assert (splits == "test").sum(axis=1).eq(1).all()
    assert (pd.crosstab(manifest["label"], splits[0])["test"] == 20).all()  # 60 a class
    for fold in splits:
        rest = splits[fold] != "test"
        assert_no_group_crosses(manifest.loc[rest, "group"], splits.loc[rest, fold])
        counts = pd.crosstab(manifest["label"], splits[fold])["val"]
        assert counts.between(8 - 4, 8 + 4).all()  # a fifth of 40, and groups of up to 4


def test_an_own_split_is_pooled() -> None:
    manifest = manifest_of([(k, 2) for k in range(3) for _ in range(10)])
    manifest["split"] = np.where(manifest.index % 3 == 0, "test", "train")
    out = fold_tables(manifest, "grouped", 2, 0)
    again = fold_tables(manifest.assign(split=None), "grouped", 2, 0)
    assert out.equals(again)


@pytest.mark.parametrize("kind", ["official", "official_clean", "auto"])
def test_folds_of_an_official_split_are_refused(kind: SplitKind) -> None:
    manifest = manifest_of([(k, 2) for k in range(3) for _ in range(10)])
    manifest["split"] = np.where(manifest.index < 20, "test", "train")
    with pytest.raises(ConfigError, match=r"folds=5 .*split=grouped"):
        assign_splits(manifest, kind, 0, 0.2, 0.2, 5, 0)


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (5, 5), (5, -1), (5, None), (None, 0)])
def test_folds_that_do_not_exist_are_refused(folds: int | None, fold: int | None) -> None:
    manifest = manifest_of([(k, 2) for k in range(3) for _ in range(10)])
    with pytest.raises(ConfigError, match="folds should be 2 or more"):
        assign_splits(manifest, "grouped", 0, 0.2, 0.2, folds, fold)


def test_too_few_groups_are_refused_with_numbers() -> None:
    manifest = manifest_of([(0, 2)] * 9 + [(1, 5)] * 3)
    with pytest.raises(DataError, match=r"class b has only 3 .*folds=4 need at least 4"):
        assign_splits(manifest, "grouped", 0, 0.2, 0.2, 4, 0)


@pytest.mark.parametrize("fold", [0, 1])
def test_a_class_that_one_fold_would_take_is_refused_by_all(fold: int) -> None:
    """Three groups in two folds: where two are tested, one cannot both train and validate."""
    manifest = manifest_of([(0, 2)] * 9 + [(1, 5)] * 3)
    with pytest.raises(DataError, match="class b cannot be divided into folds=2"):
        assign_splits(manifest, "grouped", 0, 0.2, 0.2, 2, fold)
