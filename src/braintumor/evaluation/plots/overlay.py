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
    heat = np.clip(np.nan_to_num(heatmap.astype(np.float32)), 0, 1)[..., None]
    colour = _COLOURS[(heat[..., 0] * 255).astype(np.uint8)]
    mixed = as_rgb(image) / 255 * (1 - _STRONGEST * heat) + colour * (_STRONGEST * heat)
    return (mixed * 255).round().astype(np.uint8)
