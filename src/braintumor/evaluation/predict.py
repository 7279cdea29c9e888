"""From a model and images to predictions, and to the features that its rules look at."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from braintumor.data.host_images import HostImages, ImageSplit
from braintumor.data.tensors import AugmentSettings, move_alike
from braintumor.errors import ConfigError
from braintumor.evaluation.heatmaps import Layer, Method, device_of
from braintumor.models.classifier import Classifier
from braintumor.models.ensemble import LEAST, Ensemble, Network
from braintumor.ranges import NotNegativeInt, Views
from braintumor.records import Predictions
from braintumor.runtime import mix_seed
from braintumor.training.batches import predict_logits
from braintumor.training.features import FeatureStore, ViewOf, as_features, digest_of

# N images, B batch, C channels, h w height and width of the backbone's map, K classes

# small moves, as a technician would place the head slightly otherwise
_SMALL_MOVES = AugmentSettings(
    horizontal_flip=0.0, vertical_flip=0.0, rotation_deg=8.0, shift=0.03, zoom=0.05,
    brightness=0.0, contrast=0.0, noise=0.0, erasing=0.0, erasing_area=0.0, mixup=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class EvalSettings:
    """The `eval` section. Documented in configs/evaluation/default.yaml."""

    views: Views
    examples: NotNegativeInt
    heatmaps: NotNegativeInt
    cam: Method
    cam_layer: Layer
    wrong_pictures: NotNegativeInt = 0


@dataclass(frozen=True)
class Inference:
    """How images go through a model. dtype: of autocast; float32 turns it off.

    keep: what the backbone gives of the images is kept on disk for other runs, beside the
    features that training keeps. Only for a backbone that no phase trained, which gives the same
    in every run of a sweep; else each run would leave some that no other one asks for.
    what: the name of the bar; None: whoever asks has one of its own.
    """

    batch_size: int
    dtype: torch.dtype
    keep: bool = False
    what: str | None = "evaluating"


@dataclass(frozen=True)
class EvalView:
    """A fixed look at every picture: moved a little, and every second one mirrored too.

    Pictures are resampled by that as those of training were. One move for all: what is said of a
    picture must not depend on its neighbours in the batch.
    """

    number: int
    moves: AugmentSettings = _SMALL_MOVES

    def __call__(self, x: Tensor, step: int) -> Tensor:
        if self.number % 2:
            x = x.flip(-1)
        return move_alike(
            x, self.moves, torch.Generator().manual_seed(mix_seed("view", self.number))
        )


def predict(
    model: Network, split: ImageSplit, classes: tuple[str, ...], how: Inference, views: int = 1
) -> Predictions:
    """Predictions for every image of the split, in its order.

    views: 1 the picture as it is; more add small moves, every second one mirrored, the same for
    every picture and call. Probabilities are averaged; logits are then their logarithms. So are
    those of an ensemble, each at the temperature of its model.
    Raises CheckpointError where they are not finite.
    """
    if isinstance(model, Ensemble):
        answers = [predict(member, split, classes, how, views) for member in model.members]
        return _together(answers, model.temperatures)
    read = FeatureExtractor(model, split.images, how)
    with model.fused():  # once for all views
        return _averaged(read, split, classes, read(read.logits), views)


def predict_with_features(
    model: Network, split: ImageSplit, classes: tuple[str, ...], how: Inference, views: int
) -> tuple[Predictions, np.ndarray]:
    """The same, and what tells strange pictures from brains (see statistics).

    float32 (N, 2, C): the backbone's map of the plain picture, averaged over its upper and its
    lower half; a middle row belongs to both. Of an ensemble (N, 2, 0): no two of its networks
    have the same features.
    """
    if isinstance(model, Ensemble):
        predictions = predict(model, split, classes, how, views)
        return predictions, np.empty((len(predictions), 2, 0), np.float32)
    read = FeatureExtractor(model, split.images, how)

    def both(summary: Tensor) -> Tensor:
        return torch.cat([read.logits(summary), read.halves(summary).flatten(1)], dim=1)

    with model.fused():  # as above
        together = read(both)
        first, halves = together.split([len(classes), together.shape[1] - len(classes)], dim=1)
        predictions = _averaged(read, split, classes, first, views)
    return predictions, halves.unflatten(1, (2, -1)).cpu().numpy()


def features_of(model: Classifier, split: ImageSplit, how: Inference) -> np.ndarray:
    """The features of `predict_with_features` alone: float32 (N, 2, C)."""
    read = FeatureExtractor(model, split.images, how)
    return read(read.halves).cpu().numpy()


def _together(answers: Sequence[Predictions], temperatures: Sequence[float]) -> Predictions:
    """The mean of the probabilities of several models; logits are its logarithms."""
    pairs = zip(answers, temperatures, strict=True)
    probs = np.mean([dataclasses.replace(a, temperature=t).probs for a, t in pairs], axis=0)
    logits = np.log(np.maximum(probs, LEAST)).astype(np.float32)
    return dataclasses.replace(answers[0], logits=logits)


def _averaged(
    read: FeatureExtractor, split: ImageSplit, classes: tuple[str, ...], first: Tensor, views: int
) -> Predictions:
    """Predictions over all views, of which `first` holds the logits of the plain picture."""
    if views < 1:
        raise ConfigError(f"views={views} must be 1 or more; 1 is the picture as it is")
    logits = first.cpu()  # which has float64; not every device has
    if views > 1:
        probs = logits.double().softmax(dim=1)
        for number in range(1, views):
            probs += read(read.logits, EvalView(number)).cpu().double().softmax(dim=1)
        logits = (probs / views).clamp_min(LEAST).log()
    predictions = Predictions(
        classes=classes,
        paths=split.paths,
        labels=split.labels.cpu().numpy(),
        logits=logits.float().numpy(),
    )
    predictions.require_finite()
    return predictions


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """The images of one split, read as often as needed, batch by batch, in evaluation mode.

    A summary is the backbone's map (B, C, h, w) or, where the head asks for the pooled map only,
    that and the two halves side by side: (B, pooled + 2 * C).
    """

    model: Classifier
    images: Tensor | HostImages
    how: Inference

    def __call__(self, of: Callable[[Tensor], Tensor], view: ViewOf | None = None) -> Tensor:
        """float32 (N, ...): `of` each summary of the pictures, as they are or in one view."""
        kept = self._store.features(self.images, self._digest, view) if self.how.keep else None

        def forward(x: Tensor) -> Tensor:
            if kept is not None:
                return of(as_features(x))
            return of(summarise(self.model, view(x, 0) if view else x))

        return predict_logits(
            self.model,
            self.images if kept is None else kept,
            batch_size=self.how.batch_size,
            dtype=self.how.dtype,
            forward=forward,
            what=self.how.what,
        )

    def logits(self, summary: Tensor) -> Tensor:
        """(B, K) of a summary."""
        if not self.model.pools_before_attention:
            return self.model.forward_head(summary)
        return self.model.forward_head(summary[:, : -2 * self.model.backbone.channels])

    def halves(self, summary: Tensor) -> Tensor:
        """Means of the upper and of the lower half of the map, of a summary: (B, 2, C)."""
        if not self.model.pools_before_attention:
            return _halves(summary)
        return summary[:, -2 * self.model.backbone.channels :].float().unflatten(1, (2, -1))

    @functools.cached_property
    def _store(self) -> FeatureStore:
        return FeatureStore(self.model, device_of(self.model), self.how.dtype, False, summarise)

    @functools.cached_property
    def _digest(self) -> str:
        return digest_of(self.images)


def summarise(model: Classifier, x: Tensor) -> Tensor:
    """The summary of pictures (B, 1|3, S, S) in 0..255."""
    map_BChw = model.forward_features(x)
    if not model.pools_before_attention:
        return map_BChw
    pooled = model.head[0](map_BChw)
    return torch.cat([pooled, _halves(map_BChw).flatten(1).to(pooled.dtype)], dim=1)


def _halves(map_BChw: Tensor) -> Tensor:
    if map_BChw.device.type == "mps":  # which pools to sizes that divide the map's alone
        return halves_by_slices(map_BChw)
    return F.adaptive_avg_pool2d(map_BChw.float(), (2, 1)).squeeze(3).mT


def halves_by_slices(map_BChw: Tensor) -> Tensor:
    """Means of the upper and of the lower half of the map, a middle row in both: (B, 2, C)."""
    half = (map_BChw.shape[2] + 1) // 2
    parts = (map_BChw[:, :, :half], map_BChw[:, :, -half:])
    return torch.stack([part.float().mean(dim=(2, 3)) for part in parts], dim=1)
