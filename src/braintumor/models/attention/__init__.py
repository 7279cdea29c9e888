"""Modules that reweight a feature map and keep its shape: (B, C, h, w) -> (B, C, h, w).

A module may also have `forward_pooled(x) -> (B, C)`: the mean of `forward(x)` over the cells, which
is all that average pooling needs, and which costs less where linear layers can follow the mean.
With `takes_pooled = True` that method also takes the mean of a map, (B, C), in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from braintumor import config as settings
from braintumor.errors import ConfigError


def build_attention(
    options: Mapping[str, Any], channels: int, where: str = "model.attention"
) -> nn.Module:
    """The module of `options["name"]`, for maps of `channels` channels.

    The other options go to `build(channels, **options)` of attention/<name>.py.
    Raises ConfigError on an unknown name, an unknown option or one that cannot be.
    """
    options = dict(options)
    name = options.pop("name", None)
    build = settings.find_builder(__name__, name, f"{where}.name")
    try:
        module: nn.Module = settings.call(build, options, where, channels=channels)
    except ConfigError as error:  # a module knows its options, and not where they stand
        raise ConfigError(str(error).replace("model.attention.", f"{where}.")) from error
    return module
