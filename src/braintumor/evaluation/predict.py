"""From a model and images to predictions: the last room but CAM that sees torch."""

# N images, K classes, C channels

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from braintumor.data.augment import AugmentSettings, move_alike
from braintumor.data.tensors import ImageSplit
from braintumor.errors import ConfigError
from braintumor.evaluation.explain.heatmaps import Layer, Method
from braintumor.evaluation.extract_features import FeatureExtractor
from braintumor.models.classifier import Classifier
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


@dataclass(frozen=True)
class EvalView:
    """A fixed look at every picture: every second one mirrored; from the third on also moved.

    One move for all: what is said of a picture must not depend on its neighbours in the batch.
    """

    number: int
    moves: AugmentSettings = _SMALL_MOVES

    def __call__(self, x: Tensor, step: int) -> Tensor:
        if self.number % 2:
            x = x.flip(-1)
        if self.number < 2:
            return x
        return move_alike(
            x, self.moves, torch.Generator().manual_seed(mix_seed("view", self.number))
        )


def predict(
    model: Classifier,
    split: ImageSplit,
    classes: tuple[str, ...],
    *,
    batch_size: int,
    dtype: torch.dtype,
    views: int = 1,
    keep: bool = False,
) -> Predictions:
    """Predictions for every image of the split, in its order.

    views: 1 the picture as it is; 2 with its mirror image; more add small moves, the same for
    every picture and call. Probabilities are averaged; logits are then their logarithms.
    Raises CheckpointError where they are not finite.
    keep: what the backbone gives is kept on disk, or taken from there (see Readout).
    """
    read = FeatureExtractor(model, split.images, batch_size, dtype, keep)
    return _averaged(read, split, classes, read(read.logits), views)


def predict_with_features(
    model: Classifier,
    split: ImageSplit,
    classes: tuple[str, ...],
    *,
    batch_size: int,
    dtype: torch.dtype,
    views: int,
    keep: bool = False,
) -> tuple[Predictions, np.ndarray]:
    """The same, and what tells strange pictures from brains (see outliers.py, orientation.py).

    float32 (N, 2, C): the backbone's map of the plain picture, averaged over its upper and its
    lower half; a middle row belongs to both.
    """
    read = FeatureExtractor(model, split.images, batch_size, dtype, keep)

    def both(summary: Tensor) -> Tensor:
        return torch.cat([read.logits(summary), read.halves(summary).flatten(1)], dim=1)

    together = read(both)
    first, halves = together.split([len(classes), together.shape[1] - len(classes)], dim=1)
    predictions = _averaged(read, split, classes, first, views)
    return predictions, halves.unflatten(1, (2, -1)).cpu().numpy()


def features_of(
    model: Classifier,
    split: ImageSplit,
    *,
    batch_size: int,
    dtype: torch.dtype,
    keep: bool = False,
) -> np.ndarray:
    """The features of `predict_with_features` alone: float32 (N, 2, C)."""
    read = FeatureExtractor(model, split.images, batch_size, dtype, keep)
    return read(read.halves).cpu().numpy()


def _averaged(
    read: FeatureExtractor, split: ImageSplit, classes: tuple[str, ...], first: Tensor, views: int
) -> Predictions:
    """Predictions over all views, of which `first` holds the logits of the plain picture."""
    if views < 1:
        raise ConfigError(f"views={views} must be 1 or more; 1 is the picture as it is")
    logits = first
    if views > 1:
        probs = first.double().softmax(dim=1)
        for number in range(1, views):
            probs += read(read.logits, EvalView(number)).double().softmax(dim=1)
        logits = (probs / views).clamp_min(1e-12).log()
    predictions = Predictions(
        classes=classes,
        paths=split.paths,
        labels=split.labels.cpu().numpy(),
        logits=logits.float().cpu().numpy(),
    )
    predictions.require_finite()
    return predictions
