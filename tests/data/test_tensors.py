"""Order of an epoch, oversampling, and batches."""

from __future__ import annotations

import numpy as np
import torch

from braintumor.data.tensors import HostImages, epoch_order, load_split

CPU = torch.device("cpu")
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


def test_grey_pictures_keep_one_channel_and_colour_three() -> None:
    rows, paths = np.array([2, 0]), ("a", "b", "c")
    grey = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2)
    split = load_split(grey, np.array([5, 6, 7]), paths, rows, torch.device("cpu"))
    assert split.images.shape == (2, 1, 2, 2)
    assert split.images[:][0, 0].tolist() == grey[2].tolist()
    assert split.labels.tolist() == [7, 5]
    assert split.paths == ("c", "a")
    colour = np.random.default_rng(0).integers(0, 256, (3, 2, 2, 3), dtype=np.uint8)
    split = load_split(colour, np.array([5, 6, 7]), paths, rows, torch.device("cpu"))
    assert split.images.shape == (2, 3, 2, 2)
    assert split.images[:][1, 2].tolist() == colour[0, :, :, 2].tolist()


def test_pictures_without_a_gpu_are_not_copied() -> None:
    pixels = np.zeros((4, 2, 2), dtype=np.uint8)
    split = load_split(pixels, np.zeros(4), ("a", "b", "c", "d"), np.array([3, 1]), CPU)
    pixels[1] = 7  # seen through: the split reads where the data set lies
    assert split.images[torch.tensor([1, 0])][:, 0, 0, 0].tolist() == [7, 0]
    assert isinstance(split.images, HostImages) and len(split.images) == 2


def test_batches_in_order_are_those_of_a_tensor() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 2, 2, 3), dtype=np.uint8)
    rows = np.array([8, 1, 5, 0, 3])
    images = load_split(pixels, np.zeros(9), tuple("abcdefghi"), rows, CPU).images
    expected = torch.from_numpy(pixels[rows]).permute(0, 3, 1, 2)
    pairs = zip(images.split(2), expected.split(2), strict=True)
    assert all(torch.equal(batch, other) for batch, other in pairs)
