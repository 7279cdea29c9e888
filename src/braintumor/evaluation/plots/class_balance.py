"""How many images of each class stand in each split."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.style import LIGHT, Theme

_ORDER = ("train", "val", "test")


def draw_class_balance(manifest: pd.DataFrame, *, theme: Theme = LIGHT) -> Figure:
    """Bars of counts, a group a class and a bar a split.

    manifest: columns label and split (others are not read).
    """
    counts = pd.crosstab(manifest["label"].astype(str), manifest["split"].fillna("no split"))
    splits = sorted(counts.columns, key=lambda s: (_ORDER.index(s) if s in _ORDER else 9, s))
    height = 0.8 / len(splits)
    with style.using(theme):
        names = [style.label(name) for name in counts.index]
        figure = style.new_figure(6.4 + style.width_of(names), 1.5 + max(0.85 * len(counts), 1.2))
        axes = figure.subplots()
        rows = np.arange(len(counts))
        for number, split in enumerate(splits):
            place = rows - 0.4 + (number + 0.5) * height
            text = f"{style.label(split)} ({counts[split].sum():,})"
            colour = theme.series[number % len(theme.series)]
            bars = axes.barh(place, counts[split], height * 0.92, color=colour, label=text)
            axes.bar_label(
                bars,
                [f"{amount:,}" for amount in counts[split]],
                padding=3,
                size=8.5,
                color=theme.ink,
            )
        axes.set_yticks(rows, names)
        axes.invert_yaxis()
        style.only_grid(axes, "x")
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.09)
        axes.set_xlabel("images")
        axes.set_title(f"Classes and splits ({len(manifest):,} images)")
        style.legend_below(figure)
    return figure
