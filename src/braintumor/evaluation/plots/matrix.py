"""Checkpoints against data sets as a heat map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.style import LIGHT, Theme

_LEAST = 0.25  # balanced accuracy of chance among four classes; the palest colour
_STRONG = 0.65  # share of the colour from which the paper's own tone reads better on it
_CELL = (1.7, 0.85)  # inches


def draw_matrix(table: pd.DataFrame, *, theme: Theme = LIGHT) -> Figure:
    """A row a checkpoint, a column a data set: balanced accuracy of the clean images and their n.

    table: as matrix.matrix_table gives it. Small below: the figure of all images, where it
    differs, and when it is about tumor or not only. A pair without figures stays a dash.
    """
    checkpoints, data = table["ckpt"].unique(), table["data"].unique()
    rows = {name: i for i, name in enumerate(checkpoints)}
    columns = {name: i for i, name in enumerate(data)}
    names = [style.label(name, 36) for name in checkpoints]
    with style.using(theme):
        width, height = _CELL[0] * len(data), _CELL[1] * len(checkpoints)
        figure = style.new_figure(width + 0.6 + style.width_of(names), height + 1.5)
        axes = figure.subplots()
        colours = np.tile(to_rgb(theme.grid), (len(checkpoints), len(data), 1))
        ramp = style.ramp(theme, theme.right)
        for _, row in table.iterrows():
            value = row["clean_balanced_accuracy"]
            place, ink = (rows[row["ckpt"]], columns[row["data"]]), theme.ink
            if value == value:
                share = 0.06 + 0.9 * float(np.clip((value - _LEAST) / (1 - _LEAST), 0, 1))
                colours[place] = ramp(share)[:3]
                ink = theme.paper if share > _STRONG else theme.ink
            _write_cell(axes, row, *place, ink)
        axes.imshow(colours, interpolation="nearest", aspect="auto")
        style.only_grid(axes, "none")
        axes.spines[:].set_visible(False)
        axes.set_xticks(np.arange(len(data) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(checkpoints) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=theme.paper, linewidth=3)
        axes.tick_params(which="minor", length=0)
        axes.set_xticks(range(len(data)), [style.label(name, 22) for name in data])
        axes.set_yticks(range(len(checkpoints)), names)
        axes.set_title("Balanced accuracy on images without a copy in training")
    return figure


def _write_cell(axes: Axes, row: pd.Series, i: int, j: int, ink: str) -> None:
    style_of: dict[str, Any] = {"ha": "center", "color": ink}
    if not row["n"]:
        axes.text(j, i, "–", va="center", size=12, alpha=0.6, **style_of)
        return
    value, of_all = row["clean_balanced_accuracy"], row["balanced_accuracy"]
    text = rate(value) if row["clean_n"] else "–"
    axes.text(j, i - 0.06, text, va="bottom", size=13, weight="bold", **style_of)
    below = [f"n = {row['clean_n']:,}"]
    if row["clean_n"] != row["n"]:
        below.append(f"all {rate(of_all)}, {row['n']:,}")
    if row["classes"] == 2:
        below.append("tumor or not")
    axes.text(j, i + 0.02, "\n".join(below), va="top", size=7.5, linespacing=1.25, **style_of)


def rate(value: float) -> str:
    """Three digits, and never 1.000 of what is not whole."""
    return f"{min(value, 0.999) if value < 1 else value:.3f}"
