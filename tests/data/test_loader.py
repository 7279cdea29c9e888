"""Order of an epoch, oversampling, and batches."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from braintumor.data.loader import batches_of, count_batches, epoch_order, load_split

LABELS = np.array([0] * 10 + [1] * 4 + [2] * 7)


def test_order_visits_every_image_once() -> None:
    order = epoch_order(LABELS, seed=0, epoch=0, oversample=False)
    assert sorted(order) == list(range(len(LABELS)))


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return epoch_order(LABELS, seed, epoch, oversample=True).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_oversampling_balances_classes_and_loses_no_image() -> None:
    order = epoch_order(LABELS, seed=0, epoch=3, oversample=True)
    assert np.bincount(LABELS[order]).tolist() == [10, 10, 10]
    assert set(order) == set(range(len(LABELS)))


def test_oversampling_repeats_evenly() -> None:
    """Four images filled up to ten: each twice or three times, never seven times one."""
    order = epoch_order(LABELS, seed=0, epoch=0, oversample=True)
    repeats = np.bincount(order, minlength=len(LABELS))[LABELS == 1]
    assert set(repeats) == {2, 3}


@given(st.integers(1, 200), st.integers(2, 64))
def test_batches_cover_the_order_but_for_a_lone_last_image(count: int, size: int) -> None:
    order = np.arange(count)
    batches = list(batches_of(order, size))
    seen = np.concatenate(batches) if batches else np.array([])
    assert len(batches) == count_batches(count, size)
    assert all(len(b) > 1 for b in batches) or count == 1
    assert count - len(seen) <= 1
    assert (seen == order[: len(seen)]).all()


def test_grey_pictures_keep_one_channel_and_colour_three() -> None:
    rows, paths = np.array([2, 0]), ("a", "b", "c")
    grey = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2)
    split = load_split(grey, np.array([5, 6, 7]), paths, rows, torch.device("cpu"))
    assert split.images.shape == (2, 1, 2, 2)
    assert split.images[0, 0].tolist() == grey[2].tolist()
    assert split.labels.tolist() == [7, 5]
    assert split.paths == ("c", "a")
    colour = np.random.default_rng(0).integers(0, 256, (3, 2, 2, 3), dtype=np.uint8)
    split = load_split(colour, np.array([5, 6, 7]), paths, rows, torch.device("cpu"))
    assert split.images.shape == (2, 3, 2, 2)
    assert split.images[1, 2].tolist() == colour[0, :, :, 2].tolist()
