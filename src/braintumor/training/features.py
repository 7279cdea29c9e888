"""A frozen backbone computes once: its features are kept, and attention and head train on them.

The backbone is most of the arithmetic of a frozen phase, and gives the same for the same picture
in every epoch. Augmented pictures differ from epoch to epoch; here each has K augmented views and
shows another of them in each epoch. Without augmentation there is one view and nothing is lost.
Features are kept on disk under what they depend on (weights, pictures, draws, precision), so
that a sweep over heads, losses and learning rates computes them once.
"""

# N images, B batch, F shape of one image's features: (C, h, w), or (C,) where they are pooled

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from braintumor.data.augment import Augment
from braintumor.data.kept import make_room
from braintumor.data.loader import ImageSplit, bring, is_too_large
from braintumor.errors import ConfigError, MachineError
from braintumor.files import cache_dir, write_array
from braintumor.models.classifier import Classifier
from braintumor.runtime import mix_seed
from braintumor.training.validate import validate

log = logging.getLogger(__name__)

_VERSION = 1  # of what the files hold; raise it when features are computed in another way
_NO_MATTER = ("label", "lr_scale", "weights")  # of a backbone: its tensors are part of the key
_MOST_BYTES = 40_000_000_000  # of all features in the cache folder
_BATCH = 64  # images; part of the key, for every batch has draws of its own


@dataclass(frozen=True)
class FeatureSettings:
    """The `features` section. Documented in configs/features/default.yaml."""

    views: int = 0

    def __post_init__(self) -> None:
        if self.views < 0:
            raise ConfigError(
                f"features.views={self.views} should be 0 (pictures augmented anew in every epoch) "
                "or the number of augmented views to keep, such as 4"
            )


