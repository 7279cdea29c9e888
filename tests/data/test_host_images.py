"""A split in host memory or on the disk: whole pictures, batches in any order, read ahead."""

from __future__ import annotations

import ctypes
import mmap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from braintumor.data import host_images, read_ahead
from braintumor.data.host_images import HostImages, ImageSplit, _copied, is_too_large, load_split

CPU = torch.device("cpu")


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


def test_what_torch_keeps_for_itself_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """After training nearly all of a GPU is reserved and little of it is in use."""
    gb = 10**9
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 * gb, 16 * gb))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 14 * gb)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 5 * gb)
    assert not is_too_large(3 * gb, torch.device("cuda"))  # 10 GB are free
    assert is_too_large(5 * gb, torch.device("cuda"))


@pytest.mark.parametrize("colour", [(), (3,)])
def test_a_split_goes_to_a_device_by_slices(
    monkeypatch: pytest.MonkeyPatch, colour: tuple[int, ...]
) -> None:
    """Bytes stay; nobody asks the host's images for more than a slice."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 2, 2, *colour), dtype=np.uint8)
    images = HostImages(torch.from_numpy(pixels), torch.tensor([8, 1, 5, 0, 3]))
    monkeypatch.setattr(host_images, "_SLICE", 2)
    assert torch.equal(_copied(images, CPU), images[:])
    monkeypatch.setattr(host_images, "is_too_large", lambda size_bytes, device: False)
    asked: list[int] = []
    plain = HostImages._gathered

    def noted(self: HostImages, rows: torch.Tensor) -> torch.Tensor:
        asked.append(len(rows))
        return plain(self, rows)

    monkeypatch.setattr(HostImages, "_gathered", noted)
    rows, meta = np.arange(9), torch.device("meta")  # a device without a GPU
    split = load_split(pixels, np.zeros(9), tuple("abcdefghi"), rows, meta)
    assert split.images.shape == (9, 3 if colour else 1, 2, 2)
    assert split.images.device == meta and max(asked) == 2


ORDERS = {
    "shuffled": [7, 2, 0, 8, 5, 1, 4, 3, 6],
    "with repetitions": [3, 3, 8, 3, 0, 0, 8],
    "one": [4],
    "none": [],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("colour", [(), (3,)], ids=["grey", "colour"])
def test_batches_are_the_same_bytes_wherever_pictures_lie(
    tmp_path: Path, colour: tuple[int, ...], order: list[int]
) -> None:
    """In memory, on the disk, or all on the device."""
    pixels = np.random.default_rng(1).integers(0, 256, (20, 5, 5, *colour), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    rows, labels, paths = np.arange(19, 1, -2), np.arange(20), tuple(map(str, range(20)))
    splits = [load_split(p, labels, paths, rows, CPU) for p in (pixels, np.asarray(mapped))]
    splits.append(ImageSplit(splits[0].images[:], splits[0].labels, splits[0].paths))
    for split in splits:
        batches = list(split.batches(torch.tensor(order, dtype=torch.long).split(4)))
        together = torch.cat([images for images, _ in batches])
        expected = pixels[rows[order]].reshape(len(order), 5, 5, colour[0] if colour else 1)
        assert np.array_equal(together.permute(0, 2, 3, 1).numpy(), expected)
        assert [label for _, part in batches for label in part.tolist()] == rows[order].tolist()
        assert all(len(images) == 4 for images, _ in batches[:-1])


def test_what_a_disk_is_asked_for_is_exactly_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where pictures begin within a page and end in another."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(read_ahead, "_madvise", lambda at, size, _: asked.append((at, size)))
    pixels = np.zeros((9, 50, 50), np.uint8)
    images = load_split(pixels, np.zeros(9), tuple("abcdefghi"), np.arange(9), CPU).images
    assert isinstance(images, HostImages)
    order = [8, 0, 3, 3, 5]
    assert sum(map(len, images.batches(torch.tensor(order).split(2)))) == 5
    for row, (at, size) in zip(order, asked, strict=True):
        first = pixels[row].ctypes.data
        assert at % mmap.PAGESIZE == 0
        assert first - mmap.PAGESIZE < at <= first and at + size == first + 50 * 50


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="the system has no madvise")
def test_a_disk_reads_the_next_batches_while_one_is_in_use(tmp_path: Path) -> None:
    """Rows lie far apart in a file that is a hole, so that nobody reads one for another's sake."""
    size_px, far = 64, 10_000  # 40 MB between two of them
    mapped = np.lib.format.open_memmap(
        tmp_path / "pixels.npy", "w+", np.uint8, (8 * far, size_px, size_px)
    )
    images = HostImages(torch.from_numpy(np.asarray(mapped)), torch.arange(0, 8 * far, far))
    batches = images.batches(torch.tensor([5, 2, 7, 1, 3]).split(1))
    next(batches)
    _wait_until(lambda: _in_memory(mapped[2 * far]) and _in_memory(mapped[7 * far]))
    assert not _in_memory(mapped[3 * far]), "nor is everything read at once"
    assert sum(1 for _ in batches) == 4


def _in_memory(picture: np.ndarray) -> bool:
    """Whether the system holds all pages of a picture, whoever read them."""
    start = picture.ctypes.data
    page = start - start % mmap.PAGESIZE
    size = start + picture.nbytes - page
    found = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mincore(ctypes.c_void_p(page), ctypes.c_size_t(size), found) == 0
    return all(state & 1 for state in found)


def _wait_until(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < until, "the disk was not asked"
        time.sleep(0.01)
