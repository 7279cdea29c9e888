"""What a GPU bears, and how it is kept busy: the batch size, and CUDA graphs."""

# B batch, C channels, S side in px, K classes

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from braintumor.models.classifier import Classifier
from braintumor.training.batches import Batches

Forward = Callable[[Tensor], Tensor]

_LARGEST, _SMALLEST = 256, 8
_STEPS = 50  # an epoch at least: larger batches learn less from as many images


def choose_batch_size(model: Classifier, images: int, sample: Tensor, dtype: torch.dtype) -> int:
    """A power of two from 8 to 256, with 50 steps an epoch or more where the data allow it.

    images: of one epoch.  sample: one picture, uint8 (1, C, S, S), on the device. On a GPU a
    training step of that size is tried, and halved until it fits; dtype: autocast type.
    The model comes back without gradients, its weights and statistics as they were.
    """
    size = _LARGEST
    while size > _SMALLEST and images / size < _STEPS:
        size //= 2
    if sample.device.type != "cuda":
        return size
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
    step = _Step(batches, model)
    step.train()
    gpus = [sample.device] if sample.device.type == "cuda" else []
    # recording runs the model a few times
    with _untouched(model), torch.random.fork_rng(gpus):
        # the cache of cast weights would outlive the recording
        options = {"enabled": dtype != torch.float32, "cache_enabled": False}
        with torch.autocast(sample.device.type, dtype, **options):
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
