"""Features of a frozen backbone, kept on disk under a key of all that they depend on."""

# N images, B batch, F shape of one image's features as they are kept: (h, w, C), the order in
# which reductions are fast, or (C,) where they are pooled

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from braintumor.data.augment import Augment
from braintumor.data.kept import make_room, read_table, write_table
from braintumor.data.tensors import HostImages, to_device
from braintumor.errors import MachineError
from braintumor.files import cache_dir, write_array
from braintumor.models.classifier import Classifier
from braintumor.runtime import in_threads, mix_seed

log = logging.getLogger(__name__)

_VERSION = 3  # of what the files hold; raise it when features are computed in another way
_NO_MATTER = ("label", "lr_scale", "weights")  # of a backbone: its tensors are part of the key
_MOST_BYTES = 40_000_000_000  # of all features in the cache folder
_BATCH = 64  # images; part of the key, for every batch has draws of its own


class ViewOf(Protocol):
    """Changes the pictures (B, C, S, S) of batch `step`; its `str` says how, for the key."""

    def __call__(self, x: Tensor, step: int, /) -> Tensor: ...


@dataclass(frozen=True)
class View:
    """One draw of the augmentation for every picture."""

    augment: Augment
    seed: int
    number: int

    def __call__(self, x: Tensor, step: int) -> Tensor:
        generator = torch.Generator(x.device)
        generator.manual_seed(mix_seed(self.seed, "view", self.number, step))
        return self.augment(x, x.new_zeros(len(x), dtype=torch.long), generator)[0]


class FeatureStore:
    """The features that one frozen backbone gives. has_computed: whether any were not on disk.

    forward: from the model and pictures to features; its name is part of the key.
    """

    def __init__(
        self,
        model: Classifier,
        device: torch.device,
        dtype: torch.dtype,
        progress: bool,
        forward: Callable[[Classifier, Tensor], Tensor] = Classifier.forward_cacheable,
    ) -> None:
        self.model, self.device, self.dtype, self.progress = model, device, dtype, progress
        self.forward = forward
        self.has_computed = False
        weights = hashlib.sha256()
        for name, tensor in model.frozen_state().items():
            weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            weights.update(_bytes_of(tensor))
        architecture = {k: v for k, v in model.settings["backbone"].items() if k not in _NO_MATTER}
        pooling = model.settings["head"]["pooling"] if model.pools_before_attention else None
        self._key = [
            _VERSION, _BATCH, torch.__version__, device.type, str(dtype), architecture, pooling,
            weights.hexdigest(), forward.__qualname__,
        ]  # fmt: skip

    def features(self, images: Tensor | HostImages, digest: str, view: ViewOf | None) -> Tensor:
        """(N, F) of uint8 images (N, C, S, S) of that digest, as they are or in one view."""
        key = json.dumps([*self._key, digest, str(view)], sort_keys=True, default=str)
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        path = cache_dir() / "features" / f"{name}.npy"
        known = _read(path, self.dtype) if path.is_file() else None
        if known is not None and len(known) == len(images):
            os.utime(path)  # the files used least recently are the first to go
            return known
        self.has_computed = True
        self.model.eval()
        with self.model.fused():
            return self._keep(path, images, view)

    def _keep(self, path: Path, images: Tensor | HostImages, view: ViewOf | None) -> Tensor:
        """Computed, and kept where there is room for it."""
        known: Tensor | None = None
        parts = self._compute(images, view)
        first = next(parts)
        shape, kind = (len(images), *first.shape[1:]), _as_numpy(first[:1]).dtype
        try:
            make_room(path.parent, math.prod(shape) * kind.itemsize, _MOST_BYTES)
            checksums: list[int] = []
            batches = map(_as_numpy, itertools.chain([first], parts))
            write_array(path, shape, kind, _noting(batches, checksums))
            write_table(_index_of(path), {"checksum": np.array(checksums, np.uint32)})
            known = _read(path, self.dtype)
        except (OSError, MachineError) as error:
            log.warning("features are not kept for other runs: %s", error)
        return torch.cat(list(self._compute(images, view))) if known is None else known

    @torch.no_grad()
    def _compute(self, images: Tensor | HostImages, view: ViewOf | None) -> Iterator[Tensor]:
        bar = tqdm(
            images.split(_BATCH), "features of the frozen backbone", unit="batch", leave=False,
            disable=None if self.progress else True,
        )  # fmt: skip
        for step, batch in enumerate(bar):
            x = to_device(batch, self.device)
            x = view(x, step) if view else x
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                yield _as_rows(self.forward(self.model, x).to(self.dtype))


def digest_of(images: Tensor | HostImages) -> str:
    """SHA-256 of the pixels, by batches and of those."""
    whole = hashlib.sha256()
    # hashlib releases the GIL
    for part in in_threads(_digest_of_batch, images.split(_BATCH)):
        whole.update(part)
    return whole.hexdigest()


def _digest_of_batch(batch: Tensor) -> bytes:
    return hashlib.sha256(_bytes_of(batch)).digest()


def _as_rows(features: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h, w, C); pooled features stay."""
    return features.permute(0, 2, 3, 1) if features.ndim == 4 else features


def as_features(rows: Tensor) -> Tensor:
    """What was kept as the model gave it, without a copy: (B, h, w, C) -> (B, C, h, w)."""
    return rows.permute(0, 3, 1, 2) if rows.ndim == 4 else rows


def _bytes_of(tensor: Tensor) -> memoryview:
    whole = tensor.detach().cpu().contiguous().reshape(-1)
    return whole.view(torch.uint8).numpy().data


def _as_numpy(features: Tensor) -> np.ndarray:
    features = features.cpu().contiguous()
    # numpy has no bfloat16; its bits are kept as they are
    return (features.view(torch.int16) if features.dtype == torch.bfloat16 else features).numpy()


def _noting(batches: Iterable[np.ndarray], checksums: list[int]) -> Iterator[np.ndarray]:
    """The batches, of each of which the CRC-32 is appended to `checksums`."""
    for batch in batches:
        checksums.append(_checksum(batch))
        yield batch


def _checksum(batch: np.ndarray) -> int:
    return zlib.crc32(batch.reshape(-1).view(np.uint8).data)


def _index_of(path: Path) -> Path:
    """The checksums of a file of features, a batch each; written after it."""
    return path.with_suffix(".npz")


def _read(path: Path, dtype: torch.dtype) -> Tensor | None:
    """Mapped, not read: pages that several runs use are in memory once. None when damaged."""
    index = read_table(_index_of(path), ["checksum"])
    if index is None:
        return None
    try:
        # "c": private to this process, as torch takes no read-only memory without a complaint
        mapped = np.load(path, mmap_mode="c")
        batches = [mapped[row : row + _BATCH] for row in range(0, len(mapped), _BATCH)]
        # zlib releases the GIL
        if list(in_threads(_checksum, batches)) != index["checksum"].tolist():
            raise ValueError("its checksums are not those of its content")
    # a damaged header makes numpy's parser raise nearly anything
    except Exception as error:
        log.warning("%s is damaged (%s); computing the features again", path, error)
        return None
    features = torch.from_numpy(mapped)
    return features.view(dtype) if dtype == torch.bfloat16 else features
