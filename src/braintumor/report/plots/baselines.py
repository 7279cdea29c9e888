"""The model beside what comes of not looking at the brain."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braintumor.report.plots import style
from braintumor.report.plots.style import LIGHT, Theme

_PALE = 0.42  # of the colour over the paper: the bar of the clean images


def draw_floors(
    floors: pd.DataFrame,
    model_accuracy: float | None = None,
    model_clean: float | None = None,
    *,
    theme: Theme = LIGHT,
) -> Figure:
    """Bars of accuracy, the best floor first, over all images and over the clean ones.

    floors: as floors.measure_floors gives them.  model_accuracy, model_clean: of the model that
    stands above them, in [0, 1]; without the first there is no such line. Where no clean figure
    is known, or all images are clean, there is one bar a line.
    """
    ranked = floors.sort_values("accuracy", ascending=False, kind="stable")
    columns = {"all": ranked["accuracy"].tolist(), "clean": ranked["clean_accuracy"].tolist()}
    names, colours = [str(name) for name in ranked.index], [theme.muted] * len(ranked)
    if model_accuracy is not None:
        names, colours = ["the model", *names], [theme.right, *colours]
        columns["all"].insert(0, model_accuracy)
        columns["clean"].insert(0, np.nan if model_clean is None else model_clean)
    texts = {"all": f"all images ({int(floors['n'].iloc[0]):,})"}
    # where nothing is known from training, both would say the same
    if np.isfinite(columns["clean"]).any() and (floors["clean_n"] < floors["n"]).all():
        texts["clean"] = f"without a copy in training ({int(floors['clean_n'].iloc[0]):,})"
    with style.using(theme):
        names = [style.label(name) for name in names]
        figure = style.new_figure(
            max(6.4, 5.0 + style.width_of(names)), 1.5 + 0.3 * len(texts) * max(len(names), 2)
        )
        axes = figure.subplots()
        _draw_bars(axes, {which: columns[which] for which in texts}, texts, colours, theme)
        axes.set_yticks(np.arange(len(names)), names)
        if model_accuracy is not None:
            axes.get_yticklabels()[0].set_fontweight("bold")
        axes.set_ylim(len(names) - 0.45, -0.55)
        axes.set_xlim(0, 1.12)  # room for the figure behind a full bar
        axes.set_xticks(np.linspace(0, 1, 6), [f"{tick:.0%}" for tick in np.linspace(0, 1, 6)])
        style.only_grid(axes, "x")
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.set_xlabel("accuracy" if len(texts) > 1 else f"accuracy, {texts['all']}")
        axes.set_title("Accuracy of baselines that do not read the scan")
        if len(texts) > 1:
            style.legend_below(figure)
            for handle, which in zip(figure.legends[0].get_patches(), texts, strict=True):
                handle.set_facecolor(_shade(theme, theme.muted, which))  # not the model's colour
    return figure


def _draw_bars(
    axes: Axes,
    columns: dict[str, list[float]],
    texts: dict[str, str],
    colours: list[str],
    theme: Theme,
) -> None:
    height = 0.76 / len(columns)
    for number, (which, values) in enumerate(columns.items()):
        place = np.arange(len(values)) - 0.38 + (number + 0.5) * height
        shades = [_shade(theme, colour, which) for colour in colours]
        bars = axes.barh(place, np.nan_to_num(values), height * 0.9, color=shades)
        bars.set_label(texts[which])
        shown = [f"{value:.1%}" if np.isfinite(value) else "not known" for value in values]
        axes.bar_label(bars, shown, padding=3, size=8.5, color=theme.ink)


def _shade(theme: Theme, colour: str, which: str) -> tuple[float, float, float, float]:
    """The colour for all images, a paler one for the clean; opaque, or the grid shines through."""
    return style.ramp(theme, colour)(1.0 if which == "all" else _PALE)
