"""Any net of timm as a backbone, without its classifier.

Source: Wightman, PyTorch Image Models, https://github.com/huggingface/pytorch-image-models
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from braintumor.errors import WeightsError, first_line
from braintumor.models.backbones import Backbone, _probe, _weights
from braintumor.ranges import Rgb, RgbAboveZero

# B batch, S side of the picture, C channels, h w height and width of the map, N tokens


class TimmBackbone(Backbone):
    """`forward_features` of a timm net as a map: float (B, 3, S, S) -> (B, C, h, w)."""

    def __init__(self, net: nn.Module, shape: _probe.Shape, **about: Any) -> None:
        super().__init__(channels=shape.channels, map_size_px=shape.map_size_px, **about)
        self.net, self.layout, self.num_prefix = net, shape.layout, shape.num_prefix

    def forward(self, x_B3SS: torch.Tensor) -> torch.Tensor:
        features = self.net.forward_features(x_B3SS)  # type: ignore[operator]
        if self.layout == "map":
            return features
        if self.layout == "map_last":
            return features.permute(0, 3, 1, 2)
        tokens_BNC = features[:, self.num_prefix :]  # class and register tokens have no place
        return tokens_BNC.transpose(1, 2).unflatten(2, self.map_size_px)


def build(
    *,
    image_size: int,
    timm_name: str | None,
    weights: str,
    mean: Rgb | None,
    std: RgbAboveZero | None,
    pad_type: str | None,
    bn_eps: float | None,
) -> TimmBackbone:
    """The timm net `timm_name` ("resnet50" or with a tag, "resnet50.a1_in1k").

    weights: imagenet (timm's pretrained file of that tag), none, or FILE.safetensors.
    mean, std of RGB in 0..1, pad_type, bn_eps: null takes them from the .json beside the
    file, else from timm.
    Raises ConfigError for an unknown name or a picture too small, WeightsError for weights.
    """
    name = _probe.check_timm_name(timm_name)
    source: Any = _probe.timm.models.get_pretrained_cfg(name)  # every net of timm has one
    file = None if weights in ("imagenet", "none") else _weights.read_weights(weights, name)
    if file is not None:
        pad_type, bn_eps = pad_type or file.pad_type, bn_eps or file.bn_eps
        mean, std = mean or file.mean, std or file.std
    kwargs: dict[str, Any] = {"pad_type": pad_type, "bn_eps": bn_eps}
    if source.fixed_input_size:
        kwargs["img_size"] = image_size  # position embeddings are made, or resampled, to this
    shape = _probe.dry_run(name, image_size, tuple(kwargs.items()))
    if weights == "imagenet":
        net = _pretrained(name, source, kwargs, shape.unused)
    else:
        # VGG's fully connected layers hold 120 of its 138 million values and are dropped: where no
        # file must fit them, they need not be made
        small = {"mlp_ratio": 1 / 4096} if name.startswith("vgg") else {}
        net = _probe.create(name, kwargs | small, num_classes=0)
    for path in dict(net.named_modules()).keys() & set(shape.unused):
        net.set_submodule(path, nn.Identity())
    if file is not None:
        _weights.load_into(net, file, droppable=shape.unused)
    mean, std = mean or tuple(source.mean), std or tuple(source.std)
    # the last modules of the stages, as timm knows them
    info = getattr(net, "feature_info", None) or []
    ends = [entry["module"] for entry in getattr(info, "info", info) if entry.get("module")]
    return TimmBackbone(
        net,
        shape,
        image_size=image_size,
        mean=mean,
        std=std,
        stages=_probe.cut_stages(net, ends),
        resolved={
            "weights": "none", "mean": list(mean), "std": list(std),
            "pad_type": pad_type, "bn_eps": bn_eps,
        },
    )  # fmt: skip


def _pretrained(
    name: str, source: Any, kwargs: dict[str, Any], unused: tuple[str, ...]
) -> nn.Module:
    """The net with all of timm's weights; with its classifier, which makes timm load strictly."""
    path = _weights.fetch_pretrained(name, source)
    overlay = {"file": str(path)} | ({} if path.suffix == ".npz" else {"custom_load": False})
    with _missing_keys() as missing:
        try:
            net = _probe.create(name, kwargs, pretrained=True, pretrained_cfg_overlay=overlay)
        except (SafetensorError, RuntimeError, OSError, KeyError) as error:
            reason = first_line(error)
            raise WeightsError(
                f"the weights of `{name}` at {path} do not load ({reason}); remove that file and "
                "run again with network, or give model.backbone.weights=FILE.safetensors"
            ) from error
    missing = [key for key in missing if not key.startswith(tuple(f"{u}." for u in unused))]
    if missing:
        raise WeightsError(
            f"the weights of `{name}` at {path} lack a part of the net ({', '.join(missing[:3])}); "
            "choose another tag of model.backbone.timm_name, or weights=FILE.safetensors"
        )
    return net


@contextmanager
def _missing_keys() -> Iterator[list[str]]:
    """Names that a file lacked: some families load loosely, and timm only logs what was missing."""
    names: list[str] = []
    logger = logging.getLogger("timm.models._builder")

    def note(record: logging.LogRecord) -> bool:
        found = re.match(r"Missing keys \((.*?)\)", record.getMessage())
        names.extend(found.group(1).split(", ") if found else ())
        return record.levelno >= logging.WARNING

    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addFilter(note)
    try:
        yield names
    finally:
        logger.removeFilter(note)
        logger.setLevel(level)
