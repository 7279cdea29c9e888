"""What every backbone is, beyond a module: its width, its scaling, its stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in 0..1, as torchvision gives them
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Base of the backbones: normalised float (B, 3, S, S) -> (B, channels, *map_size_px).

    mean, std: of RGB in 0..1, what the net's input is normalised with.
    stages: the net cut from input to output into lists of modules; what is frozen is a
        number of stages counted from the input.
    pretrained: whether weights were loaded.
    image_size: side of the pictures in px, that `map_size_px` belongs to.
    resolved: options that build the same net again where the weights file is absent, such as
        pad_type and mean taken from the .json beside it.
    """

    def __init__(
        self,
        *,
        channels: int,
        map_size_px: tuple[int, int],
        image_size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        stages: list[list[nn.Module]],
        pretrained: bool,
        resolved: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.channels, self.map_size_px, self.image_size = channels, map_size_px, image_size
        self.mean, self.std = mean, std
        # a plain list: the modules are registered where they belong, and a deep copy of the
        # backbone copies them once
        self.stages = stages
        self.pretrained = pretrained
        self.resolved = dict(resolved)

    def forward(self, x_B3SS: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError
