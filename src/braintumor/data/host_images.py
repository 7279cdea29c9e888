"""A split as tensors: on the device where it fits, else in host memory or on the disk."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from braintumor.data.read_ahead import asked_ahead, read_ahead

# N images, B of them a batch, C channels (1 when all pictures are grey, else 3), S side in px

_DEVICE_SHARE = 0.4  # of a GPU's free memory that one split may take, else it stays in the host's
_SLICE = 256  # images that are copied to a GPU at once: 40 MB in colour at 224 px


@dataclass(frozen=True, eq=False)
class HostImages:
    """uint8 (N, C, S, S) that lie in host memory, or on disk, among others: never copied whole.

    source: (M, S, S) or (M, S, S, 3), mostly a memory map that all processes share.
    rows: int64 (N,), which of them are meant.
    is_pinned: batches are gathered where a GPU can fetch them by itself.
    """

    source: Tensor
    rows: Tensor
    is_pinned: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: Tensor | slice) -> Tensor:
        return self._gathered(self.rows[wanted])

    def batches(self, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """The images at those positions, a part at a time; a disk reads ahead in the meantime.

        parts: int64 (B,) each, in [0, N).
        """
        ask = functools.partial(read_ahead, self.source)
        for rows in asked_ahead([self.rows[part] for part in parts], ask):
            yield self._gathered(rows)

    def split(self, size: int) -> Iterator[Tensor]:
        """Batches in order, as Tensor.split gives them, one at a time."""
        return self.batches(torch.arange(len(self)).split(size))

    @property
    def shape(self) -> tuple[int, ...]:
        size_px = self.source.shape[1]
        return len(self), 1 if self.source.ndim == 3 else 3, size_px, size_px

    @property
    def device(self) -> torch.device:
        return self.source.device

    def _gathered(self, rows: Tensor) -> Tensor:
        shape = (len(rows), *self.source.shape[1:])
        chosen = torch.empty(shape, dtype=torch.uint8, pin_memory=self.is_pinned)
        # index_select copies whole pictures; [] goes pixel by pixel and takes ten times as long
        torch.index_select(self.source, 0, rows, out=chosen)
        return chosen[:, None] if chosen.ndim == 3 else chosen.permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """All images of one split.

    images: uint8 (N, C, S, S), on the device or, where they do not fit, in host memory.
    labels: int64 (N,), on the device.
    """

    images: Tensor | HostImages
    labels: Tensor
    paths: tuple[str, ...]

    @property
    def device(self) -> torch.device:
        """Where training and evaluation happen."""
        return self.labels.device

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, S, S) and labels (B,) at those positions, both on the device.

        parts: int64 (B,) each, in [0, N), on the CPU.
        """
        there = sent(parts, self.device)
        images: Iterator[Tensor]
        if isinstance(self.images, HostImages):
            images = self.images.batches(parts)
        else:
            images = map(self.images.__getitem__, there)
        for batch, index_B in zip(images, there, strict=True):
            yield to_device(batch, self.device), self.labels[index_B]


def sent(parts: Sequence[Tensor], device: torch.device) -> tuple[Tensor, ...]:
    """The parts on the device, copied there at once."""
    return torch.cat(list(parts)).to(device).split([len(part) for part in parts])


def load_split(
    pixels: np.ndarray,
    labels: np.ndarray,
    paths: tuple[str, ...],
    rows: np.ndarray,
    device: torch.device,
) -> ImageSplit:
    """Copy the chosen rows to the GPU; where they would fill it, or without one, leave them.

    pixels: uint8 (M, S, S) or (M, S, S, 3), of the whole data set.  labels: int (M,).
    rows: int (N,), which of the M images belong to the split.
    """
    with warnings.catch_warnings():  # torch complains of read-only memory; nobody writes there
        warnings.simplefilter("ignore", UserWarning)
        source = torch.from_numpy(pixels)
    images = HostImages(source, torch.from_numpy(rows.astype(np.int64)), device.type == "cuda")
    fits = device.type != "cpu" and not is_too_large(math.prod(images.shape), device)
    return ImageSplit(
        images=_copied(images, device) if fits else images,
        labels=torch.from_numpy(labels[rows].astype(np.int64)).to(device),
        paths=tuple(paths[row] for row in rows),
    )


def _copied(images: HostImages, device: torch.device) -> Tensor:
    """All of them on the device; host memory holds a slice at a time."""
    whole = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for part, batch in zip(whole.split(_SLICE), images.split(_SLICE), strict=True):
        part.copy_(batch, non_blocking=True)
    return whole


def is_too_large(size_bytes: int, device: torch.device) -> bool:
    """Whether that would take too much of a GPU's memory, which training needs."""
    if device.type != "cuda":
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    # what torch keeps of former phases or folds is free, though the driver calls it taken
    free_bytes += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return size_bytes > _DEVICE_SHARE * free_bytes


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """A batch on the device; from host memory without waiting for what the device is doing.

    The copy starts from pinned memory, so the host gathers the next batch in the meantime.
    """
    if batch.device == device or device.type != "cuda":
        return batch.to(device)
    return batch.pin_memory().to(device, non_blocking=True)
