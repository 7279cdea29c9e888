"""The forward pass of the steady state: as it is, or as CUDA graphs, which launch in one call."""

# B batch, K classes

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from braintumor.models.classifier import Classifier
from braintumor.training.batches import Batches

Forward = Callable[[Tensor], Tensor]


def open_forward(feed: Batches, model: Classifier, sample: Tensor, dtype: torch.dtype) -> Forward:
    """What `feed` feeds to logits (B, K), its forward and backward pass recorded as CUDA graphs.

    sample: one full batch, on the GPU; batches of another shape, as the last one of an epoch, go
    the plain way. A small network leaves a GPU waiting for Python between its kernels; a graph
    launches them all at once. dtype: autocast type.
    Nothing of the model changes: batch-norm statistics and random numbers stand as before.
    """
    step = _Step(feed, model)
    step.train()
    # recording runs the model a few times
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    gpus = [sample.device] if sample.device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        # the cache of cast weights would outlive the recording
        options = {"enabled": dtype != torch.float32, "cache_enabled": False}
        with torch.autocast(sample.device.type, dtype, **options):
            graph = cast(Forward, torch.cuda.make_graphed_callables(step, (sample,)))
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
    model.zero_grad(set_to_none=True)

    def forward(x: Tensor) -> Tensor:
        return graph(x) if x.shape == sample.shape else feed.forward(model, x)

    return forward


class _Step(nn.Module):
    """A module of its own, since recording replaces the `forward` of the one it is given."""

    def __init__(self, feed: Batches, model: Classifier) -> None:
        super().__init__()
        self.feed, self.model = feed, model

    def forward(self, x: Tensor) -> Tensor:
        return self.feed.forward(self.model, x)
