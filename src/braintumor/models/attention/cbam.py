"""Convolutional block attention: what (channels), then where (positions).

Source: Woo et al. 2018, arXiv:1807.06521, section 3.
With channel_pool="avg" the first half is squeeze-and-excitation, and the whole is
"SE, then spatial attention".
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from braintumor.errors import ConfigError
from braintumor.models.attention.se import hidden_width

# B batch, C channels, h w height and width of the map


class ChannelAttention(nn.Module):
    """A gate a channel: one MLP shared by the mean and the maximum over positions."""

    def __init__(self, channels: int, hidden: int, use_max: bool) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.use_max = use_max

    def forward(self, x_BChw: torch.Tensor) -> torch.Tensor:
        score_BC = self.mlp(x_BChw.mean(dim=(2, 3)))
        if self.use_max:
            score_BC = score_BC + self.mlp(x_BChw.amax(dim=(2, 3)))
        return x_BChw * score_BC.sigmoid()[:, :, None, None]


class SpatialAttention(nn.Module):
    """A gate a position: one convolution over the mean and the maximum over channels."""

    def __init__(self, kernel_px: int) -> None:
        super().__init__()
        # the authors' code has no bias here, but a batch norm; the paper has neither: no norm
        # keeps a last batch of one image harmless
        self.conv = nn.Conv2d(2, 1, kernel_px, padding=kernel_px // 2, bias=False)

    def forward(self, x_BChw: torch.Tensor) -> torch.Tensor:
        summary_B2hw = torch.cat(
            [x_BChw.mean(dim=1, keepdim=True), x_BChw.amax(dim=1, keepdim=True)], dim=1
        )
        return x_BChw * self.conv(summary_B2hw).sigmoid()


def build(
    channels: int, *, reduction: int, kernel_px: int, channel_pool: Literal["avg", "avgmax"]
) -> nn.Module:
    """CBAM over `channels`: float (B, C, h, w) -> (B, C, h, w).

    reduction: r of the shared MLP.  kernel_px: odd side of the spatial kernel, in map cells.
    """
    if kernel_px < 1 or kernel_px % 2 == 0:
        raise ConfigError(
            f"`model.attention.kernel_px={kernel_px}` must be odd, to keep the map's size; "
            "give 7 or 3"
        )
    hidden = hidden_width(channels, reduction, "model.attention.reduction")
    return nn.Sequential(
        ChannelAttention(channels, hidden, use_max=channel_pool == "avgmax"),
        SpatialAttention(kernel_px),
    )
