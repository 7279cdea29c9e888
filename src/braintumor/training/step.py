"""One step of training: a batch in, its loss and its hits out, the model a little better."""

# B batch, K classes

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from braintumor.training.batches import Batches
from braintumor.training.optim import Loss
from braintumor.training.state import FitState


@dataclass(frozen=True, eq=False)
class Step:
    """Trains `state` on what `batches` fetched; all but its rate, its draws and the average.

    dtype: the autocast type.  clip_norm: largest gradient norm, or None.
    generator: of the augmentation, on the device, seeded by the caller before each step.
    No value is read here, or the host would wait for the GPU.
    """

    state: FitState
    batches: Batches
    loss_of: Loss
    dtype: torch.dtype
    clip_norm: float | None
    generator: torch.Generator

    @property
    def device(self) -> torch.device:
        return self.generator.device

    def __call__(self, fetched: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss in nats, and how many of the batch were right; both () on the device."""
        state, use_autocast = self.state, self.dtype != torch.float32
        x, target = self.batches.prepare(fetched, labels_B, self.generator)
        with torch.autocast(self.device.type, self.dtype, enabled=use_autocast):
            logits_BK = self.batches.forward(state.model, x)
        loss = self.loss_of(logits_BK.float(), target)
        state.optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(loss).backward()
        if self.clip_norm:
            state.scaler.unscale_(state.optimizer)
            trained = [p for group in state.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, self.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        return loss.detach(), (logits_BK.argmax(dim=1) == labels_B).sum()
