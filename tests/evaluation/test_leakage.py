"""Copies of training images, recognised by the hashes on a card."""

from __future__ import annotations

import io
import time
import tracemalloc

import imagehash
import numpy as np
import pytest
from PIL import Image

from braintumor.data.duplicates import phashes
from braintumor.data.images import resize
from braintumor.data.sources.phantom import build
from braintumor.errors import CheckpointError
from braintumor.evaluation.leakage import find_contaminated

RADIUS = 22  # configs/eval.yaml: copy_bits


def _hex(*bits: int) -> str:
    """A hash of 256 bits of which these are set."""
    return f"{sum(1 << b for b in bits):064x}"


def _random(count: int, seed: int) -> np.ndarray:
    raw = np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)
    return np.array([row.tobytes().hex() for row in raw])


def test_a_hash_counts_within_the_radius_in_either_mirror_state() -> None:
    far = _hex(*range(100, 200))
    phashes_ = [_hex(0, 63, 64), _hex(0, 63, 64, 255), far, far]
    mirrored = [far, far, _hex(128, 200), far]
    found = find_contaminated(["w", "x", "y", "z"], phashes_, mirrored, (), (_hex(),), radius=3)
    assert found.tolist() == [True, False, True, False]


def test_identical_files_count_whatever_their_hash() -> None:
    far = _hex(*range(100, 200))
    found = find_contaminated(["s", "t"], [far, far], [far, far], ("t",), (_hex(),), radius=3)
    assert found.tolist() == [False, True]


def test_distances_are_those_of_imagehash() -> None:
    """The nearest of 40 training hashes, counted by the reference implementation."""
    queries, known = _random(30, 0), _random(40, 1)
    known[7] = queries[3]
    away = [str(imagehash.hex_to_hash(_hex(*range(0, 256, 2))))] * 30
    theirs = [imagehash.hex_to_hash(text) for text in known]
    nearest = [min(imagehash.hex_to_hash(q) - t for t in theirs) for q in queries]
    for radius in (0, 95, 100, 105):
        found = find_contaminated([""] * 30, queries, away, (), tuple(known), radius)
        other = min(imagehash.hex_to_hash(away[0]) - t for t in theirs) <= radius
        assert found.tolist() == [other or n <= radius for n in nearest]


def test_a_card_without_hashes_finds_nothing() -> None:
    assert not find_contaminated(["s"], [_hex()], [_hex()], (), (), RADIUS).any()


@pytest.mark.parametrize("broken", ["abc", "g" * 64, ""])
def test_a_broken_hash_is_named(broken: str) -> None:
    with pytest.raises(CheckpointError, match="perceptual hash"):
        find_contaminated(["s"], [_hex()], [_hex()], (), (_hex(), broken), RADIUS)


def test_ten_thousand_against_ten_thousand_in_seconds_and_little_memory() -> None:
    queries, mirrored, known = (_random(10_000, seed) for seed in range(3))
    tracemalloc.start()
    start = time.perf_counter()
    assert not find_contaminated(queries, queries, mirrored, known, known, RADIUS).any()
    seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 30  # 2 s on an idle core; a slow machine is no fault
    assert peak < 100e6


def _thumbnails(pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack([resize(np.ascontiguousarray(p), 64, "stretch") for p in pictures])


def _jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _resized(picture: np.ndarray, side_px: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side_px, side_px)))


def test_planted_copies_are_found_and_other_patients_are_not() -> None:
    """24 patients trained on, 24 others not, and what others do to a picture they pass on."""
    source = build(patients=48, slices_per_patient=1, size_px=128, seed=3, test_share=0.0)
    pictures = [np.asarray(source.read(item)) for item in source.items]
    trained, others = pictures[:24], pictures[24:]
    changed = {
        "re-encoded": [_jpeg(p, 30) for p in trained],
        "resized": [_resized(p, 300) for p in trained],
        "mirrored": [p[:, ::-1] for p in trained],
        "brightened": [(p * 1.05).clip(0, 255).astype(np.uint8) for p in trained],
        "mirrored and re-encoded": [_jpeg(np.ascontiguousarray(p[:, ::-1]), 50) for p in trained],
    }
    card = tuple(phashes(_thumbnails(trained)))

    def found_among(copies: list[np.ndarray]) -> int:
        thumbnails = _thumbnails(copies)
        mirrored = phashes(thumbnails[:, :, ::-1])
        rows = [""] * len(copies)
        return int(find_contaminated(rows, phashes(thumbnails), mirrored, (), card, RADIUS).sum())

    assert {name: found_among(copies) for name, copies in changed.items()} == dict.fromkeys(
        changed, 24
    )
    assert found_among(others) == 0
