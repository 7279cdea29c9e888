"""The leaderboard as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.style import LIGHT, Theme


def draw_comparison(table: pd.DataFrame, *, theme: Theme = LIGHT) -> Figure:
    """A line a run in the order of the table: validation macro F1 beside the figures on test.

    table: as compare.compare_runs gives it. A run without figures keeps its line, and its
    status stands in the place of the dots.
    """
    shown = {"val_macro_f1": "D", "macro_f1": "o", "accuracy": "s"}
    split = _split(table)
    texts = (
        "macro F1 on validation (sorted by this)", f"macro F1 on {split}", f"accuracy on {split}"
    )  # fmt: skip
    colours = (theme.muted, theme.right, theme.series[2])
    rows = np.arange(len(table))
    with style.using(theme):
        names = [f"{style.label(m, 32)}\n{style.label(r, 40)}" for m, r in _names(table)]
        figure = style.new_figure(
            6.6 + style.width_of("\n".join(names).split("\n")), 1.7 + 0.42 * max(len(table), 2)
        )
        axes = figure.subplots()
        for column, text, colour in zip(shown, texts, colours, strict=True):
            values = pd.to_numeric(table[column], errors="coerce")
            dots: dict[str, Any] = {
                "color": colour,
                "marker": shown[column],
                "label": text,
                "s": 46,
                "zorder": 3,
            }
            axes.scatter(values, rows, alpha=0.9, **dots)
        _write_values(axes, table, theme)
        axes.annotate(
            "accuracy", (1.01, 1), xycoords="axes fraction", va="bottom", size=8, color=theme.muted
        )
        axes.set_yticks(rows, names, size=8)
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("share in [0, 1]; the axis does not start at 0")
        axes.set_title("Runs, ranked by validation")
        style.legend_below(figure)
    return figure


def _write_values(axes: Axes, table: pd.DataFrame, theme: Theme) -> None:
    values = pd.to_numeric(table["accuracy"], errors="coerce")
    for row, (value, status) in enumerate(
        zip(values, table["status"].fillna("no figures"), strict=True)
    ):
        known = np.isfinite(value)
        text = f"{value:.4f}" if known else style.label(status)
        axes.annotate(
            text, (1.01, row), xycoords=("axes fraction", "data"), va="center", size=8.5,
            color=theme.ink if known else theme.wrong,
        )  # fmt: skip


def _split(table: pd.DataFrame) -> str:
    splits = [str(s) for s in table["split"].dropna()]
    return style.label(splits[0]) if splits else "test"


def _names(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["model"].fillna("").astype(str), table["run"].astype(str), strict=True))
