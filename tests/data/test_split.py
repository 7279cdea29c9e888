from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braintumor.data.split import SplitKind, assign_splits, refuse_crossing, seen_in_training
from braintumor.errors import ConfigError, DataError


def manifest_of(
    counts: dict[str, int], slices: int = 0, split: dict[str, float] | None = None
) -> pd.DataFrame:
    """counts images a class; slices > 0: of patients with so many each; split: shares in order."""
    rows = []
    for label, count in counts.items():
        for i in range(count):
            group = f"{label}-{i // slices}" if slices else None
            own = None
            for name, share in (split or {}).items():
                own = own or (name if i < share * count else None)
            rows.append((f"{label}/{i}.png", label, own, group))
    return pd.DataFrame(rows, columns=["path", "label", "split", "group"]).astype("str")


def shares(manifest: pd.DataFrame) -> pd.DataFrame:
    return pd.crosstab(manifest["label"], manifest["split"], normalize="index")


def assert_nothing_lost(before: pd.DataFrame, after: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(before.drop(columns="split"), after.drop(columns="split"))
    assert after["split"].isin(["train", "val", "test"]).all()


sizes = st.fixed_dictionaries({name: st.integers(10, 80) for name in ("a", "b", "c")})


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(0, 2**31), st.floats(0.1, 0.4), st.floats(0.1, 0.4))
def test_stratified_counts_are_exact_to_rounding(
    counts: dict[str, int], seed: int, val: float, test: float
) -> None:
    manifest = manifest_of(counts)
    out, kind = assign_splits(manifest, "auto", seed, val, test)
    assert kind == "stratified"
    assert_nothing_lost(manifest, out)
    for label, count in counts.items():
        mine = out.loc[out["label"] == label, "split"].value_counts()
        assert abs(mine["test"] - count * test) <= 0.5 + 1e-9
        assert abs(mine["val"] - (count - mine["test"]) * val) <= 0.5 + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 12), min_size=24, max_size=60))
def test_no_group_crosses_splits(seed: int, patients: list[int]) -> None:
    rows = [
        (f"p{p}/{s}.png", "abc"[(p + (s == 3)) % 3], None, f"p{p}")  # slice 3: another class
        for p, slices in enumerate(patients)
        for s in range(slices)
    ]
    manifest = pd.DataFrame(rows, columns=["path", "label", "split", "group"]).astype("str")
    out, kind = assign_splits(manifest, "auto", seed, 0.2, 0.2)
    assert kind == "grouped"
    assert_nothing_lost(manifest, out)
    assert not pd.crosstab(out["group"], out["split"]).gt(0).sum(axis=1).gt(1).any()
    assert (pd.crosstab(out["label"], out["split"]) > 0).all(axis=None)


