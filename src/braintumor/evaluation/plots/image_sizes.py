"""What sizes and colour modes the files have."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.style import LIGHT, Theme

_MOST = 9  # bars of one panel; the rest is summed up


def draw_image_sizes(manifest: pd.DataFrame, *, theme: Theme = LIGHT) -> Figure:
    """How many files of each class have which size, and which colour mode.

    manifest: columns label, width, height (px) and mode. A class that has its own size or mode
    can be told by that alone: this picture shows such shortcuts.
    """
    labels = manifest["label"].astype(str)
    sizes = manifest["width"].astype(str) + " × " + manifest["height"].astype(str)
    by_size = pd.crosstab(sizes, labels)
    by_mode = pd.crosstab(manifest["mode"].astype(str), labels)
    bars = max(min(len(by_size), _MOST + 1), len(by_mode), 3)
    with style.using(theme):
        figure = style.new_figure(9.6, 1.7 + 0.36 * bars)
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _stack(left, by_size, theme)
        left.set_title(f"Width × height in px ({len(by_size):,} different)")
        _stack(right, by_mode, theme)
        right.set_title("Colour mode as stored")
        style.legend_below(figure)
    return figure


def _stack(axes: Axes, counts: pd.DataFrame, theme: Theme) -> None:
    """Bars of the commonest rows, a colour a class; counts: kind x class."""
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    shown = counts.iloc[:_MOST]
    if len(counts) > _MOST:
        rest = counts.iloc[_MOST:].sum().rename(f"{len(counts) - _MOST:,} others")
        shown = pd.concat([shown, rest.to_frame().T])
    names = [style.label(str(name), 20) for name in shown.index]
    start = pd.Series(0, index=shown.index)
    for k, label in enumerate(shown.columns):
        colour = theme.series[k % len(theme.series)]
        axes.barh(names, shown[label], 0.72, left=start, color=colour, label=style.label(label))
        start = start + shown[label]
    for row, total in enumerate(start):
        axes.annotate(f"{total:,}", (total, row), (4, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines["left"].set_visible(False)
    style.only_grid(axes, "x")
    axes.set_xlabel("images")
