"""A split as tensors that stay on the device, and the order in which an epoch visits them."""

# N images, C channels (1 when all pictures are grey, else 3), S side in px

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from braintumor.runtime import mix_seed

_DEVICE_SHARE = 0.4  # of a GPU's free memory that one split may take, else it stays in the host's


@dataclass(frozen=True, eq=False)
class HostImages:
    """uint8 (N, C, S, S) that lie in host memory, or on disk, among others: never copied whole.

    source: (M, S, S) or (M, S, S, 3), mostly a memory map that all processes share.
    rows: int64 (N,), which of them are meant.
    """

    source: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: Tensor | slice) -> Tensor:
        # index_select copies whole pictures; [] goes pixel by pixel and takes ten times as long
        chosen = self.source.index_select(0, self.rows[wanted])
        return chosen[:, None] if chosen.ndim == 3 else chosen.permute(0, 3, 1, 2)

    def split(self, size: int) -> Iterator[Tensor]:
        """Batches in order, as Tensor.split gives them, one at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    @property
    def shape(self) -> tuple[int, ...]:
        size_px = self.source.shape[1]
        return len(self), 1 if self.source.ndim == 3 else 3, size_px, size_px

    @property
    def device(self) -> torch.device:
        return self.source.device


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
    images: Tensor | HostImages = HostImages(source, torch.from_numpy(rows.astype(np.int64)))
    if device.type != "cpu" and not is_too_large(math.prod(images.shape), device):
        images = images[:].contiguous().to(device)
    return ImageSplit(
        images=images,
        labels=torch.from_numpy(labels[rows].astype(np.int64)).to(device),
        paths=tuple(paths[row] for row in rows),
    )


def is_too_large(size_bytes: int, device: torch.device) -> bool:
    """Whether that would take too much of a GPU's memory, which training needs."""
    if device.type != "cuda":
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return size_bytes > _DEVICE_SHARE * free_bytes


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """A batch on the device; from host memory without waiting for what the device is doing.

    The copy starts from pinned memory, so the host gathers the next batch in the meantime.
    """
    if batch.device == device or device.type == "cpu":
        return batch.to(device)
    return batch.pin_memory().to(device, non_blocking=True)


def epoch_order(labels: np.ndarray, seed: int, epoch: int, *, oversample: bool) -> np.ndarray:
    """Positions in the order of this epoch: int64 (M,); a function of (seed, epoch) alone.

    labels: int (N,).  M = N, each position once; under `oversample` every class is repeated
    to the size of the largest: whole copies first, then a random part without repetition.
    """
    rng = np.random.default_rng(mix_seed(seed, "order", epoch))
    if not oversample:
        return rng.permutation(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    target, parts = counts.max(), []
    for label, count in zip(classes, counts, strict=True):
        members = np.flatnonzero(labels == label)
        parts.append(np.tile(members, target // count))
        parts.append(rng.choice(members, target % count, replace=False))
    return rng.permutation(np.concatenate(parts))
