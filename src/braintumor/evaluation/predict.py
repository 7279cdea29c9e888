"""From a model and images to predictions: the last room but CAM that sees torch."""

# N images, K classes, V views

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from braintumor.data.augment import AugmentSettings, move_alike
from braintumor.data.loader import ImageSplit
from braintumor.errors import ConfigError
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

    views: int | None
    examples: int

    def __post_init__(self) -> None:
        if self.views is not None and self.views < 1:
            raise ConfigError(f"eval.views={self.views} must be 1 or more; 1 is the plain picture")


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
    if views < 1:
        raise ConfigError(f"views={views} must be 1 or more; 1 is the picture as it is")
    if views == 1:
        logits = logits_of(model, split.images, batch_size=batch_size, dtype=dtype)
    else:
        mean = sum(_probs_of_view(model, split, v, batch_size, dtype) for v in range(views)) / views
        logits = torch.as_tensor(mean).clamp_min(1e-12).log()
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
    for start in range(0, len(split), batch_size):
        x = _view(split.images[start : start + batch_size], view)
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
