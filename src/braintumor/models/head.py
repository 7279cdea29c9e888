"""From the map after attention to logits; and the noise that attention and head may add."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from braintumor.ranges import Count, NotNegative, ShareBelow1

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


def map_mean(x_BChw: torch.Tensor, dim: tuple[int, ...] = (2, 3)) -> torch.Tensor:
    """Mean over the cells: (B, C), in float32 or better, also of a map of autocast.

    As a sum, whose gradient is a view; that of torch's mean is a map in another memory layout.
    dim: (1,) for the mean over channels: (B, h, w).
    """
    count = math.prod(x_BChw.shape[d] for d in dim)
    return x_BChw.sum(dim, dtype=torch.promote_types(x_BChw.dtype, torch.float32)) / count


@dataclass(frozen=True)
class Options:
    """The keys of configs/model/head/, which explains them."""

    pooling: Pooling
    hidden: Count | None
    batch_norm: bool
    noise: NotNegative
    dropout: ShareBelow1


def build(
    channels: int, num_classes: int, map_size_px: tuple[int, int], options: Options
) -> nn.Sequential:
    """pool -> [linear, ReLU] -> [batch norm] -> [noise] -> [dropout] -> linear.

    channels, map_size_px: shape of the map; its size matters to pooling="flatten" alone.
    The order is that of the recipes: batch norm after ReLU, and on the pooled vector when
    there is no hidden layer. A batch of one image in training is the classifier's care.
    """
    cells = map_size_px[0] * map_size_px[1]
    width = channels * {"avgmax": 2, "flatten": cells}.get(options.pooling, 1)
    layers: list[nn.Module] = [Pool(options.pooling)]
    if options.hidden is not None:
        layers += [nn.Linear(width, options.hidden), nn.ReLU()]
        width = options.hidden
    if options.batch_norm:
        layers.append(nn.BatchNorm1d(width))
    if options.noise:
        layers.append(GaussianNoise(options.noise))
    if options.dropout:
        layers.append(nn.Dropout(options.dropout))
    return nn.Sequential(*layers, nn.Linear(width, num_classes))
