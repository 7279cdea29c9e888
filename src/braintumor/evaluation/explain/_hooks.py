"""What every look into a model needs: pictures as tensors, and the model left as it was found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

# B batch, S side of the picture


def to_tensor(images: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """(B, S, S[, 3]) -> (B, 1|3, S, S) of the same type on the device."""
    x = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)


@contextlib.contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients for parameters inside; all as before after."""
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    model.eval().requires_grad_(False)
    for parameter, _, _ in parameters:
        parameter.grad = None  # the library zeroes them in place
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, requires_grad, grad in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
