"""What is known of a timm net before it is trained: its name, its map, where it may be cut.

Nothing here computes a value.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from braintumor import cache
from braintumor.eager import without_compiler
from braintumor.errors import ConfigError, first_line

with without_compiler():
    import timm

_VERSION = 1  # of what the cache holds; raise it when a dry run finds anything else
Layout = Literal["map", "map_last", "tokens"]  # (B, C, h, w), (B, h, w, C), (B, N, C)


def check_timm_name(timm_name: str | None) -> str:
    """timm_name if timm knows the net and, when there is one, its tag.

    Raises ConfigError with the nearest names. Names with a scheme ("hf-hub:...") are refused:
    what they build is decided by a file elsewhere.
    """
    key = "model.backbone.timm_name"
    if not timm_name:
        raise ConfigError(f"`{key}` is not set; give a net of timm as {key}=NAME, such as resnet18")
    name, _, tag = timm_name.partition(".")
    if not timm.is_model(name):
        raise ConfigError(f"{key}={timm_name} is not a net of timm; {_nearest(name)}")
    tags = [n.partition(".")[2] for n in timm.list_models(f"{name}.*", pretrained=True)]
    if tag and tag not in tags:
        raise ConfigError(
            f"timm has no weights `{tag}` of `{name}`; "
            f"tags: {', '.join(tags) or 'none, so leave it away'}"
        )
    return timm_name


def _nearest(name: str) -> str:
    known = timm.list_models()
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    near += [n for n in known if n.startswith(name[:4].lower()) and n not in near][: 5 - len(near)]
    if near:
        return f"did you mean {', '.join(f'`{n}`' for n in near)}?"
    return "timm.list_models() names them all"


@dataclass(frozen=True)
class Shape:
    """What a net does to a picture of one size."""

    layout: Layout
    channels: int
    map_size_px: tuple[int, int]
    num_prefix: int
    unused: tuple[str, ...]  # modules that the features do not need


@functools.cache
def dry_run(name: str, image_size: int, options: tuple[tuple[str, Any], ...]) -> Shape:
    """Run the net on the meta device, where tensors have shapes and no values: 0.3 s at most.

    options: of timm.create_model, as items.
    The gradients tell which modules have no part in the features: classifier, its norm, its
    hidden layers. Before any download, so that a wrong size is not an hour's surprise; remembered,
    for a sweep asks again and again, and kept for later runs, for what the meta device needs (sympy
    and most operations in Python) takes a second to import.
    Raises ConfigError when the net does not take the size or an option.
    """
    versions = (_VERSION, timm.__version__, torch.__version__)
    path = cache.entry_path("shapes", *versions, name, image_size, options)
    if known := cache.read_entry(path, [field.name for field in fields(Shape)]):
        known.touch()
        values: dict[str, Any] = {name: column.tolist() for name, column in known.columns.items()}
        values |= {name: tuple(v) for name, v in values.items() if isinstance(v, list)}
        return Shape(**values)
    try:
        with without_compiler():
            shape = _dry_run(name, image_size, options)
    except ImportError:  # a net that needs more of the compiler than to be left alone
        shape = _dry_run(name, image_size, options)
    cache.write_entry(path, {key: np.array(value) for key, value in asdict(shape).items()})
    return shape


def _dry_run(name: str, image_size: int, options: tuple[tuple[str, Any], ...]) -> Shape:
    with torch.device("meta"):
        net = create(name, dict(options), num_classes=1000).eval()
        try:
            features = net.forward_features(torch.zeros(1, 3, image_size, image_size))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise _bad_size(name, image_size, error) from error
        layout, map_size_px, num_prefix = _read_shape(name, net, features)
        if min(map_size_px) < 1:
            raise _bad_size(name, image_size, f"the map would be {map_size_px}")
        features.sum().backward()
    without = {n for n, p in net.named_parameters() if p.grad is None}
    unused: list[str] = []
    for path, module in net.named_modules():
        held = {f"{path}.{n}" for n, _ in module.named_parameters()}
        if path and held and held <= without and not any(path.startswith(f"{u}.") for u in unused):
            unused.append(path)
    return Shape(layout, net.num_features, map_size_px, num_prefix, tuple(unused))


def _read_shape(name: str, net: Any, features: Any) -> tuple[Layout, tuple[int, int], int]:
    shape = tuple(features.shape) if isinstance(features, torch.Tensor) else ()
    channels = getattr(net, "num_features", 0)
    if len(shape) == 4 and shape[1] == channels:
        return "map", (shape[2], shape[3]), 0
    if len(shape) == 4 and shape[3] == channels:
        return "map_last", (shape[1], shape[2]), 0
    if len(shape) == 3 and shape[2] == channels:
        num_prefix = getattr(net, "num_prefix_tokens", shape[1] - math.isqrt(shape[1]) ** 2)
        side = math.isqrt(shape[1] - num_prefix)
        if side**2 == shape[1] - num_prefix:
            return "tokens", (side, side), num_prefix
    raise ConfigError(
        f"model.backbone.timm_name={name} gives features of shape {shape or type(features)}, "
        "which are no square map; choose another net"
    )


def _bad_size(name: str, image_size: int, reason: object) -> ConfigError:
    return ConfigError(
        f"backbone `{name}` cannot take pictures of {image_size} px "
        f"({first_line(reason)}); give a larger "
        "data.image_size, or the nearest multiple of the net's patch size, such as 96, 224 or 256"
    )


def create(name: str, kwargs: dict[str, Any], **more: Any) -> Any:
    """timm.create_model; ConfigError when the net's family does not take an option."""
    try:
        return timm.create_model(name, **kwargs, **more)
    except TypeError as error:
        given = {key: value for key, value in kwargs.items() if value is not None}
        raise ConfigError(
            f"backbone `{name}` does not take {given} ({error}); "
            "leave model.backbone.pad_type and bn_eps at null, or choose another net"
        ) from error
    except AssertionError as error:
        if "img_size" not in kwargs:
            raise
        raise _bad_size(name, kwargs["img_size"], error) from error


def cut_stages(net: nn.Module, boundaries: list[str]) -> list[list[nn.Module]]:
    """Lists of modules from input to output that together hold all of `net`'s modules.

    boundaries: names of modules, each the last of its stage (timm's feature_info). What
    follows the last one, such as conv_head, joins the last stage. A boundary inside a block
    means the map at the block's entry (Xception's block2.rep.0): the cut is before the block.
    A stage without parameters joins the one before it (VGG's last pooling).
    """
    stages: list[list[nn.Module]] = [[]]
    for name, module in _units(net, "", boundaries):
        if any(boundary.startswith(f"{name}.") for boundary in boundaries):
            stages.append([])
        stages[-1].append(module)
        if name in boundaries and name != boundaries[-1]:
            stages.append([])
    merged: list[list[nn.Module]] = [[]]
    for stage in stages:
        if _has_parameters(merged[-1]) and _has_parameters(stage):
            merged.append(stage)
        else:
            merged[-1] += stage
    return merged


def _units(net: nn.Module, prefix: str, boundaries: list[str]) -> Iterator[tuple[str, nn.Module]]:
    """Children in order of definition; containers that hold a boundary are opened."""
    for name, module in net.named_children():
        path = f"{prefix}{name}"
        inside = any(boundary.startswith(f"{path}.") for boundary in boundaries)
        if inside and isinstance(module, (nn.Sequential, nn.ModuleList)):
            yield from _units(module, f"{path}.", boundaries)
        else:
            yield path, module


def _has_parameters(stage: list[nn.Module]) -> bool:
    return any(True for module in stage for _ in module.parameters())
