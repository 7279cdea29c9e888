"""Pictures with their answers and heat maps, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braintumor.records import Predictions
from braintumor.report.plots import style
from braintumor.report.plots.style import LIGHT

# N images, S image size px, K classes

STRONGEST = 0.72  # share of colour where the heat is 1: the anatomy still shows through
_PER_CLASS, _COLUMNS = 6, 4  # samples of a class, examples in a row
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


def heat_layer(heatmap: np.ndarray, strongest: float = STRONGEST) -> np.ndarray:
    """The heat alone, to be laid over the slice by who shows it: uint8 (S, S, 4), RGBA.

    heatmap: float (S, S) in [0, 1]; NaN is no heat.
    strongest: the cover where the heat is 1, below which it falls in proportion. `overlay` is
    this layer over the slice, so both look alike.
    """
    heat = np.clip(np.nan_to_num(heatmap.astype(np.float32)), 0, 1)
    colour = _COLOURS[(heat * 255).astype(np.uint8)]
    layer = np.concatenate([colour, strongest * heat[..., None]], axis=-1)
    return (layer * 255).round().astype(np.uint8)


def draw_samples(images: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Figure:
    """A row a class, with images taken evenly from first to last.

    images: uint8 (N, S, S) or (N, S, S, 3).  labels: int (N,) in [0, K).
    """
    with style.using(LIGHT):
        figure, frames = style.picture_grid(len(classes), _PER_CLASS, 1.3, 1.3, caption=0.34)
        for k, name in enumerate(classes):
            own = np.flatnonzero(labels == k)
            taken = own[np.linspace(0, len(own) - 1, min(_PER_CLASS, len(own))).round().astype(int)]
            row = frames[k * _PER_CLASS : (k + 1) * _PER_CLASS]
            for axes, index in zip(row, taken, strict=False):
                axes.imshow(as_rgb(images[index]), interpolation="bilinear", aspect="auto")
            title = f"{style.label(name)} ({len(own):,} images)"
            row[0].text(0, 1.04, title, transform=row[0].transAxes, weight="bold")
        style.write_title(figure, "Samples of each class")
    return figure


def draw_examples(
    predictions: Predictions,
    images: np.ndarray,
    indices: Sequence[int],
    heatmaps: Mapping[int, np.ndarray],
) -> Figure:
    """A grid of slices with truth, prediction and probability; wrong ones first, framed orange.

    images: uint8 (N, S, S) or (N, S, S, 3).  heatmaps: index -> float (S, S) in [0, 1]; a slice
    that has one is shown twice, plain and with the heat over it.
    """
    is_right = predictions.predicted == predictions.labels
    cells = sorted(indices, key=lambda i: bool(is_right[i]))
    wide = 2 if heatmaps else 1
    rows = max(1, -(-len(cells) // _COLUMNS))
    with style.using(LIGHT):
        figure, frames = style.picture_grid(rows, _COLUMNS, 1.55 * wide, 1.55, caption=0.42)
        for axes, index in zip(frames, cells, strict=False):
            picture = as_rgb(images[index])
            if index in heatmaps:
                picture = np.hstack([picture, overlay(images[index], heatmaps[index])])
            is_alone = wide == 2 and index not in heatmaps
            axes.imshow(picture, interpolation="bilinear", aspect="equal" if is_alone else "auto")
            axes.set_anchor("W")  # a slice alone fills half of its frame
            _caption(axes, predictions, index, 13 * wide)
        wrong = sum(not is_right[i] for i in cells)
        said = f"{wrong} wrong, worst first, and {len(cells) - wrong} right predictions"
        style.write_title(figure, said)
    return figure


def _caption(axes: Axes, predictions: Predictions, index: int, longest: int) -> None:
    truth, guess = int(predictions.labels[index]), int(predictions.predicted[index])
    names = [style.label(name, longest) for name in predictions.classes]
    mark, colour = ("✓", LIGHT.right) if truth == guess else ("✗", LIGHT.wrong)
    place: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom", "size": 8}
    said = f"{mark} {names[guess]} {predictions.probs[index, guess]:.2f}"
    axes.text(0, 1.1, said, color=colour, weight="bold", **place)
    axes.text(0, 1.01, f"true: {names[truth]}", color=LIGHT.muted, **place)