@dataclass(frozen=True, eq=False)
class FeatureFeed:
    """Features of the training pictures, K views each, and of validation.

    views: K tensors (N, F) mapped from disk, or one (K * N, F) on the device.
    first_view: int64 (N,) in [0, K), so that an epoch mixes the views.  labels: int64 (N,).
    val: images being features (M, F).
    """

    views: tuple[Tensor, ...]
    count: int
    first_view: Tensor
    labels: Tensor
    val: ImageSplit | None
    batch_size: int
    dtype: torch.dtype

    @property
    def home(self) -> torch.device:
        return self.views[0].device

    def batch(self, index_B: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        device = self.labels.device
        labels_B = self.labels[index_B.to(device, non_blocking=True)]
        return bring(self._features(index_B, epoch), device), labels_B, labels_B

    def _features(self, index_B: Tensor, epoch: int) -> Tensor:
        """Every picture goes through its views in turn, an epoch each."""
        view_B = (self.first_view[index_B] + epoch) % self.count
        if len(self.views) == 1:
            return self.views[0][view_B * len(self.labels) + index_B]
        x = self.views[0].new_empty((len(index_B), *self.views[0].shape[1:]))
        for number, features in enumerate(self.views):
            chosen_B = view_B == number
            x[chosen_B] = features[index_B[chosen_B]]
        return x

    def forward(self, model: Classifier, x: Tensor) -> Tensor:
        return model.forward_head(x)

    def validate(self, model: Classifier) -> dict[str, float]:
        return validate(model, self.val, self.batch_size, self.dtype, model.forward_head)


def keeps_features(model: Classifier, augment: Augment, settings: FeatureSettings) -> bool:
    """Whether the phase that the model stands in can train on kept features.

    Not when part of the backbone is trained, and not under mixup, which blends pictures anew.
    """
    return settings.views > 0 and model.is_backbone_frozen and not augment.settings.mixup


def feature_feed(
    model: Classifier,
    train: ImageSplit,
    val: ImageSplit | None,
    augment: Augment,
    settings: FeatureSettings,
    *,
    epochs: int,
    seed: int,
    batch_size: int,
    dtype: torch.dtype,
    progress: bool,
) -> FeatureFeed:
    """Compute the features of a frozen backbone, or take them from an earlier run.

    epochs: of the phase; more views than epochs are never seen, so they are not made.
    dtype: autocast type, in which features are kept.  progress: a bar on stderr.
    """
    started = time.perf_counter()
    store = _Store(model, train.device, dtype, progress)
    count = 1 if augment.is_identity else min(settings.views, epochs)
    views = []
    digest = _digest(train.images)
    for number in range(count):
        draw = None if augment.is_identity else _View(augment, seed, number)
        views.append(store.features(train.images, digest, draw))
    seen = None
    if val is not None:
        features = store.features(val.images, _digest(val.images), None)
        seen = ImageSplit(features, val.labels, val.paths)
    log.info(
        "features of the frozen backbone: %d view%s, %.2f GB, %s, %.1f s",
        count, "" if count == 1 else "s", sum(v.nbytes for v in views) / 1e9,
        "computed" if store.has_computed else "from the cache", time.perf_counter() - started,
    )  # fmt: skip
    if train.device.type == "cuda" and not is_too_large(views[0], train.device, times=count):
        views = [torch.cat([view.to(train.device) for view in views])]
    rng = np.random.default_rng(mix_seed(seed, "first view"))
    first_view = torch.from_numpy(rng.integers(0, count, len(train))).to(views[0].device)
    return FeatureFeed(tuple(views), count, first_view, train.labels, seen, batch_size, dtype)


@dataclass(frozen=True)
class _View:
    """One draw of the augmentation for every picture."""

    augment: Augment
    seed: int
    number: int

    def __call__(self, x: Tensor, step: int) -> Tensor:
        generator = torch.Generator(x.device)
        generator.manual_seed(mix_seed(self.seed, "view", self.number, step))
        return self.augment(x, x.new_zeros(len(x), dtype=torch.long), generator)[0]


class _Store:
    """Features by what they depend on: on disk, or computed now and written there."""

    def __init__(
        self, model: Classifier, device: torch.device, dtype: torch.dtype, progress: bool
    ) -> None:
        self.model, self.device, self.dtype, self.progress = model, device, dtype, progress
        self.has_computed = False
        weights = hashlib.sha256()
        for name, tensor in model.frozen_state().items():
            weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            weights.update(_bytes_of(tensor))
        architecture = {k: v for k, v in model.settings["backbone"].items() if k not in _NO_MATTER}
        pooling = model.settings["head"]["pooling"] if model.pools_at_once else None
        self._key = [
            _VERSION, _BATCH, torch.__version__, device.type, str(dtype), architecture, pooling,
            weights.hexdigest(),
        ]  # fmt: skip

    def features(self, images: Tensor, digest: str, view: _View | None) -> Tensor:
        """(N, F) of uint8 images (N, C, S, S) of that digest, as they are or in one view."""
        key = json.dumps([*self._key, digest, str(view)], sort_keys=True, default=str)
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        path = cache_dir() / "features" / f"{name}.npy"
        known = _read(path, self.dtype) if path.is_file() else None
        if known is not None and len(known) == len(images):
            os.utime(path)  # the files used least recently are the first to go
            return known
        self.has_computed = True
        parts = self._compute(images, view)
        first = next(parts)
        shape, kind = (len(images), *first.shape[1:]), _as_numpy(first[:1]).dtype
        try:
            make_room(path.parent, math.prod(shape) * kind.itemsize, _MOST_BYTES)
            write_array(path, shape, kind, map(_as_numpy, itertools.chain([first], parts)))
            known = _read(path, self.dtype)
        except (OSError, MachineError) as error:
            log.warning("features are not kept for other runs: %s", error)
        return torch.cat(list(self._compute(images, view))) if known is None else known

    @torch.no_grad()
    def _compute(self, images: Tensor, view: _View | None) -> Iterator[Tensor]:
        self.model.eval()
        bar = tqdm(
            images.split(_BATCH), "features of the frozen backbone", unit="batch", leave=False,
            disable=None if self.progress else True,
        )  # fmt: skip
        for step, batch in enumerate(bar):
            x = bring(batch, self.device)
            x = view(x, step) if view else x
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                yield self.model.forward_frozen(x).to(self.dtype)


def _digest(images: Tensor) -> str:
    return hashlib.sha256(_bytes_of(images)).hexdigest()


def _bytes_of(tensor: Tensor) -> memoryview:
    whole = tensor.detach().cpu().contiguous().reshape(-1)
    return whole.view(torch.uint8).numpy().data


def _as_numpy(features: Tensor) -> np.ndarray:
    features = features.cpu().contiguous()
    # numpy has no bfloat16; its bits are kept as they are
    return (features.view(torch.int16) if features.dtype == torch.bfloat16 else features).numpy()


def _read(path: Path, dtype: torch.dtype) -> Tensor | None:
    """Mapped, not read: pages that several runs use are in memory once. None when damaged."""
    try:
        # "c": private to this process, as torch takes no read-only memory without a complaint
        mapped = torch.from_numpy(np.load(path, mmap_mode="c"))
    except (OSError, ValueError, EOFError) as error:
        log.warning("%s cannot be read (%s); computing the features again", path, error)
        return None
    return mapped.view(dtype) if dtype == torch.bfloat16 else mapped
