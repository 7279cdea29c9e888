"""From the map after attention to logits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from braintumor.errors import ConfigError
from braintumor.models.noise import GaussianNoise, check_rate, check_std

# B batch, C channels, h w height and width of the map, K classes

Pooling = Literal["avg", "max", "avgmax", "flatten"]


class Pool(nn.Module):
    """Map to vector: (B, C, h, w) -> (B, C), (B, 2C) for avgmax, (B, C*h*w) for flatten.

    A vector has been pooled before, and stays as it is.
    """

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, x_BChw: torch.Tensor) -> torch.Tensor:
        if x_BChw.ndim == 2:
            return x_BChw
        if self.pooling == "avg":
            return x_BChw.mean(dim=(2, 3))
        if self.pooling == "max":
            return x_BChw.amax(dim=(2, 3))
        if self.pooling == "avgmax":
            return torch.cat([x_BChw.mean(dim=(2, 3)), x_BChw.amax(dim=(2, 3))], dim=1)
        return x_BChw.flatten(1)


def build(
    channels: int,
    num_classes: int,
    map_size_px: tuple[int, int],
    *,
    pooling: Pooling,
    hidden: int | None,
    batch_norm: bool,
    noise: float,
    dropout: float,
) -> nn.Sequential:
    """pool -> [linear, ReLU] -> [batch norm] -> [noise] -> [dropout] -> linear.

    channels, map_size_px: shape of the map; its size matters to pooling="flatten" alone.
    hidden: width of the extra layer, or null.  noise, dropout: in training only.
    The order is that of the recipes: batch norm after ReLU, and on the pooled vector when
    there is no hidden layer. A batch of one image in training is the classifier's care.
    """
    if hidden is not None and hidden < 1:
        raise ConfigError(f"`model.head.hidden={hidden}` is a width; give 1 or more, or null")
    check_std(noise, "model.head.noise")
    check_rate(dropout, "model.head.dropout")
    width = channels * {"avgmax": 2, "flatten": map_size_px[0] * map_size_px[1]}.get(pooling, 1)
    layers: list[nn.Module] = [Pool(pooling)]
    if hidden is not None:
        layers += [nn.Linear(width, hidden), nn.ReLU()]
        width = hidden
    if batch_norm:
        layers.append(nn.BatchNorm1d(width))
    if noise:
        layers.append(GaussianNoise(noise))
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(width, num_classes))
