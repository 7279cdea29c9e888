"""Floors: each sees what it says and nothing else, and its figures can be worked out by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from braintumor.errors import DataError
from braintumor.evaluation import baselines
from braintumor.evaluation.baseline_figures import Baselines, baseline_figures, best_baseline
from braintumor.evaluation.baselines import (
    describe,
    intensities,
    measure_baselines,
    rim,
    thumbnails,
)
from braintumor.records import Predictions
from braintumor.report.verdict import above_baseline

MAJORITY, NEAREST, METADATA, RIM = (
    "majority class", "1-nearest neighbour on pixels", "metadata only", "outer rim only"
)  # fmt: skip
FIGURES = ["accuracy", "balanced_accuracy", "n", "clean_accuracy", "clean_balanced_accuracy"]


def make_manifest(labels: str, splits: str, groups: str | None = None) -> pd.DataFrame:
    """One letter an image: its class; t(rain), v(al), e (test) or x (excluded); group or "."."""
    names = {"t": "train", "v": "val", "e": "test", "x": "excluded"}
    table = {
        "path": [f"{i:03d}.png" for i in range(len(labels))],
        "label": list(labels),
        "split": [names[letter] for letter in splits],
        "group": [np.nan if g == "." else g for g in groups or "." * len(labels)],
    }
    return pd.DataFrame(table).assign(width=32, height=32, mode="L")


def noise(count: int, side: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def test_the_majority_by_hand() -> None:
    found = measure_baselines(noise(7), make_manifest("aabbbba", "tttveee"), "ab").loc[MAJORITY]
    # trained on a, a, b: always a; the test images are b, b and a
    assert found[FIGURES].tolist() == pytest.approx([1 / 3, 0.5, 3, 1 / 3, 0.5])


def test_the_nearest_neighbour_agrees_with_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_NEAREST_CELLS", 90 * 7)  # blocks of 7 images, the last of 4
    smooth = noise(150, 4).repeat(8, axis=1).repeat(8, axis=2)
    pixels, labels = smooth // 2 + noise(150, seed=1) // 2, np.arange(150) % 3
    manifest = make_manifest("".join("abc"[k] for k in labels), "t" * 90 + "e" * 60)
    flat = pixels.reshape(150, -1).astype(float)
    reference = KNeighborsClassifier(1, algorithm="brute").fit(flat[:90], labels[:90])
    expected = reference.score(flat[90:], labels[90:])
    assert measure_baselines(pixels, manifest, "abc").loc[NEAREST, "accuracy"] == expected
    assert 0 < expected < 1


def test_copies_count_among_all_images_and_not_among_the_clean() -> None:
    # test images 4, 5, 6 are copies of 0, 1, 2 and known as such; 7 looks like 0, 8 like 3
    pixels = noise(4)[[0, 1, 2, 3, 0, 1, 2, 0, 3]]
    manifest = make_manifest("aabbaabbb", "tttteeeee", "gh.kgh.rs")
    manifest.loc[[2, 6], "group"] = "i"
    found = measure_baselines(pixels, manifest, "ab").loc[NEAREST]
    # right: 4, 5, 6 and 8; 7 is a b that looks like an a. Of class a 2 of 2, of class b 2 of 3
    assert found[["accuracy", "balanced_accuracy", "n"]].tolist() == pytest.approx([0.8, 5 / 6, 5])
    # clean: 7 and 8, both of class b, one of them right
    clean = ["clean_accuracy", "clean_balanced_accuracy", "clean_n"]
    assert found[clean].tolist() == [0.5, 0.5, 2]
    recalls = found[["recall_a", "recall_b", "clean_recall_b"]].tolist()
    assert recalls == pytest.approx([1, 2 / 3, 0.5])
    assert np.isnan(found["clean_recall_a"])  # no such image


def test_without_a_clean_image_there_is_no_clean_figure() -> None:
    found = measure_baselines(noise(4), make_manifest("abab", "ttee", "ghgh"), "ab")
    assert found["clean_n"].tolist() == [0] * len(found)
    assert found[["clean_accuracy", "clean_balanced_accuracy"]].isna().all(axis=None)
    assert found["n"].tolist() == [2] * len(found)


def test_neither_order_nor_rows_outside_train_and_test_change_a_figure() -> None:
    pixels, labels = noise(90, 12), "abc" * 30
    pixels[1::9] = pixels[0]  # draws between neighbours of two classes
    manifest = make_manifest(labels, ("t" * 8 + "v") * 7 + "x" * 3 + "e" * 24)
    one = measure_baselines(pixels, manifest, "abc")
    order = np.random.default_rng(2).permutation(90)
    moved = measure_baselines(pixels[order], manifest.iloc[order].reset_index(drop=True), "abc")
    idle = manifest["split"].isin(["val", "excluded"]).to_numpy()
    pixels[idle] = 255
    other = measure_baselines(
        pixels, manifest.assign(label=manifest["label"].where(~idle, "a")), "abc"
    )
    for again in (moved, other):
        pd.testing.assert_frame_equal(again.drop(columns="seconds"), one.drop(columns="seconds"))


def test_metadata_reads_sizes_and_modes_but_no_names() -> None:
    manifest = make_manifest("ab" * 60, "t" * 80 + "e" * 40)
    telling = manifest.assign(path=[f"{x}/{i:03d}.png" for i, x in enumerate(manifest["label"])])
    pixels = np.zeros((120, 8, 8), np.uint8)
    assert measure_baselines(pixels, telling, "ab").loc[METADATA, "accuracy"] == 0.5
    is_a = manifest["label"] == "a"
    for column, value in (("mode", "RGB"), ("width", 64), ("height", 20)):
        told = manifest.assign(**{column: manifest[column].mask(is_a, value)})
        assert measure_baselines(pixels, told, "ab").loc[METADATA, "accuracy"] == 1.0, column


def test_only_the_rim_floor_sees_a_mark_that_the_statistics_miss() -> None:
    # The same two grey squares in every picture; in class a the bright one touches the frame.
    labels = np.arange(120) % 2
    pixels = np.full((120, 25, 25), 90, np.uint8)
    pixels[labels == 0, 0:2, 4:8] = 200
    pixels[labels == 1, 11:13, 4:8] = 200
    manifest = make_manifest("".join("ab"[k] for k in labels), "t" * 80 + "e" * 40)
    found = measure_baselines(pixels, manifest, "ab")["accuracy"]
    assert found[RIM] == 1.0
    assert found["eight intensity statistics"] == 0.5


def test_the_rim_reads_no_pixel_inside_the_frame() -> None:
    grey = noise(3, 25).astype(np.float32)
    changed = grey.copy()
    changed[:, 2:-2, 2:-2] = 0  # 8 % of 25 px is 2 px
    assert (rim(changed) == rim(grey)).all()
    for frame in ((0, 12), (24, 12), (12, 1), (12, 23)):
        touched = grey.copy()
        touched[:, frame[0], frame[1]] += 50
        assert (rim(touched) != rim(grey)).any(axis=1).all(), frame


def test_cells_that_end_inside_a_pixel_by_hand() -> None:
    grey = np.array([[[0, 60, 240]] * 3], np.float32)
    # cells of 1.5 px: (0 + 30) / 1.5 = 20 and (30 + 240) / 1.5 = 180
    assert thumbnails(2)(grey).tolist() == [[20, 180, 20, 180]]
    assert thumbnails(8)(grey).tolist() == [[0, 60, 240] * 3]


def test_the_eight_statistics_agree_with_numpy() -> None:
    pictures = np.minimum(noise(5, 9), 230) * (noise(5, 9, seed=3) > 40)
    for flat, row in zip(pictures.reshape(5, -1), intensities(pictures.astype(float)), strict=True):
        quartiles = np.quantile(flat, [0.25, 0.5, 0.75], method="inverted_cdf")
        shares = [(flat == 0).mean(), (flat < 16).mean()]
        expected = [flat.mean(), flat.std(), *quartiles, flat.max(), *shares]
        assert row == pytest.approx(expected, rel=1e-5)


def test_colour_becomes_the_grey_that_pillow_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_BLOCK", 2)
    colour = np.random.default_rng(4).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    rows = np.array([4, 0, 2])
    got = describe(colour, rows, {"grey": lambda grey: grey})[0]["grey"]
    expected = [np.asarray(Image.fromarray(colour[row]).convert("L")) for row in rows]
    assert np.abs(got - np.array(expected, float)).max() <= 1  # Pillow rounds in whole numbers


def test_of_one_class_alone_every_floor_says_that_class() -> None:
    found = measure_baselines(noise(6), make_manifest("aaaaab", "ttttee"), "ab")
    assert (found["accuracy"] == 0.5).all()


@pytest.mark.parametrize(("splits", "empty"), [("eeee", "train"), ("tttt", "test")])
def test_a_split_without_images_is_named(splits: str, empty: str) -> None:
    with pytest.raises(DataError, match=f"no image is in the split {empty}, .*split=auto"):
        measure_baselines(noise(4), make_manifest("abab", splits), "ab")


BEST = {
    "name": NEAREST, "accuracy": 0.979, "clean_accuracy": 0.8, "margin": 0.014,
    "margin_ci": (0.006, 0.022), "clean_name": RIM, "clean_best": 0.831, "clean_margin": 0.099,
    "clean_margin_ci": (0.06, 0.14),
}  # fmt: skip
KINDS = {"": "All images", "clean_": "Images without copies"}


def test_above_the_floor_in_words() -> None:
    text, is_above = above_baseline(BEST, KINDS)
    assert is_above
    assert text.replace("\N{NO-BREAK SPACE}", " ") == (
        "The model is better than every simple rule that knows no anatomy. All images: 99.3 % "
        "against 97.9 % of the best floor, 1-nearest neighbour on pixels; difference +1.4 points "
        "(95 % CI +0.6 to +2.2). Images without copies: 93.0 % against 83.1 % of the best floor, "
        "outer rim only; difference +9.9 points (95 % CI +6.0 to +14.0)."
    )
    assert "copies" not in above_baseline(BEST, {"": "All images"})[0]


@pytest.mark.parametrize(
    ("margin", "interval", "verdict", "said"),
    [
        (-0.02, (-0.03, -0.01), "is worse than a", "81.1 % against 83.1 % of the best floor"),
        (0.005, (-0.003, 0.013), "is not shown to be better", "outer rim only; difference +0.5"),
        (0.01, (0.0, 0.02), "is not shown to be better", "+0.0 to +2.0), which may be chance"),
    ],
)
def test_a_model_that_is_not_above_is_told_so(
    margin: float, interval: tuple, verdict: str, said: str
) -> None:
    best = BEST | {"clean_margin": margin, "clean_margin_ci": interval}
    text, is_above = above_baseline(best, KINDS)
    assert not is_above
    assert verdict in text
    assert said in text.replace("\N{NO-BREAK SPACE}", " ")
    assert ("chance" in text) == (interval[1] > 0)


def test_a_model_level_with_the_best_floor_is_said_to_be(
    make_predictions: Callable[..., Predictions],
) -> None:
    """18 answers as the floor gives them: resampling shows no spread, which proves nothing."""
    predictions = make_predictions(18)
    answers = np.array(predictions.classes)[predictions.predicted]
    table = pd.DataFrame({RIM: answers}, index=list(predictions.paths))
    truth, every = np.array(predictions.classes)[predictions.labels], np.ones(18, bool)
    figures = baseline_figures(
        Baselines(table, pd.Series({RIM: 1.0})), truth, every, predictions.classes
    )
    best = best_baseline(figures, table, predictions, np.arange(18), every)
    assert best["margin"] == 0
    assert best["margin_ci"] == pytest.approx((-0.1386, 0.1386), abs=1e-4)
    text, is_above = above_baseline(best, {"": "All images"})
    assert not is_above
    assert "of the best floor, outer rim only; difference +0.0 points" in text
    assert "-13.9 to +13.9" in text


_TIMED = """
import sys, time
import numpy as np, pandas as pd, torch
from braintumor.evaluation.baselines import cached_baselines
rng = np.random.default_rng(0)
n = 1200
pixels = rng.integers(0, 256, (n, 64, 64), dtype=np.uint8)
manifest = pd.DataFrame({
    "path": [f"{i}.png" for i in range(n)], "label": rng.choice(["a", "b", "c"], n),
    "split": ["train", "train", "test"] * (n // 3), "group": range(n), "width": 64, "height": 64,
    "mode": "L", "sha256": [str(i) for i in range(n)],
})
torch.randn(500, 500) @ torch.randn(500, 500)  # its threads are there
began = time.perf_counter()
table = cached_baselines(pixels, manifest, ("a", "b", "c"))
print(time.perf_counter() - began)
"""


@pytest.mark.slow
def test_more_threads_do_not_make_it_slower(tmp_path: Path) -> None:
    def seconds(number: int, **threads: str) -> float:
        env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        env |= {"BT_CACHE": str(tmp_path / f"{number}{len(threads)}"), **threads}
        done = subprocess.run(
            [sys.executable, "-c", _TIMED], env=env, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    runs = range(2)
    one = min(seconds(k, OMP_NUM_THREADS="1") for k in runs)
    assert min(seconds(k) for k in runs) <= 1.5 * one
