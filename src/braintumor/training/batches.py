"""What a phase trains on, a batch at a time, and validation."""

# B batch, C channels, S side in px, K classes

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from braintumor import interrupts
from braintumor.data.host_images import HostImages, ImageSplit, to_device
from braintumor.data.tensors import Augment, Part
from braintumor.models.classifier import Classifier
from braintumor.progress import bar
from braintumor.training.distributed import team
from braintumor.training.recipe import Metric

Forward = Callable[[Tensor], Tensor]


class Batches(Protocol):
    """The training and validation images of one phase."""

    @property
    def blends(self) -> bool:
        """Whether `prepare` needs the whole batch, also for a part of it."""

    def fetch(self, parts: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of what `prepare` takes, (B, ...), and labels int64 (B,), both on the device.

        parts: int64 (B,) each, positions among the training images, on the CPU; all of an epoch, so
        that a disk can read ahead.  A function of its arguments alone.
        """

    def prepare(
        self, fetched: Tensor, labels_B: Tensor, generator: torch.Generator, part: Part | None
    ) -> tuple[Tensor, Tensor]:
        """What `forward` takes, and targets int64 (B,) or float32 (B, K).

        part: of one of several processes, which comes back alone; None: all.
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
    def blends(self) -> bool:
        return self.augment.blends

    def fetch(self, parts: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        return self.train.batches(parts)

    def prepare(
        self, fetched: Tensor, labels_B: Tensor, generator: torch.Generator, part: Part | None
    ) -> tuple[Tensor, Tensor]:
        return self.augment(fetched, labels_B, generator, part)

    def forward(self, model: Classifier, x: Tensor) -> Tensor:
        return model(x)

    def validate(self, model: Classifier) -> dict[str, float]:
        return validate(model, self.val, self.batch_size, self.dtype)


def validate(
    model: nn.Module,
    val: ImageSplit | None,
    batch_size: int,
    dtype: torch.dtype,
    forward: Forward | None = None,
) -> dict[str, float]:
    """Loss in nats (no smoothing, no weights) and rates in [0, 1], each over all images at once.

    val_auroc is macro, one class against the rest; NaN when validation lacks a class. Without
    validation all are NaN.  forward: the part of the model that takes `val.images`, else all.
    """
    # imported here, or the first step would wait for it
    from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

    if val is None:
        return dict.fromkeys(get_args(Metric), math.nan)
    together = team()
    part, images = together.part(len(val)), val.images
    if part:
        if isinstance(images, HostImages):
            images = dataclasses.replace(images, rows=part.of(images.rows))
        else:
            images = part.of(images)
    # validation keeps no activations, so it can take larger batches than training
    size = -(-2 * batch_size // together.size)
    own_PK = predict_logits(model, images, batch_size=size, dtype=dtype, forward=forward)
    logits_NK = together.all_logits(own_PK, part).cpu()  # waits for the device, once
    targets, predicted = val.labels.cpu(), logits_NK.argmax(dim=1).numpy()
    labels = targets.numpy()
    num_classes, auroc = logits_NK.shape[1], math.nan
    if len(set(labels.tolist())) == num_classes and torch.isfinite(logits_NK).all():
        probs = logits_NK.double().softmax(dim=1).numpy()
        scores = probs[:, 1] if num_classes == 2 else probs
        auroc = roc_auc_score(labels, scores, multi_class="ovr")
    figures = {
        "val_loss": F.cross_entropy(logits_NK, targets).item(),
        "val_accuracy": (labels == predicted).mean(),
        "val_balanced_accuracy": balanced_accuracy_score(labels, predicted),
        "val_macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
        "val_auroc": auroc,
    }
    return together.agree({k: float(v) for k, v in figures.items()}, val.device)


@torch.no_grad()
def predict_logits(
    model: nn.Module,
    images: Tensor | HostImages,
    *,
    batch_size: int,
    dtype: torch.dtype = torch.float32,
    forward: Forward | None = None,
    what: str | None = None,
) -> Tensor:
    """float32 (N, K) on the model's device; the model is left in evaluation mode.

    images: uint8 or float (N, C, S, S) in 0..255, on the model's device or in host memory.
    dtype: the autocast type; float32 turns autocast off.
    forward: a part of the model instead of all of it; `images` are then what that part takes.
    what: the name of a bar to show on a terminal.
    """
    model.eval()
    # a model without parameters is wherever its input is
    first = next(model.parameters(), None)
    device, of = images.device if first is None else first.device, forward or model
    fused = model.fused() if isinstance(model, Classifier) else nullcontext()
    with fused, torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        batches: Iterable[Tensor] = images.split(batch_size)
        if what:
            batches = bar(what, batches, total=math.ceil(len(images) / batch_size), unit="batches")
        size = min(batch_size, len(images))
        pad = device.type == "cuda" or (isinstance(model, Classifier) and model.is_compiled)
        logits = []
        for batch in (to_device(batch, device) for batch in batches):
            logits.append(of(_filled(batch, size) if pad else batch)[: len(batch)].float())
            interrupts.check()
        return torch.cat(logits)


def _filled(batch: Tensor, size: int) -> Tensor:
    """The batch with its last row repeated up to `size`: one shape is planned or compiled once.

    In evaluation rows know nothing of one another; a CPU would only compute more.
    """
    missing = size - len(batch)
    return torch.cat([batch, batch[-1:].expand(missing, *batch.shape[1:])]) if missing else batch
