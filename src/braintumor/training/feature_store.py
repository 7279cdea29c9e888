"""Features of a frozen backbone, kept on disk under a key of all that they depend on."""

# N images, B batch, F shape of one image's features as they are kept: (h, w, C), the order in
# which reductions are fast, or (C,) where they are pooled

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from braintumor import cache
from braintumor.data.tensors import Augment, HostImages, to_device
from braintumor.models.classifier import Classifier
from braintumor.runtime import in_threads, mix_seed

_VERSION = 4  # of what the files hold; raise it when features are computed in another way
_NO_MATTER = ("label", "lr_scale", "weights")  # of a backbone: its tensors are part of the key
_BATCH = 64  # images; part of the key, for every batch has draws of its own


# changes the pictures (B, C, S, S) of a batch, by its number; its `str` says how, for the key
ViewOf = Callable[[Tensor, int], Tensor]


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
        path = cache.entry_path("features", key)
        known = _read(path, self.dtype)
        if known is not None and len(known) == len(images):
            return known
        self.has_computed = True
        self.model.eval()
        with self.model.fused():
            rows = map(_as_numpy, self._compute(images, view))
            is_written = cache.write_entry(path, {}, rows, len(images))
            known = _read(path, self.dtype) if is_written else None
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
    for part in in_threads(lambda batch: hashlib.sha256(_bytes_of(batch)), images.split(_BATCH)):
        whole.update(part.digest())
    return whole.hexdigest()


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


def _read(path: Path, dtype: torch.dtype) -> Tensor | None:
    """Mapped, not read: pages that several runs use are in memory once. None when damaged."""
    # writable, as torch takes no read-only memory without a complaint
    entry = cache.read_entry(path, (), writable=True)
    if entry is None:
        return None
    if not entry.is_whole():
        entry.discard()
        return None
    entry.touch()
    features = torch.from_numpy(entry.rows)
    return features.view(dtype) if dtype == torch.bfloat16 else features
