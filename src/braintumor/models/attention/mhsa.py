"""Multi-head self-attention over the cells of the map.

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2; pre-norm as in Xiong et al. 2020,
arXiv:2002.04745; 2-D sine positions as in Carion et al. 2020, arXiv:2005.12872.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from braintumor.errors import ConfigError
from braintumor.models.head import GaussianNoise, map_mean
from braintumor.ranges import Count, NotNegative, ShareBelow1

# B batch, C channels, h w height and width of the map, N = h*w tokens, H heads, d head width

_MOST_CELLS = 400  # beyond, N x N weights are more than the arithmetic that they spare


@dataclass(frozen=True)
class Options:
    """The keys of configs/model/attention/mhsa.yaml, which explains them."""

    heads: Count
    head_dim: Count | Literal["channels"] | None
    dim: Count | None
    residual: bool
    norm: bool
    position: Literal["none", "sine"]
    noise: NotNegative
    dropout: ShareBelow1


class SelfAttention(nn.Module):
    """x + Attention(LayerNorm(x) + positions): float (B, C, h, w) -> (B, C, h, w).

    Sum, norm and positions are optional. With C = H*d the weights have the layout of
    torch.nn.MultiheadAttention: `qkv` is its in_proj, `out` its out_proj.
    """

    def __init__(self, channels: int, head_width: int, options: Options) -> None:
        super().__init__()
        self.heads, self.residual = options.heads, options.residual
        self.sine, self.dropout = options.position == "sine", options.dropout
        width = options.heads * head_width
        self.norm = nn.LayerNorm(channels) if options.norm else nn.Identity()
        self.qkv = nn.Linear(channels, 3 * width)
        self.out = nn.Linear(width, channels)
        self.noise = GaussianNoise(options.noise)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)
        if options.residual:
            # starts as the identity, so the first steps do not wreck pretrained features
            nn.init.zeros_(self.out.weight)

    def queries_keys_values(self, x_BChw: torch.Tensor) -> torch.Tensor:
        """What attention weighs, of the cells of the map as tokens: (3, B, H, N, d)."""
        projected = self._project(*self._tokens(x_BChw), parts=3)
        return projected.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def forward(self, x_BChw: torch.Tensor) -> torch.Tensor:
        dropout = self.dropout if self.training else 0.0
        q_BHNd, k_BHNd, v_BHNd = self.queries_keys_values(x_BChw)
        mixed_BHNd = F.scaled_dot_product_attention(q_BHNd, k_BHNd, v_BHNd, dropout_p=dropout)
        y_BNC = self.out(mixed_BHNd.transpose(1, 2).flatten(2))
        y_BChw = y_BNC.transpose(1, 2).unflatten(2, x_BChw.shape[2:])
        return self.noise(x_BChw + y_BChw if self.residual else y_BChw)

    def forward_pooled(self, x_BChw: torch.Tensor) -> torch.Tensor:
        """Mean over the cells of `forward`, for a third of its arithmetic: (B, C).

        Values and output are linear in the tokens. So the tokens are averaged first, each by the
        attention that it receives from all others, and one vector a head goes through both.
        """
        is_noisy = self.training and self.noise.std > 0
        if is_noisy or x_BChw.shape[2] * x_BChw.shape[3] > _MOST_CELLS:
            return map_mean(self(x_BChw))
        tokens_BNC, shift_NC = self._tokens(x_BChw)
        projected = self._project(tokens_BNC, shift_NC, parts=2)
        q_BHNd, k_BHNd = projected.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights_BHNN = (q_BHNd * q_BHNd.shape[-1] ** -0.5 @ k_BHNd.mT).softmax(dim=-1)
        received_BHN = F.dropout(weights_BHNN, self.dropout, self.training).mean(dim=2)
        scale = self.norm.weight if isinstance(self.norm, nn.LayerNorm) else 1.0
        mixed_BHC = received_BHN @ tokens_BNC * scale + received_BHN @ shift_NC
        weight_HdC, bias_Hd = (
            values.chunk(3)[2].unflatten(0, (self.heads, -1))
            for values in (self.qkv.weight, self.qkv.bias)
        )
        share_BH1 = received_BHN.sum(dim=2, keepdim=True)  # 1, but for dropout
        value_BHd = torch.einsum("bhc,hdc->bhd", mixed_BHC, weight_HdC) + share_BH1 * bias_Hd
        y_BC = self.out(value_BHd.flatten(1))
        return map_mean(x_BChw) + y_BC if self.residual else y_BC

    def _tokens(self, x_BChw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (B, N, C) and a shift (N, C): attention is over tokens * scale + shift.

        The scale and shift of the norm are learned, and here apart from the tokens: those of a
        frozen backbone then need no gradient, which would be a quarter of the arithmetic.
        """
        tokens_BNC = x_BChw.flatten(2).transpose(1, 2)
        shift_NC = tokens_BNC.new_zeros(tokens_BNC.shape[1:])
        if isinstance(self.norm, nn.LayerNorm):
            tokens_BNC = F.layer_norm(tokens_BNC, self.norm.normalized_shape, eps=self.norm.eps)
            shift_NC = shift_NC + self.norm.bias
        if self.sine:
            height, width = x_BChw.shape[2:]
            shift_NC = shift_NC + sine_positions(height, width, tokens_BNC)
        return tokens_BNC, shift_NC

    def _project(
        self, tokens_BNC: torch.Tensor, shift_NC: torch.Tensor, parts: int
    ) -> torch.Tensor:
        """The first `parts` of queries, keys, values: (B, N, parts * H * d)."""
        rows = parts * (len(self.qkv.weight) // 3)
        weight, bias = self.qkv.weight[:rows], self.qkv.bias[:rows]
        if not isinstance(self.norm, nn.LayerNorm):
            # without norm and position nothing is scaled or shifted: of 8 heads of the full width
            # a copy of the weights takes as long as the product
            shift = F.linear(shift_NC, weight, bias) if self.sine else bias
            return F.linear(tokens_BNC, weight) + shift
        return F.linear(tokens_BNC, weight * self.norm.weight) + F.linear(shift_NC, weight, bias)


def sine_positions(height: int, width: int, like_BNC: torch.Tensor) -> torch.Tensor:
    """Sines and cosines of row and column: (N, C), of the type and device of `like_BNC`.

    Rows fill the first half of the channels, columns the second; nothing is learned, so a
    model takes maps of any size.
    """
    channels, device = like_BNC.shape[-1], like_BNC.device
    quarter = math.ceil(channels / 4)
    steps = torch.arange(quarter, device=device, dtype=torch.float32)
    frequency = 10_000.0 ** (-steps / quarter)

    def waves(count: int) -> torch.Tensor:
        angle = torch.arange(count, device=device, dtype=torch.float32)[:, None] * frequency
        return torch.cat([angle.sin(), angle.cos()], dim=1)

    rows = waves(height)[:, None].expand(height, width, -1)
    columns = waves(width)[None].expand(height, width, -1)
    both = torch.cat([rows, columns], dim=-1).flatten(0, 1)
    return both[:, :channels].to(like_BNC.dtype)


def build(channels: int, options: Options) -> nn.Module:
    """Self-attention over `channels`.

    heads x head width is the width of queries, keys and values: `head_dim` sets the width of
    a head, `dim` the width of all heads together; with neither, a head has channels / heads.
    Keras' MultiHeadAttention(heads, key_dim=C) is head_dim = "channels".
    Raises ConfigError when the heads do not divide the width, or dim contradicts head_dim.
    """
    where, heads, dim = "model.attention", options.heads, options.dim
    head_dim = channels if options.head_dim == "channels" else options.head_dim
    if head_dim is not None and dim not in (None, heads * head_dim):
        raise ConfigError(
            f"`{where}.dim={dim}` is not heads x head_dim = {heads * head_dim}; "
            f"give one of them and set {where}.dim=null or {where}.head_dim=null"
        )
    width = dim or channels
    if head_dim is None and width % heads:
        divisors = [n for n in range(1, min(width, 64) + 1) if width % n == 0]
        key = "the backbone's channels" if dim is None else f"{where}.dim"
        raise ConfigError(
            f"`{where}.heads={heads}` does not divide {key} = {width}; "
            f"give heads of {', '.join(map(str, divisors))}, or set {where}.head_dim"
        )
    return SelfAttention(channels, head_dim or width // heads, options)
