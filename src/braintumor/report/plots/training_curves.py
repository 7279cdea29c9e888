"""Loss and accuracy over the epochs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from braintumor.report.plots import style
from braintumor.report.plots.style import LIGHT, Theme


def draw_curves(history: pd.DataFrame, *, theme: Theme = LIGHT) -> Figure:
    """Training and validation side by side, the phases and the best epoch marked.

    history: a row an epoch, columns as in records.EpochRecord (metrics.csv).
    """
    series = (
        ("train_loss", "training", theme.muted, "--"),
        ("val_loss", "validation", theme.right, "-"),
        ("train_accuracy", "training accuracy", theme.muted, "--"),
        ("val_accuracy", "validation accuracy", theme.right, "-"),
        ("val_macro_f1", "validation macro F1", theme.series[2], ":"),
    )
    epochs, last = history["epoch"], max(int(history["epoch"].max()), 2)
    marker = "o" if len(history) < 15 else None  # one epoch alone draws no line
    with style.using(theme):
        figure = style.new_figure(9.6, 4.2)
        left, right = figure.subplots(1, 2)
        for column, text, colour, line in series:
            axes = left if "loss" in column else right
            look = {"color": colour, "linestyle": line, "marker": marker, "markersize": 3.5}
            axes.plot(epochs, history[column], label=text, **look)
        left.set_title("Loss (nats)")
        left.set_ylim(bottom=0)
        right.set_title("Accuracy and macro F1")
        right.set_ylim(top=1.005)
        for axes, column in ((left, "val_loss"), (right, "val_accuracy")):
            _mark_phases(axes, history, theme)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.set_xlim(1 - 0.02 * last, last * 1.02)
            _mark_best(axes, history, column, theme)
            axes.legend(loc="best")
    return figure


def _mark_phases(axes: Axes, history: pd.DataFrame, theme: Theme) -> None:
    for phase, epoch in history.groupby("phase")["epoch"].min().items():
        if epoch > history["epoch"].min():
            axes.axvline(epoch - 0.5, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                f"phase {phase}", (epoch - 0.5, 1), (4, -4), xycoords=("data", "axes fraction"),
                textcoords="offset points", color=theme.muted, size=8, va="top",
            )  # fmt: skip


def _mark_best(axes: Axes, history: pd.DataFrame, column: str, theme: Theme) -> None:
    """A ring at the epoch whose weights were kept: the last that was the best so far."""
    best = history[history["is_best"].astype(bool)]
    if best.empty or not np.isfinite(best[column].iloc[-1]):
        return
    epoch, value = int(best["epoch"].iloc[-1]), float(best[column].iloc[-1])
    axes.plot(
        epoch, value, "o", color=theme.wrong, markersize=11, markerfacecolor="none",
        label=f"kept: epoch {epoch}",
    )  # fmt: skip
