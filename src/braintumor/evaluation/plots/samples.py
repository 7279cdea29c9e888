"""What the pictures of each class look like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.overlay import as_rgb
from braintumor.evaluation.plots.style import LIGHT, Theme

# N images, S image size px, K classes


def draw_samples(
    images: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    per_class: int = 6,
    theme: Theme = LIGHT,
) -> Figure:
    """A row a class, with images taken evenly from first to last.

    images: uint8 (N, S, S) or (N, S, S, 3).  labels: int (N,) in [0, K).
    """
    with style.using(theme):
        figure, frames = style.picture_grid(len(classes), per_class, 1.3, 1.3, caption=0.34)
        for k, name in enumerate(classes):
            own = np.flatnonzero(labels == k)
            taken = own[np.linspace(0, len(own) - 1, min(per_class, len(own))).round().astype(int)]
            row = frames[k * per_class : (k + 1) * per_class]
            for axes, index in zip(row, taken, strict=False):
                axes.imshow(as_rgb(images[index]), interpolation="bilinear", aspect="auto")
            title = f"{style.label(name)} ({len(own):,} images)"
            row[0].text(0, 1.04, title, transform=row[0].transAxes, weight="bold")
        figure.text(0.01, 0.995, "Samples of each class", weight="bold", size=11, va="top")
    return figure
