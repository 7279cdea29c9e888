"""A frozen backbone computes once: its features are kept, and attention and head train on them.

The backbone is most of the arithmetic of a frozen phase, and gives the same for the same picture
in every epoch. Augmented pictures differ from epoch to epoch; here each has K augmented views and
shows another of them in each epoch. Without augmentation there is one view and nothing is lost.
Features are kept on disk under what they depend on (weights, pictures, draws, precision), so
that a sweep over heads, losses and learning rates computes them once.
"""

# N images, B batch, F shape of one image's features as kept: (h, w, C), or (C,) where pooled

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from braintumor.data.tensors import Augment, ImageSplit, is_too_large, to_device
from braintumor.models.classifier import Classifier
from braintumor.runtime import mix_seed
from braintumor.training.batches import PictureBatches, validate
from braintumor.training.feature_store import FeatureStore, View, as_features, digest_of
from braintumor.training.recipe import FeatureSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FeatureBatches:
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
    def index_device(self) -> torch.device:
        return self.views[0].device

    def batch(self, index_B: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """As Batches.batch; every picture shows its views in turn, one an epoch.

        Where views lie on disk the batch is sorted by view: each row is then copied once, straight
        to its place.
        """
        view_B = (self.first_view[index_B] + epoch) % self.count
        if len(self.views) == 1:
            x = self.views[0].index_select(0, view_B * len(self.labels) + index_B)
        else:
            index_B = index_B[view_B.argsort(stable=True)]
            x = self._gathered(index_B, view_B.bincount(minlength=self.count).tolist())
        device = self.labels.device
        labels_B = self.labels[index_B.to(device, non_blocking=True)]
        return to_device(x, device), labels_B, labels_B

    def _gathered(self, index_B: Tensor, counts: list[int]) -> Tensor:
        """Features (B, F): counts[0] pictures in view 0, then counts[1] in view 1, and so on."""
        x = self.views[0].new_empty((len(index_B), *self.views[0].shape[1:]))
        parts = zip(self.views, index_B.split(counts), x.split(counts), strict=True)
        for features, wanted, place in parts:
            torch.index_select(features, 0, wanted, out=place)
        return x

    def forward(self, model: Classifier, x: Tensor) -> Tensor:
        return model.forward_head(as_features(x))

    def validate(self, model: Classifier) -> dict[str, float]:
        def forward(x: Tensor) -> Tensor:
            return self.forward(model, x)

        return validate(model, self.val, self.batch_size, self.dtype, forward)


def keeps_features(model: Classifier, augment: Augment, settings: FeatureSettings) -> bool:
    """Whether the phase that the model stands in can train on kept features.

    Not when part of the backbone is trained, and not under mixup, which blends pictures anew.
    """
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
    progress: a bar on stderr. Features are kept in the autocast type of the pictures.
    """
    started = time.perf_counter()
    train, val, augment, seed = pictures.train, pictures.val, pictures.augment, pictures.seed
    store, device = FeatureStore(model, train.device, pictures.dtype, progress), train.device
    digest = digest_of(train.images)
    count = 1 if augment.is_identity else min(settings.views, epochs)
    draws = [None if augment.is_identity else View(augment, seed, n) for n in range(count)]
    views = [store.features(train.images, digest, draw) for draw in draws]
    seen = None
    if val is not None:
        features = store.features(val.images, digest_of(val.images), None)
        seen = ImageSplit(_placed([features], device)[0], val.labels, val.paths)
    log.info(
        "features of the frozen backbone: %d view%s, %.2f GB, %s, %.1f s",
        count, "" if count == 1 else "s", sum(view.nbytes for view in views) / 1e9,
        "computed" if store.has_computed else "from the cache", time.perf_counter() - started,
    )  # fmt: skip
    placed = _placed(views, device)
    rng = np.random.default_rng(mix_seed(seed, "first view"))
    return FeatureBatches(
        views=placed,
        count=count,
        first_view=torch.from_numpy(rng.integers(0, count, len(train))).to(placed[0].device),
        labels=train.labels,
        val=seen,
        batch_size=pictures.batch_size,
        dtype=pictures.dtype,
    )


def _placed(views: list[Tensor], device: torch.device) -> tuple[Tensor, ...]:
    """One tensor on a GPU where they fit, else as they are mapped from disk."""
    if device.type == "cpu" or is_too_large(len(views) * views[0].nbytes, device):
        return tuple(views)
    return (torch.cat([view.to(device) for view in views]),)
