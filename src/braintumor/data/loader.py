"""A split as tensors that stay on the device, and the order in which an epoch visits them."""

# N images, C channels (1 when all pictures are grey, else 3), S side in px

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from braintumor.runtime import mix_seed


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """All images of one split on one device. images: uint8 (N, C, S, S). labels: int64 (N,)."""

    images: Tensor
    labels: Tensor
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def load_split(
    pixels: np.ndarray,
    labels: np.ndarray,
    paths: tuple[str, ...],
    rows: np.ndarray,
    device: torch.device,
) -> ImageSplit:
    """Copy the chosen rows to the device.

    pixels: uint8 (M, S, S) or (M, S, S, 3), of the whole data set.  labels: int (M,).
    rows: int (N,), which of the M images belong to the split.
    """
    chosen = torch.from_numpy(np.ascontiguousarray(pixels[rows]))
    images = chosen[:, None] if chosen.ndim == 3 else chosen.permute(0, 3, 1, 2).contiguous()
    return ImageSplit(
        images=images.to(device),
        labels=torch.from_numpy(labels[rows].astype(np.int64)).to(device),
        paths=tuple(paths[row] for row in rows),
    )


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
