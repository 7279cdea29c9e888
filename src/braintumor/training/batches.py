"""What a phase trains on, a batch at a time: pictures, or what a frozen backbone makes of them."""

# B batch, K classes

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from braintumor.data.augment import Augment
from braintumor.data.tensors import ImageSplit, to_device
from braintumor.models.classifier import Classifier
from braintumor.runtime import mix_seed
from braintumor.training.validate import validate


class Batches(Protocol):
    """The training and validation images of one phase."""

    @property
    def home(self) -> torch.device:
        """Where the images lie, and `batch` wants its positions."""

    def batch(self, index_B: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` takes, targets int64 (B,) or float32 (B, K), and labels int64 (B,).

        index_B: positions among the training images.  A function of its arguments alone.
        """

    def forward(self, model: Classifier, x: Tensor) -> Tensor:
        """Logits (B, K)."""

    def validate(self, model: Classifier) -> dict[str, float]:
        """Figures of validation, NaN where there is none."""


@dataclass(frozen=True, eq=False)
class PictureBatches:
    """Pictures, augmented anew in every epoch."""

    train: ImageSplit
    val: ImageSplit | None
    augment: Augment
    seed: int
    batch_size: int
    dtype: torch.dtype

    @property
    def home(self) -> torch.device:
        return self.train.images.device

    def batch(self, index_B: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        device = self.train.device
        generator = torch.Generator(device)
        generator.manual_seed(mix_seed(self.seed, "augment", epoch, step))
        labels_B = self.train.labels[index_B.to(device, non_blocking=True)]
        pictures = to_device(self.train.images[index_B], device)
        x, target = self.augment(pictures, labels_B, generator)
        return x, target, labels_B

    def forward(self, model: Classifier, x: Tensor) -> Tensor:
        return model(x)

    def validate(self, model: Classifier) -> dict[str, float]:
        return validate(model, self.val, self.batch_size, self.dtype)
