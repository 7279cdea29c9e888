"""Nets that turn pictures into a feature map: (B, 3, S, S) -> (B, C, h, w)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from torch import nn

from braintumor import config as settings

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in 0..1, as torchvision gives them
IMAGENET_STD = (0.229, 0.224, 0.225)
_NOT_OPTIONS = ("label", "image_size", "lr_scale")  # read by run folders, data, optimizer

# why nothing may be fetched now; None when it may
downloads_forbidden: ContextVar[str | None] = ContextVar("downloads_forbidden", default=None)


class Backbone(nn.Module):
    """Base of the backbones: normalised float (B, 3, S, S) -> (B, channels, *map_size_px).

    mean, std: of RGB in 0..1, what the net's input is normalised with.
    stages: the net cut from input to output into lists of modules; so many from the input on
        are frozen.
    image_size: side of the pictures in px, that `map_size_px` belongs to.
    resolved: options that build the same net again where the weights file is absent.
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
        resolved: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.channels, self.map_size_px, self.image_size = channels, map_size_px, image_size
        self.mean, self.std = mean, std
        # a plain list: the modules are registered where they belong, and a deep copy of the
        # backbone copies them once
        self.stages = stages
        self.resolved = dict(resolved)


def build_backbone(options: Mapping[str, Any], image_size: int) -> Backbone:
    """The net of `options["name"]` for pictures of `image_size` px, with its weights loaded.

    The other options go to `build(image_size=..., **options)` of backbones/<name>.py.
    Raises ConfigError on an unknown name or option or a size that the net cannot take,
    WeightsError when weights cannot be had or do not fit.
    """
    options = {key: value for key, value in options.items() if key not in _NOT_OPTIONS}
    where, name = "model.backbone", options.pop("name", None)
    build = settings.find_builder(__name__, name, f"{where}.name")
    return cast(Backbone, settings.call(build, options, where, image_size=image_size))


@contextmanager
def no_downloads(why: str) -> Iterator[None]:
    """Within, pretrained weights come from this machine only.

    why: for the error where they are not there; it says what the user can do.
    """
    token = downloads_forbidden.set(why)
    try:
        yield
    finally:
        downloads_forbidden.reset(token)
