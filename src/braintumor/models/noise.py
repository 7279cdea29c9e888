"""Gaussian noise on activations, in training only."""

from __future__ import annotations

import torch
from torch import nn

from braintumor.errors import ConfigError


class GaussianNoise(nn.Module):
    """Adds N(0, std^2) to every value while training; identity in evaluation and at std 0.

    std is in units of the activations, as in Keras' GaussianNoise layer.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.std == 0:
            return x
        return x + self.std * torch.randn_like(x)

    def extra_repr(self) -> str:
        return f"std={self.std}"


def check_rate(value: float, where: str) -> float:
    """value if it is a dropout rate, in [0, 1). Raises ConfigError."""
    if not 0 <= value < 1:
        raise ConfigError(f"`{where}={value}` is a rate of dropped values; give 0 <= rate < 1")
    return value


def check_std(value: float, where: str) -> float:
    """value if it is a standard deviation, 0 or more. Raises ConfigError."""
    if not 0 <= value < float("inf"):
        raise ConfigError(f"`{where}={value}` is a standard deviation; give 0 or more")
    return value
