"""A search for settings: what each trial scored, and which settings mattered."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from braintumor.report.plots import style
from braintumor.report.plots.style import Palette


@style.using()
def draw_search(trials: pd.DataFrame, metric: str, *, is_lower_better: bool) -> Figure:
    """A dot a trial in the order of their numbers, and the best of those until then as a line.

    trials: trial (from 1), state (complete | cut short | …) and value; rows without a value are
    left out.
    """
    known = trials[np.isfinite(trials["value"].astype(float))]
    figure = style.new_figure(8.4, 3.6)
    axes = figure.subplots()
    for state, words, colour, marker in (
        ("cut short", "cut short: its last value", Palette.muted, "x"),
        ("complete", "trained to its end", Palette.right, "o"),
    ):
        rows = known[known["state"] == state]
        axes.scatter(rows["trial"], rows["value"], s=30, color=colour, marker=marker, label=words)
    ended = known[known["state"] == "complete"]
    if len(ended):
        best = ended["value"].cummin() if is_lower_better else ended["value"].cummax()
        numbers, values = [*ended["trial"], trials["trial"].max() + 0.5], [*best, best.iloc[-1]]
        axes.step(numbers, values, where="post", color=Palette.wrong, label="best until then")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    better = "less" if is_lower_better else "more"
    axes.set(xlabel="trial", ylabel=f"{metric} ({better} is better)", title="Trials")
    style.legend_below(figure)
    return figure


@style.using()
def draw_importance(importance: Mapping[str, float]) -> Figure:
    """A bar a setting, the most important on top. importance: shares, which sum to 1."""
    names = sorted(importance, key=lambda name: importance[name])
    values = [importance[name] for name in names]
    texts = [style.label(name, 60) for name in names]
    figure = style.new_figure(4.6 + style.width_of(texts), 1.3 + 0.36 * len(names))
    axes = figure.subplots()
    bars = axes.barh(texts, values, color=Palette.right, height=0.6)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=4, size=8.5)
    style.only_grid(axes, "x")
    axes.set(xlim=(0, 1), xlabel="share of the differences between trials")
    axes.set_title("Which settings mattered")
    return figure