@pytest.mark.parametrize("seed", range(5))
def test_grouped_shares_are_near_what_was_asked(seed: int) -> None:
    manifest = manifest_of({"a": 300, "b": 150, "c": 90}, slices=3)
    out, _ = assign_splits(manifest, "grouped", seed, 0.25, 0.2)
    # whole patients of 3 slices: at most 2 images off, of the smallest class 90 -> 2 %
    np.testing.assert_allclose(shares(out)["test"], 0.2, atol=2 / 90)
    np.testing.assert_allclose(shares(out)["val"], 0.2, atol=3 / 90)  # 0.25 of the other 0.8


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["stratified", "grouped"]))
def test_order_of_rows_does_not_matter(random: object, kind: str) -> None:
    manifest = manifest_of({"a": 40, "b": 25}, slices=2)
    order = list(range(len(manifest)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = manifest.iloc[order].reset_index(drop=True)
    one, _ = assign_splits(manifest, kind, 3, 0.2, 0.2)  # type: ignore[arg-type]
    two, _ = assign_splits(shuffled, kind, 3, 0.2, 0.2)  # type: ignore[arg-type]
    assert one.set_index("path")["split"].to_dict() == two.set_index("path")["split"].to_dict()


def test_seed_decides_the_split() -> None:
    manifest = manifest_of({"a": 40, "b": 40})
    splits = [assign_splits(manifest, "auto", seed, 0.2, 0.2)[0]["split"] for seed in (1, 1, 2)]
    assert splits[0].equals(splits[1])
    assert not splits[0].equals(splits[2])


def test_the_manifest_given_is_not_changed() -> None:
    manifest = manifest_of({"a": 20, "b": 20})
    before = manifest.copy()
    assign_splits(manifest, "auto", 0, 0.2, 0.2)
    pd.testing.assert_frame_equal(manifest, before)


def test_official_test_split_stays_and_validation_comes_from_training() -> None:
    manifest = manifest_of({"a": 50, "b": 30}, split={"test": 0.2, "train": 1.0})
    out, kind = assign_splits(manifest, "auto", 0, 0.25, 0.5)
    assert kind == "official"
    assert ((out["split"] == "test") == (manifest["split"] == "test")).all()
    assert pd.crosstab(out["label"], out["split"]).to_dict() == {
        "test": {"a": 10, "b": 6},
        "val": {"a": 10, "b": 6},  # a quarter of 40 and of 24
        "train": {"a": 30, "b": 18},
    }


def test_official_validation_split_is_kept() -> None:
    manifest = manifest_of({"a": 50, "b": 30}, split={"test": 0.2, "val": 0.3, "train": 1.0})
    out, _ = assign_splits(manifest, "official", 0, 0.5, 0.5)
    assert out["split"].equals(manifest["split"])


def test_validation_follows_groups_under_an_official_split() -> None:
    manifest = manifest_of({"a": 90, "b": 60}, slices=3, split={"test": 0.2, "train": 1.0})
    out, _ = assign_splits(manifest, "official", 0, 0.2, 0.2)
    rest = out[out["split"] != "test"]
    assert not pd.crosstab(rest["group"], rest["split"]).gt(0).sum(axis=1).gt(1).any()


def test_images_without_a_split_are_refused_under_official() -> None:
    manifest = manifest_of({"a": 50, "b": 30}, split={"test": 0.2, "train": 0.9})
    with pytest.raises(DataError, match="8 images have no split"):
        assign_splits(manifest, "official", 0, 0.2, 0.2)


def test_stratified_pools_an_official_split() -> None:
    manifest = manifest_of({"a": 50, "b": 50}, split={"test": 0.5, "train": 1.0})
    out, kind = assign_splits(manifest, "stratified", 0, 0.2, 0.2)
    assert kind == "stratified"
    assert (out["split"] == "test").sum() == 20
    assert (
        not (out.loc[out["split"] == "test", "path"])
        .isin(manifest.loc[manifest["split"] == "train", "path"])
        .all()
    )
    assert set(manifest.loc[out["split"] == "test", "split"]) == {"train", "test"}


def test_images_without_a_patient_stand_alone() -> None:
    manifest = manifest_of({"a": 40, "b": 40}, slices=4)
    manifest.loc[manifest["label"] == "b", "group"] = None
    out, kind = assign_splits(manifest, "auto", 0, 0.2, 0.2)
    assert kind == "grouped"
    assert (out["split"][out["label"] == "b"] == "test").sum() == 8


def test_grouped_without_groups_is_refused() -> None:
    with pytest.raises(ConfigError, match="patient"):
        assign_splits(manifest_of({"a": 9, "b": 9}), "grouped", 0, 0.2, 0.2)


def test_official_without_a_test_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="split=stratified"):
        assign_splits(manifest_of({"a": 9, "b": 9}), "official", 0, 0.2, 0.2)


def test_too_few_images_are_refused_with_numbers() -> None:
    with pytest.raises(DataError, match=r"class b has only 2 images.*at least 3"):
        assign_splits(manifest_of({"a": 9, "b": 2}), "auto", 0, 0.2, 0.2)


def test_why_a_class_is_too_small_is_said() -> None:
    """A name that is misspelt, or a column that holds one patient alone."""
    with pytest.raises(DataError, match=r"gliomma has only 1 image, .*or is it glioma, misspelt\?"):
        assign_splits(manifest_of({"glioma": 9, "no": 9, "gliomma": 1}), "auto", 0, 0.2, 0.2)
    one = manifest_of({"a": 9, "b": 9}).assign(group="anon")
    reason = "9 images of one patient, or copies of one picture, .*leave out what tells patients"
    with pytest.raises(DataError, match=reason):
        assign_splits(one, "auto", 0, 0.2, 0.2)


def test_three_images_are_just_enough() -> None:
    out, _ = assign_splits(manifest_of({"a": 3, "b": 3}), "auto", 0, 0.2, 0.2)
    assert (pd.crosstab(out["label"], out["split"]) == 1).all(axis=None)


def test_too_few_patients_are_refused_with_numbers() -> None:
    manifest = manifest_of({"a": 90, "b": 20}, slices=10)
    with pytest.raises(DataError, match="20 images of 2 patients"):
        assign_splits(manifest, "grouped", 0, 0.2, 0.2)


@pytest.mark.parametrize("seed", range(8))
def test_test_part_leaves_enough_patients_for_validation(seed: int) -> None:
    manifest = manifest_of({"a": 90}, slices=10)
    few = pd.DataFrame(
        [(f"b/{i}.png", "b", None, f"b{min(i, 2)}") for i in range(60)],  # 1, 1 and 58 slices
        columns=manifest.columns,
    )
    out, _ = assign_splits(pd.concat([manifest, few], ignore_index=True), "auto", seed, 0.2, 0.2)
    assert (pd.crosstab(out["label"], out["split"]) > 0).all(axis=None)


def test_class_of_few_large_patients_is_in_every_part() -> None:
    few = manifest_of({"b": 90}, slices=30)  # a tenth is 9 images, a patient has 30
    many = manifest_of({"a": 90}, slices=3)
    out, _ = assign_splits(pd.concat([few, many], ignore_index=True), "auto", 0, 0.1, 0.1)
    assert pd.crosstab(out["label"], out["split"]).loc["b"].tolist() == [30, 30, 30]


def test_names_that_are_no_utf8_can_be_split() -> None:
    manifest = manifest_of({"a": 9, "b": 9})
    manifest["path"] += "\udcff"
    assert_nothing_lost(manifest, assign_splits(manifest, "auto", 0, 0.2, 0.2)[0])


def test_class_that_only_the_test_split_has_is_refused() -> None:
    manifest = manifest_of({"a": 9, "b": 9, "c": 9}, split={"test": 0.3, "train": 1.0})
    manifest.loc[manifest["label"] == "c", "split"] = "test"
    with pytest.raises(DataError, match="class c has no training image, which are of a, b; add"):
        assign_splits(manifest, "official", 0, 0.2, 0.2)


def crossing() -> pd.DataFrame:
    """90 images a class in groups of three, of which every third image is an official test one."""
    manifest = manifest_of({"a": 90, "b": 90}, slices=3)
    manifest["split"] = np.where(manifest.index % 3 == 0, "test", "train")
    manifest.loc[manifest["group"].str.endswith(("0", "1", "2", "3")), "split"] = "train"
    return manifest


def test_official_clean_drops_the_copies_of_test_images_from_training() -> None:
    manifest = crossing()
    out, kind = assign_splits(manifest, "official_clean", 0, 0.25, 0.2)
    assert kind == "official_clean"
    assert ((out["split"] == "test") == (manifest["split"] == "test")).all()
    leaky = manifest["group"].isin(manifest.loc[manifest["split"] == "test", "group"])
    assert ((out["split"] == "excluded") == (leaky & (manifest["split"] == "train"))).all()
    assert (out.loc[~leaky, "split"].value_counts() > 0).reindex(["train", "val"]).all()
    refuse_crossing(out)


def test_official_keeps_the_copies_of_test_images_in_training() -> None:
    manifest = crossing()
    out, _ = assign_splits(manifest, "official", 0, 0.25, 0.2)
    assert ((out["split"] == "test") == (manifest["split"] == "test")).all()
    assert not (out["split"] == "excluded").any()
    with pytest.raises(DataError, match=r"36 groups .* 108 images .* a-4, a-5, a-6 and 33 more"):
        refuse_crossing(out)  # 18 of 30 groups a class: the numbers that end in 4 to 9


def test_copies_of_an_official_validation_split_leave_training() -> None:
    manifest = manifest_of({"a": 30, "b": 30}, slices=3)
    manifest["split"] = ["val", "train", "train"] * 5 + ["train"] * 10 + ["test"] * 5 + (
        ["train"] * 20 + ["val"] * 5 + ["test"] * 5
    )  # fmt: skip
    out, _ = assign_splits(manifest, "official", 0, 0.2, 0.2)
    assert out["split"].tolist() == ["val", "excluded", "excluded"] * 5 + ["train"] * 10 + [
        "test"
    ] * 5 + (["train"] * 18 + ["excluded"] * 2 + ["val"] * 5 + ["test"] * 5)


kinds = st.sampled_from(["official", "official_clean", "stratified", "grouped"])
structure = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 8), st.integers(0, 3)), min_size=8, max_size=40
)  # class, images and own test images of a group


