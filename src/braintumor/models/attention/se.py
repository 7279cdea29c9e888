"""Squeeze-and-excitation: one gate a channel, from the channel means.

Source: Hu et al. 2018, arXiv:1709.01507, section 3.
"""

from __future__ import annotations

import torch
from torch import nn

from braintumor.models.head import map_mean
from braintumor.ranges import Count

# B batch, C channels, h w height and width of the map, R = C / reduction


class SqueezeExcitation(nn.Module):
    """x * sigmoid(W2 relu(W1 mean(x))): float (B, C, h, w) -> (B, C, h, w)."""

    takes_pooled = True

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x_BChw: torch.Tensor) -> torch.Tensor:
        gate_BC = self.gate(map_mean(x_BChw).to(x_BChw.dtype))
        return x_BChw * gate_BC[:, :, None, None]

    def forward_pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Mean over the cells of `forward`, of a map or of its mean: (B, C)."""
        mean_BC = x if x.ndim == 2 else map_mean(x)
        return mean_BC * self.gate(mean_BC)


def build(channels: int, *, reduction: Count) -> nn.Module:
    """Squeeze-and-excitation over `channels`; reduction is r of the paper."""
    return SqueezeExcitation(channels, max(channels // reduction, 1))
