"""A frozen backbone computes once: its features are kept, and attention and head train on them.

The backbone is most of the arithmetic of a frozen phase, and gives the same for the same picture
in every epoch. Augmented pictures differ from epoch to epoch; here each has K augmented views and
shows another of them in each epoch. Without augmentation there is one view and nothing is lost.
Features are kept on disk under what they depend on (weights, pictures, draws, precision), so
that a sweep over heads, losses and learning rates computes them once.
"""

# N images, B batch, F shape of one image's features as they are kept: (h, w, C), the order in
# which reductions are fast, or (C,) where they are pooled

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from braintumor import cache, interrupts
from braintumor.data.host_images import HostImages, ImageSplit, is_too_large, sent, to_device
from braintumor.data.read_ahead import asked_ahead, read_ahead
from braintumor.data.tensors import Augment, Part
from braintumor.errors import some
from braintumor.models.classifier import Classifier
from braintumor.progress import bar
from braintumor.runtime import in_threads, mix_seed
from braintumor.training.batches import PictureBatches, validate
from braintumor.training.recipe import FeatureSettings

_VERSION = 5  # of what the files hold; raise it when features are computed in another way
_NO_MATTER = ("label", "lr_scale", "weights")  # of a backbone: its tensors are part of the key
_BATCH = 64  # images; part of the key, for every batch has draws of its own

log = logging.getLogger(__name__)

