"""A moving average of what is trained, in a model that can be evaluated."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from braintumor.models.classifier import Classifier


class Average:
    """The exponential moving average of a model's trained weights and norm statistics.

    model: a copy that has the averages.  What rests is shared with the original, as are counters,
    which no evaluation reads.  decay: in [0, 1).  steps: how many have been averaged.
    The decay grows from 0.1, or in a short run the first step's weights would stay in it.
    """

    def __init__(self, model: Classifier, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._current = _moving(model)
        moving = {id(tensor) for tensor in self._current.values()}
        everything = (*model.parameters(), *model.buffers())
        shared = {id(tensor): tensor for tensor in everything if id(tensor) not in moving}
        self.model = copy.deepcopy(model, shared)
        self.model.requires_grad_(False)
        tensors = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        self._averaged = {name: tensors[name] for name in self._current}

    @torch.no_grad()
    def update(self) -> None:
        """After a step: move the average towards the weights; the first step begins it."""
        averaged, current = list(self._averaged.values()), list(self._current.values())
        if self.steps:
            decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:
            torch._foreach_copy_(averaged, current)
        self.steps += 1

    def state_dict(self) -> dict[str, Tensor]:
        """The averages alone; `steps` is the caller's to keep."""
        return dict(self._averaged)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the averages of `state_dict`."""
        for name, averaged in self._averaged.items():
            averaged.copy_(state[name])


def _moving(model: Classifier) -> dict[str, Tensor]:
    """What a step changes, by name: trained weights, and float buffers of modules that train."""
    model.train()
    moving: dict[str, Tensor] = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for path, module in model.named_modules():
        for name, buffer in module.named_buffers(path, recurse=False):
            if module.training and buffer.is_floating_point():
                moving[name] = buffer
    return moving