@settings(max_examples=60, deadline=None)
@given(structure, kinds, st.booleans(), st.booleans(), st.integers(0, 2**31))
def test_validation_shares_no_group_with_training_under_any_split(
    groups: list[tuple[int, int, int]], kind: SplitKind, mixed: bool, has_val: bool, seed: int
) -> None:
    rows = [
        (f"{g}/{i}.png", "abc"[(label + (mixed and i % 4 == 3)) % 3],
         "test" if i < tests else "val" if has_val and (g + i) % 5 == 0 else "train",
         f"g{g}" if size > 1 else None)
        for g, (label, size, tests) in enumerate(
            [(k, 2, t) for k in range(3) for t in (0, 0, 0, 0, 0, 2)] + groups
        )
        for i in range(size)
    ]  # fmt: skip
    manifest = pd.DataFrame(rows, columns=["path", "label", "split", "group"]).astype("str")
    out, _ = assign_splits(manifest, kind, seed, 0.2, 0.2)
    pd.testing.assert_frame_equal(manifest.drop(columns="split"), out.drop(columns="split"))
    assert out["split"].isin(["train", "val", "test", "excluded"]).all()
    splits_of = out[out["group"].notna()].groupby("group")["split"].agg(set)
    assert not splits_of.map(lambda s: {"train", "val"} <= s).any()
    if kind in ("grouped", "official_clean"):
        refuse_crossing(out)
        assert not seen_in_training(out, "test").any()
    if kind in ("grouped", "stratified"):
        assert not (out["split"] == "excluded").any()


