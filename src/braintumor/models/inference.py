"""Logits of many images: batched, without gradients, on the model's device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from braintumor.models.classifier import Classifier


class Images(Protocol):
    """A tensor (N, C, S, S), or what gives its batches as one does."""

    @property
    def device(self) -> torch.device:
        """Where they are."""

    def split(self, size: int, /) -> Iterable[Tensor]:
        """Batches in order."""


@torch.no_grad()
def logits_of(
    model: nn.Module,
    images: Images,
    *,
    batch_size: int,
    dtype: torch.dtype = torch.float32,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """float32 (N, K) on the model's device; the model is left in evaluation mode.

    images: uint8 or float (N, C, S, S) in 0..255, on the model's device or in host memory.
    dtype: the autocast type; float32 turns autocast off.
    forward: a part of the model instead of all of it; `images` are then what that part takes.
    """
    model.eval()
    # a model without parameters is wherever its input is
    first = next(model.parameters(), None)
    device, of = images.device if first is None else first.device, forward or model
    fused = model.fused() if isinstance(model, Classifier) else nullcontext()
    with fused, torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        return torch.cat([of(batch.to(device)).float() for batch in images.split(batch_size)])
