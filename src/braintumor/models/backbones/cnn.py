"""A plain convolutional net, to be trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from braintumor.errors import ConfigError, WeightsError
from braintumor.models.attention import build_attention
from braintumor.models.backbones import IMAGENET_MEAN, IMAGENET_STD, Backbone
from braintumor.models.backbones._weights import load_into, read_weights
from braintumor.ranges import Count, ShareBelow1


class Cnn(Backbone):
    """Blocks of conv 3x3, batch norm, ReLU, [attention], max pool 2x2, dropout.

    float (B, 3, S, S) -> (B, widths[-1], S / 2^n, S / 2^n) for n blocks.
    """

    def __init__(self, blocks: list[nn.Module], **about: Any) -> None:
        super().__init__(stages=[[block] for block in blocks], **about)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x_B3SS: torch.Tensor) -> torch.Tensor:
        return self.blocks(x_B3SS)


def build(
    *,
    image_size: int,
    weights: str,
    widths: list[Count],
    dropout: ShareBelow1,
    block_attention: Mapping,
) -> Cnn:
    """The net with len(widths) blocks; every block is a stage.

    widths: channels after each block.  dropout: rate after each block, in training.
    block_attention: {name: ..., options}, after the ReLU of every block.
    weights: none, or FILE.safetensors of such a net.
    Raises ConfigError when the pictures are too small for so many blocks, WeightsError for
    weights=imagenet, which do not exist.
    """
    where = "model.backbone"
    if not widths:
        raise ConfigError(f"`{where}.widths={widths}` lists channels a block; give [32, 64, 128]")
    map_px = image_size // 2 ** len(widths)
    if map_px < 1:
        raise ConfigError(
            f"{image_size} px is too small for {len(widths)} blocks, which halve the picture each; "
            f"give data.image_size={2 ** len(widths)} or more, or fewer {where}.widths"
        )
    if weights == "imagenet":
        raise WeightsError(
            f"there are no ImageNet weights of the cnn; use {where}.weights=none to train it from "
            f"scratch, or {where}.weights=FILE.safetensors"
        )
    blocks = [
        _block(before, after, dropout, block_attention)
        for before, after in zip([3, *widths[:-1]], widths, strict=True)
    ]
    net = Cnn(
        blocks,
        channels=widths[-1],
        map_size_px=(map_px, map_px),
        image_size=image_size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        resolved={"weights": "none"},
    )
    if weights != "none":
        file = read_weights(weights, "cnn")
        load_into(net, file, droppable=())
        net.mean, net.std = file.mean or net.mean, file.std or net.std
    return net


def _block(before: int, after: int, dropout: float, attention: Mapping) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        build_attention(attention, after, "model.backbone.block_attention"),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
    )
