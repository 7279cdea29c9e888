"""From the map after attention to logits; and the noise that attention and head may add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from braintumor.errors import ConfigError

# B batch, C channels, h w height and width of the map, K classes

Pooling = Literal["avg", "max", "avgmax", "flatten"]


class GaussianNoise(nn.Module):
    """Adds N(0, std^2) to every value while training; identity in evaluation and at std 0.

    std is in units of the activations, as in Keras' GaussianNoise layer.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.std * torch.randn_like(x) if self.training and self.std else x


class Pool(nn.Module):
    """Map to float32 vector: (B, C, h, w) -> (B, C), (B, 2C) for avgmax, (B, C*h*w) for flatten.

    A vector has been pooled before, and stays as it is.
    """

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, x_BChw: torch.Tensor) -> torch.Tensor:
        if x_BChw.ndim == 2:
            return x_BChw.float()
        if self.pooling == "max":
            return x_BChw.amax(dim=(2, 3)).float()
        if self.pooling == "flatten":
            return x_BChw.flatten(1).float()
        mean_BC = map_mean(x_BChw)
        if self.pooling == "avg":
            return mean_BC
        return torch.cat([mean_BC, x_BChw.amax(dim=(2, 3))], dim=1)


def map_mean(x_BChw: torch.Tensor) -> torch.Tensor:
    """Mean over the cells: (B, C), in float32 or better, also of a map of autocast."""
    return x_BChw.mean(dim=(2, 3), dtype=torch.promote_types(x_BChw.dtype, torch.float32))


@dataclass(frozen=True)
class Options:
    """The keys of configs/model/head/, which explains them."""

    pooling: Pooling
    hidden: int | None
    batch_norm: bool
    noise: float
    dropout: float


def build(
    channels: int, num_classes: int, map_size_px: tuple[int, int], options: Options
) -> nn.Sequential:
    """pool -> [linear, ReLU] -> [batch norm] -> [noise] -> [dropout] -> linear.

    channels, map_size_px: shape of the map; its size matters to pooling="flatten" alone.
    The order is that of the recipes: batch norm after ReLU, and on the pooled vector when
    there is no hidden layer. A batch of one image in training is the classifier's care.
    """
    hidden = options.hidden
    if hidden is not None and hidden < 1:
        raise ConfigError(f"`model.head.hidden={hidden}` is a width; give 1 or more, or null")
    check_std(options.noise, "model.head.noise")
    check_rate(options.dropout, "model.head.dropout")
    cells = map_size_px[0] * map_size_px[1]
    width = channels * {"avgmax": 2, "flatten": cells}.get(options.pooling, 1)
    layers: list[nn.Module] = [Pool(options.pooling)]
    if hidden is not None:
        layers += [nn.Linear(width, hidden), nn.ReLU()]
        width = hidden
    if options.batch_norm:
        layers.append(nn.BatchNorm1d(width))
    if options.noise:
        layers.append(GaussianNoise(options.noise))
    if options.dropout:
        layers.append(nn.Dropout(options.dropout))
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


def check_rate(value: float, where: str) -> None:
    """Raises ConfigError unless it is a dropout rate, in [0, 1)."""
    if not 0 <= value < 1:
        raise ConfigError(f"`{where}={value}` is a rate of dropped values; give 0 <= rate < 1")


def check_std(value: float, where: str) -> None:
    """Raises ConfigError unless it is a standard deviation, 0 or more."""
    if not 0 <= value < float("inf"):
        raise ConfigError(f"`{where}={value}` is a standard deviation; give 0 or more")
