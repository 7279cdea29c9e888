"""train.batch_size=auto: the largest batch that the device's memory and the data bear."""

# B batch, C channels, S side in px

from __future__ import annotations

import torch
from torch import Tensor

from braintumor.models.classifier import Classifier

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
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train()
    try:
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            model(x_BCSS).float().sum().backward()
    except torch.OutOfMemoryError:
        return False
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
        if device == "cuda":
            torch.cuda.empty_cache()
    return True
