from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageDraw
from threadpoolctl import threadpool_info, threadpool_limits

from braintumor.data.duplicates import phashes
from braintumor.data.fingerprint import fingerprint
from braintumor.data.reading import read_images
from braintumor.data.sources import Item, Source
from braintumor.data.sources.phantom import Phantom


@pytest.fixture(scope="module")
def head() -> Image.Image:
    source = Phantom(8, 1, 224, 0, 0.0)
    return Image.fromarray(source.read(source.items[0]))


def test_the_same_pixels_have_the_same_hash_and_a_changed_one_another(head: Image.Image) -> None:
    pixels = np.asarray(head)
    changed = pixels.copy()
    changed[100, 100] += 1
    assert fingerprint(pixels).pixel_sha256 == fingerprint(pixels.copy()).pixel_sha256
    assert fingerprint(pixels).pixel_sha256 != fingerprint(changed).pixel_sha256


def test_a_reshaped_picture_is_not_the_same_pixels() -> None:
    pixels = np.zeros((64, 128), np.uint8)
    assert fingerprint(pixels).pixel_sha256 != fingerprint(pixels.T).pixel_sha256


def test_phashes_are_those_of_imagehash(head: Image.Image) -> None:
    thumbnail = fingerprint(np.asarray(head)).thumbnail
    noise = np.random.default_rng(0).integers(0, 256, (1100, 64, 64), dtype=np.uint8)
    some = np.stack([thumbnail, thumbnail[:, ::-1], np.zeros_like(thumbnail), *noise])
    theirs = [str(imagehash.phash(Image.fromarray(one), hash_size=16)) for one in some]
    assert phashes(some).tolist() == theirs
    assert phashes(some[:0]).shape == (0,)


def test_a_plain_head_is_not_odd(head: Image.Image) -> None:
    assert fingerprint(np.asarray(head)).quality_flags == ()


@pytest.mark.parametrize("level", [0, 130, 255])
def test_one_shade_is_blank(level: int) -> None:
    assert fingerprint(np.full((100, 80), level, np.uint8)).quality_flags == ("blank",)


def test_a_coloured_arrow_is_colour(head: Image.Image) -> None:
    marked = head.convert("RGB")
    ImageDraw.Draw(marked).line((60, 60, 120, 120), fill=(255, 0, 0), width=3)
    assert "colour" in fingerprint(np.asarray(marked)).quality_flags


def test_the_chroma_noise_of_a_jpeg_is_no_colour(head: Image.Image) -> None:
    noise = np.random.default_rng(0).integers(-9, 10, (224, 224, 3))
    pixels = (np.asarray(head.convert("RGB")).astype(int) + noise).clip(0, 255).astype(np.uint8)
    assert "colour" not in fingerprint(pixels).quality_flags


def test_letters_beside_the_head_are_text(head: Image.Image) -> None:
    marked = head.copy()
    ImageDraw.Draw(marked).text((4, 4), "R 12 cm", fill=255)
    assert "text in the margin" in fingerprint(np.asarray(marked)).quality_flags


def test_a_thread_that_reads_has_no_threads_of_its_own_for_matrices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They would wait for each other by turning, and lack cores beside another program."""

    def blas_threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    source, found = Phantom(8, 1, 64, 0, 0.0), []
    read = Phantom.read

    def watched(self: Source, item: Item) -> np.ndarray:
        found.extend(blas_threads())
        return read(self, item)

    monkeypatch.setattr(Phantom, "read", watched)
    with threadpool_limits(2, "blas"):
        read_images(source, source.items, 64, "pad")
        assert set(blas_threads()) == {2}
    assert set(found) == {1}
