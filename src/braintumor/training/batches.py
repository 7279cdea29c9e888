"""What a phase trains on, a batch at a time; and on a GPU how large a batch is, and CUDA graphs."""

# B batch, C channels, S side in px, K classes

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from braintumor.data.tensors import Augment, HostImages, ImageSplit, to_device
from braintumor.models.classifier import Classifier
from braintumor.progress import bar
from braintumor.runtime import mix_seed
from braintumor.training.recipe import Metric

Forward = Callable[[Tensor], Tensor]

_LARGEST, _SMALLEST = 256, 8
_STEPS = 50  # an epoch at least: larger batches learn less from as many images


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
        device, seed = self.train.device, mix_seed(self.seed, "augment", epoch, step)
        labels_B = self.train.labels[index_B.to(device, non_blocking=True)]
        pictures = to_device(self.train.images[index_B], device)
        x, target = self.augment(pictures, labels_B, torch.Generator(device).manual_seed(seed))
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
    # validation keeps no activations, so it can take larger batches than training
    logits_NK = predict_logits(
        model, val.images, batch_size=2 * batch_size, dtype=dtype, forward=forward
    ).cpu()  # waits for the device, once
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
    return {name: float(value) for name, value in figures.items()}


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
            batches = bar(what, batches, total=math.ceil(len(images) / batch_size), unit="batch")
        return torch.cat([of(batch.to(device)).float() for batch in batches])


def choose_batch_size(model: Classifier, images: int, sample: Tensor, dtype: torch.dtype) -> int:
    """A power of two from 8 to 256, with 50 steps an epoch or more where the data allow it.

    images: of one epoch.  sample: one picture, uint8 (1, C, S, S), on the device. On a GPU a
    training step of that size is tried, and halved until it fits; dtype: autocast type.
    The model comes back without gradients, its weights and statistics as they were.
    """
    size = _LARGEST
    while size > _SMALLEST and images / size < _STEPS:
        size //= 2
    if sample.device.type == "cuda":
        while size > _SMALLEST and not _fits(model, sample.expand(size, -1, -1, -1), dtype):
            size //= 2
    return size


def _fits(model: Classifier, x_BCSS: Tensor, dtype: torch.dtype) -> bool:
    """Whether a training step on the batch stays within the device's memory."""
    device = x_BCSS.device.type
    model.train()
    try:
        with _untouched(model), torch.autocast(device, dtype, enabled=dtype != torch.float32):
            model(x_BCSS).float().sum().backward()
    except torch.OutOfMemoryError:
        return False
    finally:
        if device == "cuda":
            torch.cuda.empty_cache()
    return True


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Afterwards the model's buffers are what they were, and it has no gradients."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])


def record_forward(
    batches: Batches, model: Classifier, sample: Tensor, dtype: torch.dtype
) -> Forward:
    """From a batch to logits (B, K), its forward and backward pass recorded as CUDA graphs.

    sample: one full batch, on the GPU; batches of another shape, as the last one of an epoch, go
    the plain way. A small network leaves a GPU waiting for Python between its kernels; a graph
    launches them all at once. dtype: autocast type.
    Nothing of the model changes: batch-norm statistics and random numbers stand as before.
    """
    step, device = _Step(batches, model).train(), sample.device
    # recording runs the model a few times; the cache of cast weights would outlive it
    with (
        _untouched(model),
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.autocast(device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False),
    ):
        graph = cast(Forward, torch.cuda.make_graphed_callables(step, (sample,)))

    def forward(x: Tensor) -> Tensor:
        return graph(x) if x.shape == sample.shape else batches.forward(model, x)

    return forward


class _Step(nn.Module):
    """A module of its own, since recording replaces the `forward` of the one it is given."""

    def __init__(self, batches: Batches, model: Classifier) -> None:
        super().__init__()
        self.batches, self.model = batches, model

    def forward(self, x: Tensor) -> Tensor:
        return self.batches.forward(self.model, x)
