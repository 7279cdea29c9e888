"""Nets that turn pictures into a feature map: (B, 3, S, S) -> (B, C, h, w)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from braintumor import config as settings
from braintumor.models.backbones._backbone import Backbone
from braintumor.models.backbones._downloads import no_downloads as no_downloads

# keys of a backbone's YAML that other rooms read: run folders, data, optimizer
NOT_OPTIONS = ("label", "image_size", "lr_scale")


def build_backbone(
    options: Mapping[str, Any], image_size: int, where: str = "model.backbone"
) -> Backbone:
    """The net of `options["name"]` for pictures of `image_size` px, with its weights loaded.

    The other options go to `build(image_size=..., **options)` of backbones/<name>.py, save
    label, image_size and lr_scale, which other rooms read.
    Raises ConfigError on an unknown name or option or a size that the net cannot take,
    WeightsError when weights cannot be had or do not fit.
    """
    options = {key: value for key, value in options.items() if key not in NOT_OPTIONS}
    name = options.pop("name", None)
    build = settings.find_builder(__name__, name, f"{where}.name")
    return cast(Backbone, settings.call(build, options, where, image_size=image_size))
