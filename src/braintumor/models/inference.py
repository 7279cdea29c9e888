"""Logits of many images: batched, without gradients, on the model's device."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def logits_of(
    model: nn.Module, images: Tensor, *, batch_size: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """float32 (N, K) on the device of `images`; the model is left in evaluation mode.

    images: uint8 or float (N, C, S, S) in 0..255, on the model's device.
    dtype: the autocast type; float32 turns autocast off.
    """
    model.eval()
    device = images.device.type
    with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        return torch.cat([model(batch).float() for batch in images.split(batch_size)])
