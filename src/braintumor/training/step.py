"""One step of training: a batch in, its loss and its hits out, the model a little better."""

# B batch, K classes

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from braintumor.data.tensors import Part
from braintumor.training.batches import Batches
from braintumor.training.distributed import Sum
from braintumor.training.losses import Loss
from braintumor.training.state import FitState


@dataclass(frozen=True, eq=False)
class Step:
    """Trains `state` on what `batches` fetched; all but its rate, its draws and the average.

    dtype: the autocast type.  clip_norm: largest gradient norm, or None.
    generator: of the augmentation, on the device, seeded by the caller before each step.
    sum: over several processes, of which each has a part of the batch.
    No value is read here, or the host would wait for the GPU.
    """

    state: FitState
    batches: Batches
    loss_of: Loss
    dtype: torch.dtype
    clip_norm: float | None
    generator: torch.Generator
    sum: Sum | None = None

    @property
    def device(self) -> torch.device:
        return self.generator.device

    def __call__(
        self, fetched: Tensor, labels_B: Tensor, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean loss in nats, and how many of the batch were right; both () on the device.

        part: what these images are of the batch; the answer is of all of it.
        """
        state, use_autocast = self.state, self.dtype != torch.float32
        x, target = self.batches.prepare(fetched, labels_B, self.generator, part)
        if part and len(labels_B) != len(x):
            labels_B = part.of(labels_B)
        with torch.autocast(self.device.type, self.dtype, enabled=use_autocast):
            logits_BK = self.batches.forward(state.model, x)
        loss = self.loss_of(logits_BK.float(), target)
        hits = (logits_BK.argmax(dim=1) == labels_B).sum()
        trained = [p for group in state.optimizer.param_groups for p in group["params"]]
        state.optimizer.zero_grad(set_to_none=True)
        if self.sum:
            share = self.sum.share(target, part)
            state.scaler.scale(loss * share).backward()
            loss, hits = self.sum.over_all(trained, part, share, (loss, hits))
        else:
            state.scaler.scale(loss).backward()
        if self.clip_norm:
            state.scaler.unscale_(state.optimizer)
            torch.nn.utils.clip_grad_norm_(trained, self.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        return loss.detach(), hits
