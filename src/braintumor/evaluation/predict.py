"""From a model and images to predictions: the last room but CAM that sees torch."""

# N images, K classes, F features

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from braintumor.data.augment import AugmentSettings, move_alike
from braintumor.data.loader import ImageSplit
from braintumor.errors import ConfigError
from braintumor.evaluation.cam.heatmaps import Layer, Method
from braintumor.models.classifier import Classifier
from braintumor.models.inference import logits_of
from braintumor.records import Predictions
from braintumor.runtime import mix_seed

# beyond the mirror image: small moves, as a technician would place the head slightly otherwise
_SMALL_MOVES = AugmentSettings(
    horizontal_flip=0.0, vertical_flip=0.0, rotation_deg=8.0, shift=0.03, zoom=0.05,
    brightness=0.0, contrast=0.0, noise=0.0, erasing=0.0, erasing_area=0.0, mixup=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class EvalSettings:
    """The `eval` section. Documented in configs/evaluation/default.yaml."""

    views: int
    examples: int
    heatmaps: int
    cam: Method
    cam_layer: Layer

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ConfigError(f"eval.views={self.views} must be 1 or more; 1 is the plain picture")
        for name in ("examples", "heatmaps"):
            if getattr(self, name) < 0:
                raise ConfigError(f"eval.{name}={getattr(self, name)} should be 0 or more")


def predict(
    model: nn.Module,
    split: ImageSplit,
    classes: tuple[str, ...],
    *,
    batch_size: int,
    dtype: torch.dtype,
    views: int = 1,
) -> Predictions:
    """Predictions for every image of the split, in its order.

    views: 1 the picture as it is; 2 with its mirror image; more add small moves, the same for
    every picture and call. Probabilities are averaged; logits are then their logarithms.
    """
    first = logits_of(model, split.images, batch_size=batch_size, dtype=dtype)
    return _averaged(model, split, classes, first, batch_size, dtype, views)


def predict_with_features(
    model: Classifier,
    split: ImageSplit,
    classes: tuple[str, ...],
    *,
    batch_size: int,
    dtype: torch.dtype,
    views: int,
) -> tuple[Predictions, np.ndarray]:
    """The same, and what tells strange pictures from brains (see outliers.py, orientation.py).

    float32 (N, 2, F): the backbone's map of the plain picture, averaged over its upper and its
    lower half; a middle row belongs to both.
    """

    def both(x: Tensor) -> Tensor:
        map_BFhw = model.forward_features(x)
        return torch.cat([model.forward_head(map_BFhw), _halves(map_BFhw)], dim=1)

    together = logits_of(model, split.images, batch_size=batch_size, dtype=dtype, forward=both)
    first, features = together.split([len(classes), together.shape[1] - len(classes)], dim=1)
    predictions = _averaged(model, split, classes, first, batch_size, dtype, views)
    return predictions, features.unflatten(1, (2, -1)).cpu().numpy()


def features_of(
    model: Classifier, split: ImageSplit, *, batch_size: int, dtype: torch.dtype
) -> np.ndarray:
    """The features of `predict_with_features` alone: float32 (N, 2, F)."""

    def pooled(x: Tensor) -> Tensor:
        return _halves(model.forward_features(x))

    features = logits_of(model, split.images, batch_size=batch_size, dtype=dtype, forward=pooled)
    return features.unflatten(1, (2, -1)).cpu().numpy()


def _halves(map_BFhw: Tensor) -> Tensor:
    """Means of the upper and of the lower half, one after the other: float32 (B, 2 * F)."""
    return F.adaptive_avg_pool2d(map_BFhw.float(), (2, 1)).squeeze(3).mT.flatten(1)


def _averaged(
    model: nn.Module,
    split: ImageSplit,
    classes: tuple[str, ...],
    first: Tensor,
    batch_size: int,
    dtype: torch.dtype,
    views: int,
) -> Predictions:
    """Predictions over all views, of which `first` holds the logits of the plain picture."""
    if views < 1:
        raise ConfigError(f"views={views} must be 1 or more; 1 is the picture as it is")
    logits = first
    if views > 1:
        probs = first.double().softmax(dim=1)
        for view in range(1, views):
            probs += _probs_of_view(model, split, view, batch_size, dtype)
        logits = (probs / views).clamp_min(1e-12).log()
    return Predictions(
        classes=classes,
        paths=split.paths,
        labels=split.labels.cpu().numpy(),
        logits=logits.float().cpu().numpy(),
    )


def _probs_of_view(
    model: nn.Module, split: ImageSplit, view: int, batch_size: int, dtype: torch.dtype
) -> Tensor:
    """Softmax of one view: float64 (N, K)."""
    parts = []
    for batch in split.images.split(batch_size):
        x = _view(batch, view)
        parts.append(logits_of(model, x, batch_size=batch_size, dtype=dtype))
    return torch.cat(parts).double().softmax(dim=1)


def _view(images: Tensor, view: int) -> Tensor:
    """Every second view mirrored; from the third on also moved, all pictures alike.

    One move for all: what is said of a picture must not depend on its neighbours in the batch.
    """
    if view % 2:
        images = images.flip(-1)
    if view < 2:
        return images
    return move_alike(images, _SMALL_MOVES, torch.Generator().manual_seed(mix_seed("view", view)))
