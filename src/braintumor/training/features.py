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
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from braintumor.data.augment import Augment
from braintumor.data.loader import ImageSplit
from braintumor.errors import ConfigError, MachineError
from braintumor.files import cache_dir, write_array
from braintumor.models.classifier import Classifier
from braintumor.runtime import mix_seed
from braintumor.training.validate import validate

log = logging.getLogger(__name__)

_VERSION = 1  # of what the files hold; raise it when features are computed in another way
_BATCH = 64  # images; part of the key, for every batch has draws of its own
_DEVICE_SHARE = 0.5  # of the free memory of a GPU that features may take; else they stay on disk


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

    views: K tensors (N, F), on the device of the labels or mapped from disk.  labels: int64 (N,).
    val: images being features (M, F).  first_view: int64 (N,), so that an epoch mixes the views.
    """

    views: tuple[Tensor, ...]
    labels: Tensor
    val: ImageSplit | None
    first_view: Tensor
    batch_size: int
    dtype: torch.dtype

    def batch(self, index_B: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        labels_B, at_B = self.labels[index_B], index_B.to(self.views[0].device)
        if len(self.views) == 1:
            return self.views[0][at_B].to(labels_B.device), labels_B
        view_B = (self.first_view[at_B] + epoch) % len(self.views)
        x = self.views[0].new_empty((len(at_B), *self.views[0].shape[1:]))
        for number, features in enumerate(self.views):
            chosen = (view_B == number).nonzero()[:, 0]
            x[chosen] = features[at_B[chosen]]
        return x.to(labels_B.device), labels_B

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
    store = _Store(model, dtype, progress)
    count = 1 if augment.is_identity else min(settings.views, epochs)
    views = []
    for number in range(count):

        def draw(x: Tensor, step: int, number: int = number) -> Tensor:
            generator = torch.Generator(x.device)
            generator.manual_seed(mix_seed(seed, "view", number, step))
            return augment(x, x.new_zeros(len(x), dtype=torch.long), generator)[0]

        if augment.is_identity:
            views.append(store.features(train.images, "plain", None))
        else:
            name = f"{augment.settings} {seed} {number}"
            views.append(store.features(train.images, name, draw))
    seen = None
    if val is not None:
        seen = ImageSplit(store.features(val.images, "plain", None), val.labels, val.paths)
    rng = np.random.default_rng(mix_seed(seed, "first view"))
    first_view = torch.from_numpy(rng.integers(0, count, len(train))).to(views[0].device)
    log.info(
        "features of the frozen backbone: %d view%s, %.1f GB, %s, %.1f s",
        count, "" if count == 1 else "s", sum(v.nbytes for v in views) / 1e9,
        f"{store.computed} of {store.asked} sets computed" if store.computed else "from the cache",
        time.perf_counter() - started,
    )  # fmt: skip
    return FeatureFeed(tuple(views), train.labels, seen, first_view, batch_size, dtype)


class _Store:
    """Features by what they depend on: on disk, or computed now and written there."""

    def __init__(self, model: Classifier, dtype: torch.dtype, progress: bool) -> None:
        self.model, self.dtype, self.progress = model, dtype, progress
        self.asked = self.computed = 0
        digest = hashlib.sha256()
        for name, tensor in model.frozen_state().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(_bytes_of(tensor))
        about = [_VERSION, _BATCH, torch.__version__, str(dtype), model.settings["backbone"]]
        if model.pools_at_once:
            about.append(model.settings["head"]["pooling"])
        self._weights = digest.hexdigest() + json.dumps(about, sort_keys=True, default=str)

    def features(
        self, images: Tensor, draws: str, draw: Callable[[Tensor, int], Tensor] | None
    ) -> Tensor:
        """(N, F) of uint8 images (N, C, S, S).

        draws: what decides over `draw`, which changes the pictures of a step.
        """
        self.asked += 1
        key = hashlib.sha256(f"{self._weights} {draws} {images.device.type}".encode())
        key.update(_bytes_of(images))
        path = cache_dir() / "features" / f"{key.hexdigest()[:32]}.npy"
        if not path.is_file():
            self.computed += 1
            parts = self._compute(images, draw)
            first = next(parts)
            shape = (len(images), *first.shape[1:])

            def all_parts() -> Iterator[np.ndarray]:
                yield _as_numpy(first)
                yield from map(_as_numpy, parts)

            try:
                write_array(path, shape, _as_numpy(first[:1]).dtype, all_parts())
            except (OSError, MachineError) as error:
                log.warning("features are not kept for other runs: %s", error)
                return torch.cat(list(self._compute(images, draw)))
        return _placed(_read(path, self.dtype), images.device)

    @torch.no_grad()
    def _compute(
        self, images: Tensor, draw: Callable[[Tensor, int], Tensor] | None
    ) -> Iterator[Tensor]:
        self.model.eval()
        bar = tqdm(
            images.split(_BATCH), "features of the frozen backbone", unit="batch", leave=False,
            disable=None if self.progress else True,
        )  # fmt: skip
        device = images.device.type
        for step, batch in enumerate(bar):
            x = draw(batch, step) if draw else batch
            with torch.autocast(device, self.dtype, enabled=self.dtype != torch.float32):
                yield self.model.forward_frozen(x).to(self.dtype)


def _bytes_of(tensor: Tensor) -> memoryview:
    whole = tensor.detach().cpu().contiguous().reshape(-1)
    return whole.view(torch.uint8).numpy().data


def _as_numpy(features: Tensor) -> np.ndarray:
    features = features.cpu().contiguous()
    # numpy has no bfloat16; its bits are kept as they are
    return (features.view(torch.int16) if features.dtype == torch.bfloat16 else features).numpy()


def _read(path: Path, dtype: torch.dtype) -> Tensor:
    """Mapped, not read: pages that several runs use are in memory once."""
    # "c": private to this process, as torch takes no read-only memory without a complaint
    mapped = torch.from_numpy(np.load(path, mmap_mode="c"))
    return mapped.view(dtype) if dtype == torch.bfloat16 else mapped


def _placed(features: Tensor, device: torch.device) -> Tensor:
    """On the device where they fit, else as they are."""
    if device.type != "cuda":
        return features
    free, _ = torch.cuda.mem_get_info(device)
    return features.to(device) if features.nbytes < _DEVICE_SHARE * free else features