# changes the pictures (B, C, S, S) of a batch, by its number; its `str` says how, for the key
ViewOf = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True, eq=False)
class FeatureBatches:
    """Features of the training pictures, in `count` = K views each, and of validation.

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

    blends: ClassVar[bool] = False

    def fetch(self, parts: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As Batches.fetch; every picture shows its views in turn, one an epoch."""
        there = sent(parts, self.first_view.device)
        for index_B in asked_ahead(there, functools.partial(self._read_ahead, epoch)):
            yield self._batch(index_B, epoch)

    def _batch(self, index_B: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Where views lie on disk the batch is sorted by view.

        Each row is then copied once, straight to its place.
        """
        view_B = self._views_of(index_B, epoch)
        if len(self.views) == 1:
            x = self.views[0].index_select(0, view_B * len(self.labels) + index_B)
        else:
            index_B = index_B[view_B.argsort(stable=True)]
            counts = view_B.bincount(minlength=self.count).tolist()
            x = self.views[0].new_empty((len(index_B), *self.views[0].shape[1:]))
            parts = zip(self.views, index_B.split(counts), x.split(counts), strict=True)
            for features, wanted, place in parts:
                torch.index_select(features, 0, wanted, out=place)
        device = self.labels.device
        labels_B = self.labels[index_B.to(device, non_blocking=True)]
        return to_device(x, device), labels_B

    def _read_ahead(self, epoch: int, index_B: Tensor) -> None:
        if self.views[0].device.type == "cpu":
            view_B = self._views_of(index_B, epoch)
            for number, features in enumerate(self.views):
                read_ahead(features, index_B[view_B == number])

    def _views_of(self, index_B: Tensor, epoch: int) -> Tensor:
        return (self.first_view[index_B] + epoch) % self.count

    def prepare(
        self, fetched: Tensor, labels_B: Tensor, generator: torch.Generator, part: Part | None
    ) -> tuple[Tensor, Tensor]:
        return fetched, labels_B

    def forward(self, model: Classifier, x: Tensor) -> Tensor:
        return model.forward_head(as_features(x))

    def validate(self, model: Classifier) -> dict[str, float]:
        forward = functools.partial(self.forward, model)
        return validate(model, self.val, self.batch_size, self.dtype, forward)


def keeps_features(model: Classifier, augment: Augment, settings: FeatureSettings) -> bool:
    """Whether the model's phase can train on kept features; mixup blends pictures anew."""
    return settings.views > 0 and model.is_backbone_frozen and not augment.settings.mixup


def feature_batches(
    model: Classifier,
    pictures: PictureBatches,
    settings: FeatureSettings,
    *,
    epochs: int,
    progress: bool,
) -> FeatureBatches:
    """What a frozen backbone makes of those pictures: computed, or taken from an earlier run.

    epochs: of the phase; more views than epochs are never seen, so they are not made.
    """
    started = time.perf_counter()
    train, val, augment, seed = pictures.train, pictures.val, pictures.augment, pictures.seed
    device = train.device
    store = FeatureStore(model, device, pictures.dtype, progress)
    draws: list[View | None] = [None]
    if not augment.is_identity:
        draws = [View(augment, seed, number) for number in range(min(settings.views, epochs))]
    digest = digest_of(train.images)
    views = [store.features(train.images, digest, draw) for draw in draws]
    seen = None
    if val is not None:
        features = store.features(val.images, digest_of(val.images), None)
        seen = ImageSplit(_placed([features], device)[0], val.labels, val.paths)
    log.info(
        "features of the frozen backbone: %s, %.3g GB, %s, %.1f s",
        some(len(views), "view"), sum(view.nbytes for view in views) / 1e9,
        "computed" if store.has_computed else "from the cache", time.perf_counter() - started,
    )  # fmt: skip
    placed = _placed(views, device)
    rng = np.random.default_rng(mix_seed(seed, "first view"))
    return FeatureBatches(
        views=placed,
        count=len(views),
        first_view=torch.from_numpy(rng.integers(0, len(views), len(train))).to(placed[0].device),
        labels=train.labels,
        val=seen,
        batch_size=pictures.batch_size,
        dtype=pictures.dtype,
    )


def _placed(views: list[Tensor], device: torch.device) -> tuple[Tensor, ...]:
    """One tensor on a GPU where they fit, else as they are mapped from disk."""
    if device.type == "cpu" or is_too_large(len(views) * views[0].nbytes, device):
        return tuple(views)
    return (joined(iter(views), len(views) * len(views[0]), device),)


def joined(parts: Iterator[Tensor], count: int, device: torch.device) -> Tensor:
    """The parts along the first axis, each copied straight to its place: (count, ...)."""
    whole, start = torch.empty(0), 0
    for part in parts:
        if not start:
            whole = torch.empty((count, *part.shape[1:]), dtype=part.dtype, device=device)
        whole[start : start + len(part)].copy_(part)
        start += len(part)
    return whole


@dataclass(frozen=True)
class View:
    """One draw of the augmentation for every picture."""

    augment: Augment
    seed: int
    number: int

    def __call__(self, x: Tensor, step: int) -> Tensor:
        seed = mix_seed(self.seed, "view", self.number, step)
        generator = torch.Generator(x.device).manual_seed(seed)
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
        self.forward, self.has_computed = forward, False
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
            if known is not None:
                return known
            return joined(self._compute(images, view), len(images), torch.device("cpu"))

    @torch.no_grad()
    def _compute(self, images: Tensor | HostImages, view: ViewOf | None) -> Iterator[Tensor]:
        what, total = "features of the frozen backbone", math.ceil(len(images) / _BATCH)
        batches = images.split(_BATCH)
        shown = bar(what, batches, total=total, unit="batches", is_shown=self.progress)
        for step, batch in enumerate(shown):
            interrupts.check()
            x = to_device(batch, self.device)
            x = view(x, step) if view else x
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                features = self.forward(self.model, x)
            # maps as autocast has them; what is pooled is small, and keeps its bits
            is_map = features.ndim == 4
            yield features.to(self.dtype).permute(0, 2, 3, 1) if is_map else features.float()


def digest_of(images: Tensor | HostImages) -> str:
    """SHA-256 of the pixels, by batches and of those."""
    whole = hashlib.sha256()
    # hashlib releases the GIL
    for part in in_threads(lambda batch: hashlib.sha256(_bytes_of(batch)), images.split(_BATCH)):
        whole.update(part.digest())
    return whole.hexdigest()


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
    return features.view(dtype) if features.dtype == torch.int16 else features
