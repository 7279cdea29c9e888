from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

from braintumor.data import duplicates as copies
from braintumor.data import neighbours
from braintumor.data.duplicates import find_near_copies, phashes
from braintumor.data.fingerprint import fingerprint
from braintumor.data.sources.phantom import Phantom


@pytest.fixture(scope="module")
def heads() -> list[Image.Image]:
    """Phantoms of 16 patients, one slice each."""
    source = Phantom(16, 1, 224, 3, 0.0)
    return [Image.fromarray(source.read(item)) for item in source.items]


def thumbnails_of(pictures: list[Image.Image]) -> np.ndarray:
    return np.stack([fingerprint(np.asarray(picture)).thumbnail for picture in pictures])


def search(thumbnails: np.ndarray) -> pd.DataFrame:
    return find_near_copies(thumbnails, phashes(thumbnails))


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


def cropped(picture: Image.Image, share: float) -> Image.Image:
    width, height = picture.size
    x, y = round(width * share), round(height * share)
    return picture.crop((x, y, width - x, height - y))


def mirrored(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


PLANTED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "identical": lambda picture: picture.copy(),
    "re-encoded": lambda picture: as_jpeg(picture, 40),
    "smaller": lambda picture: picture.resize((150, 150), Image.Resampling.BILINEAR),
    "larger": lambda picture: picture.resize((512, 512), Image.Resampling.BICUBIC),
    "brightened by 5 %": lambda picture: ImageEnhance.Brightness(picture).enhance(1.05),
    "more contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(1.1),
    "cropped by 2 %": lambda picture: cropped(picture, 0.01),
    "cropped by 2 % on each side": lambda picture: cropped(picture, 0.02),
    "mirrored": mirrored,
    "mirrored, smaller, re-encoded": lambda p: as_jpeg(mirrored(p).resize((180, 180)), 60),
    "mirrored and cropped": lambda picture: cropped(mirrored(picture), 0.01),
}


@pytest.mark.parametrize("change", PLANTED.values(), ids=PLANTED.keys())
def test_every_planted_copy_is_found_and_nothing_else(
    heads: list[Image.Image], change: Callable[[Image.Image], Image.Image]
) -> None:
    count = len(heads)
    found = search(thumbnails_of([*heads, *map(change, heads)]))
    assert set(zip(found["a"], found["b"], strict=True)) == {(i, i + count) for i in range(count)}


def test_a_mirror_image_is_called_one(heads: list[Image.Image]) -> None:
    plain = search(thumbnails_of([heads[0], as_jpeg(heads[0], 50)]))
    turned = search(thumbnails_of([heads[0], mirrored(heads[0])]))
    assert not plain["mirrored"].any()
    assert turned["mirrored"].all()


def test_slices_of_one_patient_are_no_copies() -> None:
    source = Phantom(40, 4, 224, 0, 0.0)
    found = search(thumbnails_of([Image.fromarray(source.read(item)) for item in source.items]))
    assert found.empty


def test_pairs_do_not_depend_on_the_order_of_images(heads: list[Image.Image]) -> None:
    thumbnails = thumbnails_of([*heads[:6], *(mirrored(h) for h in heads[:6])])
    order = np.random.default_rng(0).permutation(len(thumbnails))
    plain, shuffled = search(thumbnails), search(thumbnails[order])
    back = {
        frozenset((order[a], order[b])) for a, b in zip(shuffled["a"], shuffled["b"], strict=True)
    }
    assert back == {frozenset(pair) for pair in zip(plain["a"], plain["b"], strict=True)}


def test_choosing_pairs_by_descriptions_finds_what_comparing_all_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Phantom(120, 1, 128, 5, 0.0)
    heads = [Image.fromarray(source.read(item)) for item in source.items]
    copied = [*(as_jpeg(mirrored(h), 80) for h in heads), *(cropped(h, 0.02) for h in heads[:40])]
    thumbnails = thumbnails_of([*heads, *copied])
    everything = search(thumbnails)
    monkeypatch.setattr(copies, "_EXHAUSTIVE", 50)
    monkeypatch.setattr(neighbours, "_NUMBERS", 32)  # more cannot be learnt from so few
    by_descriptions = search(thumbnails)
    assert len(everything) >= 160
    assert len(by_descriptions) >= 0.98 * len(everything)  # 32 numbers, learnt from 280 pictures
    expected = by_descriptions[["a", "b"]].merge(everything)  # the others are not there at all
    pd.testing.assert_frame_equal(by_descriptions, expected)


@pytest.mark.real_data
def test_descriptions_lose_next_to_no_real_copy(
    nickparvar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among the slices without a tumour most have a copy, plain or mirrored."""
    files = sorted((nickparvar / "Training/notumor").iterdir())[:700]
    thumbnails = thumbnails_of([Image.open(path).convert("L") for path in files])
    thumbnails = np.unique(thumbnails, axis=0)

    def pairs() -> set[tuple[int, int]]:
        found = search(thumbnails)
        return set(zip(found["a"], found["b"], strict=True))

    everything = pairs()
    monkeypatch.setattr(copies, "_EXHAUSTIVE", 0)
    chosen = pairs()
    assert len(everything) > 100
    assert chosen <= everything
    assert len(chosen) >= 0.995 * len(everything)


def test_no_images_and_one_image_have_no_copies(heads: list[Image.Image]) -> None:
    assert search(thumbnails_of(heads[:1])).empty
    empty = np.empty((0, 64, 64), np.uint8)
    assert find_near_copies(empty, phashes(empty)).empty
