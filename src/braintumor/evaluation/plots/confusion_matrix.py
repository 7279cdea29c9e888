"""Who is taken for whom: counts and shares of each true class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.style import LIGHT, Theme

# K classes


def draw_confusion_matrix(
    matrix: np.ndarray, classes: Sequence[str], *, theme: Theme = LIGHT
) -> Figure:
    """Rows are true classes. A cell shows the count and its share of the row.

    matrix: int (K, K). Right ones are blue, wrong ones orange; the wrong are shaded by the
    square root of their share, since the few errors of a good model are what matters.
    """
    count = len(classes)
    rows = matrix.sum(axis=1, keepdims=True)
    share = matrix / np.maximum(rows, 1)
    is_right = np.eye(count, dtype=bool)
    right, wrong = style.ramp(theme, theme.right), style.ramp(theme, theme.wrong)
    # The fixed part lets a single error among hundreds be seen.
    strength = np.where(matrix > 0, 0.12 + 0.78 * np.sqrt(share), 0)
    colours = np.where(is_right[..., None], right(0.85 * share), wrong(strength))[..., :3]
    longest = 40 if count <= 12 else 20
    names = [style.label(name, longest) for name in classes]
    side = max(2.4, 0.95 * count if count <= 12 else 0.45 * count)
    with style.using(theme):
        long = style.width_of(names)
        is_turned = long > 0.9 * side / count
        below = 0.6 * long if is_turned else 0.2  # sine of 35 degrees
        figure = style.new_figure(side + 1.1 + long, side + 1.3 + below)
        axes = figure.subplots()
        axes.imshow(colours, interpolation="nearest")
        style.only_grid(axes, "none")
        axes.spines[:].set_visible(False)
        # White lines between the cells: a grid of the minor ticks.
        axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=theme.paper, linewidth=3)
        axes.tick_params(which="minor", length=0)
        turn: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(count), names, **turn if is_turned else {})
        axes.set_yticks(range(count), names)
        axes.set_xlabel("predicted", labelpad=8)
        axes.set_ylabel("true", labelpad=8)
        for row in range(count):
            for column in range(count):
                _write_cell(axes, matrix, share, row, column, _ink_on(colours[row, column]))
        axes.set_title("Confusion matrix")
    return figure


def _write_cell(
    axes: Axes, matrix: np.ndarray, share: np.ndarray, row: int, column: int, ink: str
) -> None:
    amount = int(matrix[row, column])
    if len(matrix) > 12:  # no room for two lines
        axes.text(column, row, str(amount or ""), ha="center", va="center", color=ink, size=7)
        return
    faint = 1.0 if amount else 0.45
    percent = f"{share[row, column]:.1%}" if matrix[row].sum() else "no image"
    style_of: dict[str, Any] = {"ha": "center", "color": ink, "alpha": faint}
    axes.text(column, row - 0.02, f"{amount:,}", va="bottom", size=12, weight="bold", **style_of)
    axes.text(column, row + 0.08, percent, va="top", size=8, **style_of)


def _ink_on(colour: np.ndarray) -> str:
    """Black or white, whichever reads better on the colour: float (3,) in [0, 1].

    Source: relative luminance and contrast ratio of WCAG 2.2.
    """
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return "#10161f" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"