@settings(max_examples=40, deadline=None)
@given(structure, st.integers(0, 2**31), st.floats(0.1, 0.4), st.floats(0.1, 0.4))
def test_grouped_shares_are_off_by_at_most_the_largest_group(
    groups: list[tuple[int, int, int]], seed: int, val: float, test: float
) -> None:
    """With one class a group: a group is taken only if it is less than twice what is wanted."""
    sized = [(k, 2) for k in range(3) for _ in range(6)] + [(k, size) for k, size, _ in groups]
    rows = [
        (f"{g}/{i}.png", "abc"[label], None, f"g{g}" if size > 1 else None)
        for g, (label, size) in enumerate(sized)
        for i in range(size)
    ]
    manifest = pd.DataFrame(rows, columns=["path", "label", "split", "group"]).astype("str")
    out, _ = assign_splits(manifest, "grouped", seed, val, test)
    for k, label in enumerate("abc"):
        largest = max(size for of, size in sized if of == k)
        counts = out.loc[out["label"] == label, "split"].value_counts()
        n = counts.sum()
        assert abs(counts["test"] - max(round(n * test), 1)) <= largest
        assert abs(counts["val"] - max(round((n - counts["test"]) * val), 1)) <= largest


def test_seen_in_training_names_copies_and_patients_of_the_split() -> None:
    """Of the test images: a lone one, a pair of its own, copies of t, v and of an excluded one."""
    rows = [
        ("test", None), ("test", "own"), ("test", "own"), ("train", "t"), ("test", "t"),
        ("val", "v"), ("test", "v"), ("train", None), ("excluded", "x"), ("test", "x"),
        ("train", "w"), ("val", "w"), ("val", "own v"), ("val", "own v"),
    ]  # fmt: skip
    manifest = pd.DataFrame(rows, columns=["split", "group"]).astype("str")
    assert seen_in_training(manifest, "test").tolist() == [False] * 3 + [True, True, False]
    assert seen_in_training(manifest, "val").tolist() == [False, True, False, False]
    assert seen_in_training(manifest, "train").tolist() == [False] * 3
    assert seen_in_training(manifest, "test").dtype == bool


def test_excluded_images_do_not_count_as_crossing() -> None:
    rows = [("test", "g"), ("excluded", "g"), ("train", "h"), ("train", None), ("test", None)]
    refuse_crossing(pd.DataFrame(rows, columns=["split", "group"]).astype("str"))


def test_a_class_whose_training_images_are_all_copies_is_refused() -> None:
    manifest = crossing()
    manifest.loc[manifest["label"] == "b", "group"] = "one patient"
    with pytest.raises(DataError, match=r"class b has no training image \(\d+ are excluded"):
        assign_splits(manifest, "official_clean", 0, 0.2, 0.2)
