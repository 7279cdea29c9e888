"""What a phase trains on, a batch at a time: pictures, or what a frozen backbone makes of them."""

# B batch, K classes

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from braintumor.data.tensors import Augment, ImageSplit, to_device
from braintumor.models.classifier import Classifier, predict_logits
from braintumor.runtime import mix_seed

FIGURES = ("val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_auroc")


class Batches(Protocol):
    """The training and validation images of one phase."""

    @property
    def index_device(self) -> torch.device:
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
    def index_device(self) -> torch.device:
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


def validate(
    model: nn.Module,
    val: ImageSplit | None,
    batch_size: int,
    dtype: torch.dtype,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """Loss in nats (no smoothing, no weights) and rates in [0, 1], each over all images at once.

    val_auroc is macro, one class against the rest; NaN when validation lacks a class. Without
    validation all are NaN.  forward: the part of the model that takes `val.images`, else all.
    """
    # imported here, or the first step would wait for it
    from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

    if val is None:
        return dict.fromkeys(FIGURES, math.nan)
    # validation keeps no activations, so it can take larger batches than training
    logits_NK = predict_logits(
        model, val.images, batch_size=2 * batch_size, dtype=dtype, forward=forward
    )
    loss = F.cross_entropy(logits_NK, val.labels).item()
    labels, predicted = val.labels.cpu().numpy(), logits_NK.argmax(dim=1).cpu().numpy()
    num_classes = logits_NK.shape[1]
    auroc = float("nan")
    if len(set(labels.tolist())) == num_classes and torch.isfinite(logits_NK).all():
        probs = logits_NK.double().softmax(dim=1).cpu().numpy()
        scores = probs[:, 1] if num_classes == 2 else probs
        auroc = float(roc_auc_score(labels, scores, multi_class="ovr"))
    return {
        "val_loss": loss,
        "val_accuracy": float((labels == predicted).mean()),
        "val_balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
        "val_macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
        "val_auroc": auroc,
    }
