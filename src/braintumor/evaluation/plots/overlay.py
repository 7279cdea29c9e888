"""A heat map laid over its slice."""

from __future__ import annotations

import matplotlib
import numpy as np

# S image size px

_STRONGEST = 0.72  # share of colour where the heat is 1: the anatomy still shows through
_COLOURS = np.asarray(matplotlib.colormaps["plasma"](np.linspace(0.15, 1.0, 256)))[:, :3]


def as_rgb(image: np.ndarray) -> np.ndarray:
    """uint8 (S, S, 3) of a grey uint8 (S, S) or coloured uint8 (S, S, 3) image."""
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def overlay(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """The slice with the heat over it: uint8 (S, S, 3).

    image: uint8 (S, S) or (S, S, 3).  heatmap: float (S, S) in [0, 1].
    Colour covers in proportion to the heat, so that what the model did not use stays plain
    grey; the scale rises in lightness, so that it reads without colour vision too.
    """
    layer = heat_layer(heatmap) / 255
    share = layer[..., 3:]
    mixed = as_rgb(image) / 255 * (1 - share) + layer[..., :3] * share
    return (mixed * 255).round().astype(np.uint8)


def heat_layer(heatmap: np.ndarray) -> np.ndarray:
    """The heat alone, to be laid over the slice by who shows it: uint8 (S, S, 4), RGBA.

    heatmap: float (S, S) in [0, 1]; NaN is no heat.
    Its cover rises with the heat to 0.72, where the anatomy still shows through; `overlay` is
    this layer over the slice, so both look alike.
    """
    heat = np.clip(np.nan_to_num(heatmap.astype(np.float32)), 0, 1)
    colour = _COLOURS[(heat * 255).astype(np.uint8)]
    layer = np.concatenate([colour, _STRONGEST * heat[..., None]], axis=-1)
    return (layer * 255).round().astype(np.uint8)
