"""Floors of an earlier model's evaluation are taken, and never for other data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braintumor.cache_folder import list_files
from braintumor.evaluation import baselines as room
from braintumor.evaluation.baselines import cached_baselines

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 32, 32), dtype=np.uint8)
MANIFEST = pd.DataFrame(
    {"path": [f"{i}.png" for i in range(16)], "label": ["a", "b"] * 8,
     "split": ["train"] * 10 + ["test"] * 6, "group": [np.nan] * 16}
).assign(width=32, height=32, mode="L")  # fmt: skip


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every measurement; all of them are kept."""
    counted: list[int] = []
    measure = room.answer_baselines

    def count(*arguments, **more):  # type: ignore[no-untyped-def]
        counted.append(1)
        return measure(*arguments, **more)

    monkeypatch.setenv("BT_CACHE", str(tmp_path))
    monkeypatch.setattr(room, "answer_baselines", count)
    monkeypatch.setattr(room, "_WORTH_KEEPING_S", 0.0)
    return counted


def test_the_second_model_measures_nothing(measured: list[int]) -> None:
    first = cached_baselines(PIXELS, MANIFEST, "ab")
    again = cached_baselines(PIXELS, MANIFEST, "ab")
    assert len(measured) == 1
    pd.testing.assert_frame_equal(first.answers, again.answers)
    pd.testing.assert_series_equal(first.seconds, again.seconds)
    assert len(list_files()["floors"]) == 1  # bt-data cache=size knows of it


@pytest.mark.parametrize("what", ["pixels", "label", "split", "mode", "asked"])
def test_what_answers_depend_on_is_measured_anew(measured: list[int], what: str) -> None:
    cached_baselines(PIXELS, MANIFEST, "ab")
    pixels, manifest, split = PIXELS.copy(), MANIFEST.copy(), "test"
    if what == "pixels":
        pixels[3, 0, 0] ^= 1
    elif what == "asked":
        split = "train"
    else:
        manifest[what] = manifest[what].astype(object)
        manifest.loc[4, what] = {"label": "b", "split": "val", "mode": "RGB"}[what]
    cached_baselines(pixels, manifest, "ab", split)
    assert len(measured) == 2


def test_a_damaged_file_is_measured_anew(measured: list[int]) -> None:
    first = cached_baselines(PIXELS, MANIFEST, "ab")
    (path,) = list_files()["floors"]
    path.write_bytes(path.read_bytes()[:100])
    again = cached_baselines(PIXELS, MANIFEST, "ab")
    assert len(measured) == 2
    pd.testing.assert_frame_equal(first.answers, again.answers)
