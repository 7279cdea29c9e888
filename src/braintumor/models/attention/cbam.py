"""Convolutional block attention: what (channels), then where (positions).

Source: Woo et al. 2018, arXiv:1807.06521, section 3.
With channel_pool="avg" the first half is squeeze-and-excitation, and the whole is
"SE, then spatial attention".
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import nn

from braintumor.errors import ConfigError
from braintumor.models.head import map_mean
from braintumor.ranges import Count

# B batch, C channels, h w height and width of the map


class ChannelAttention(nn.Module):
    """A gate a channel: one MLP shared by the mean and the maximum over positions."""

    def __init__(self, channels: int, hidden: int, use_max: bool) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.use_max = use_max

    def gate(self, x_BChw: torch.Tensor) -> torch.Tensor:
        """In (0, 1): (B, C)."""
        score_BC: torch.Tensor = self.mlp(map_mean(x_BChw).to(x_BChw.dtype))
        if self.use_max:
            score_BC = score_BC + self.mlp(x_BChw.amax(dim=(2, 3)))
        return score_BC.sigmoid()

    def forward(self, x_BChw: torch.Tensor) -> torch.Tensor:
        return x_BChw * self.gate(x_BChw)[:, :, None, None]


class SpatialAttention(nn.Module):
    """A gate a position: one convolution over the mean and the maximum over channels."""

    def __init__(self, kernel_px: int) -> None:
        super().__init__()
        # the authors' code has no bias here, but a batch norm; the paper has neither: no norm
        # keeps a last batch of one image harmless
        self.conv = nn.Conv2d(2, 1, kernel_px, padding=kernel_px // 2, bias=False)

    def forward(self, x_BChw: torch.Tensor) -> torch.Tensor:
        mean_Bhw = map_mean(x_BChw, dim=(1,)).to(x_BChw.dtype)
        summary_B2hw = torch.stack([mean_Bhw, x_BChw.amax(dim=1)], dim=1)
        return x_BChw * self.conv(summary_B2hw).sigmoid()


class CBAM(nn.Sequential):
    """ChannelAttention, then SpatialAttention: float (B, C, h, w) -> (B, C, h, w)."""

    def forward_pooled(self, x_BChw: torch.Tensor) -> torch.Tensor:
        """Mean over the cells of `forward`, without the two gated maps: (B, C).

        Means are products of matrices; of the greatest channel at a cell only its place is
        looked for in the gated map, which then needs no gradient.
        """
        channels, positions = cast(ChannelAttention, self[0]), cast(SpatialAttention, self[1])
        gate_BC = channels.gate(x_BChw)
        x_BCN, gate_BC1 = x_BChw.flatten(2), gate_BC[:, :, None]
        mean_B1N = gate_BC1.mT @ x_BCN / x_BCN.shape[1]
        with torch.no_grad():
            greatest_B1N = (x_BCN * gate_BC1).argmax(dim=1, keepdim=True)
        max_B1N = x_BCN.gather(1, greatest_B1N) * gate_BC.gather(1, greatest_B1N[:, 0])[:, None]
        summary_B2N = torch.cat([mean_B1N, max_B1N.to(mean_B1N.dtype)], dim=1)
        place_B1hw = positions.conv(summary_B2N.unflatten(2, x_BChw.shape[2:])).sigmoid()
        return (x_BCN @ place_B1hw.flatten(2).mT)[:, :, 0] / x_BCN.shape[2] * gate_BC


def build(
    channels: int, *, reduction: Count, kernel_px: Count, channel_pool: Literal["avg", "avgmax"]
) -> nn.Module:
    """CBAM over `channels`: float (B, C, h, w) -> (B, C, h, w).

    reduction: r of the shared MLP.  kernel_px: odd side of the spatial kernel, in map cells.
    """
    if kernel_px % 2 == 0:
        raise ConfigError(
            f"`model.attention.kernel_px={kernel_px}` must be odd, to keep the map's size; "
            "give 7 or 3"
        )
    hidden, use_max = max(channels // reduction, 1), channel_pool == "avgmax"
    return CBAM(ChannelAttention(channels, hidden, use_max), SpatialAttention(kernel_px))
