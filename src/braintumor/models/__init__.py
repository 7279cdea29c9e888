"""Pixels in, logits out: backbone -> attention -> head, each chosen by name.

What a `model` section is made of stands here, for it is told without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSections:
    """The parts of a model; each has a name, and options of what it names."""

    backbone: Mapping
    attention: Mapping
    head: Mapping


@dataclass(frozen=True)
class BackboneCommon:
    """What every backbone has, whichever it is; configs/model/backbone/ has units."""

    name: str
    image_size: int
    lr_scale: float
    label: str | None = None
