"""What accuracy costs: accuracy against speed, and against size."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braintumor.report.plots import style
from braintumor.report.plots.style import LIGHT, Theme

_LISTED = 12  # names beside the picture; more would be taller than it


def draw_pareto(board: pd.DataFrame, *, theme: Theme = LIGHT) -> Figure:
    """Accuracy against training images/s and against parameters; a dot a configuration.

    board: columns run, accuracy, images_per_s, parameters and, where known, accuracy_low and
    accuracy_high; the number in a dot is the row from 1. On the stepped line are those that
    nobody beats in both. A configuration without a figure is left out.
    """
    names = [f"{n}  {style.label(name, 34)}" for n, name in enumerate(board["run"], start=1)]
    names = [*names[:_LISTED], *([f"… and {len(names) - _LISTED} more"] * (len(names) > _LISTED))]
    with style.using(theme):
        beside = 0.4 + style.width_of(names)
        figure = style.new_figure(8.4 + beside, max(3.9, 1.2 + 0.22 * len(names)))
        left, right = figure.subplots(1, 2, sharey=True)
        _draw(left, board, "images_per_s", theme, more_is_better=True)
        left.set_xlabel("images/s in training (more is better)")
        left.set_ylabel("accuracy")
        left.set_title("Accuracy against speed")
        _draw(right, board, "parameters", theme, more_is_better=False)
        right.set_xlabel("parameters (fewer is better)")
        right.set_title("Accuracy against size")
        right.annotate(
            "\n".join(names), (1.04, 1), xycoords="axes fraction", va="top", size=8.5,
            linespacing=1.5, color=theme.ink,
        )  # fmt: skip
    return figure


def on_front(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Which are beaten by nobody: bool (N,). Less cost and more value are better.

    One is beaten by another that is as good in both and better in one.
    """
    as_good = (cost[:, None] <= cost) & (value[:, None] >= value)
    better = (cost[:, None] < cost) | (value[:, None] > value)
    return np.asarray(~(as_good & better).any(axis=0))


def _draw(
    axes: Axes, board: pd.DataFrame, column: str, theme: Theme, *, more_is_better: bool
) -> None:
    x = pd.to_numeric(board[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    y = pd.to_numeric(board["accuracy"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (x > 0))
    if not len(known):
        axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=theme.muted)
        axes.set_xticks([])
        return
    axes.set_xscale("log")
    axes.set_autoscalex_on(False)  # _name_ticks sets the limits, also where there is one x alone
    is_best = on_front(-x[known] if more_is_better else x[known], y[known])
    front = known[is_best]
    front = front[np.argsort(x[front])]
    axes.step(
        x[front], y[front], where="pre" if more_is_better else "post",
        color=theme.right, linewidth=1.2, alpha=0.7,
    )  # fmt: skip
    if "accuracy_low" in board:
        _draw_intervals(axes, board.iloc[known], x[known], y[known], theme)
    for i, best in zip(known, is_best, strict=True):
        colour = theme.right if best else theme.muted
        axes.scatter(x[i], y[i], s=190, color=colour, zorder=3, edgecolors=theme.paper)
        axes.annotate(
            str(i + 1), (x[i], y[i]), ha="center", va="center_baseline", size=8, zorder=4,
            color=theme.paper, weight="bold",
        )  # fmt: skip
    axes.margins(y=0.16)
    _name_ticks(axes, x[known])


def _draw_intervals(
    axes: Axes, board: pd.DataFrame, x: np.ndarray, y: np.ndarray, theme: Theme
) -> None:
    ends = board[["accuracy_low", "accuracy_high"]].to_numpy(dtype=float, na_value=np.nan)
    known = np.isfinite(ends).all(axis=1)
    reach = np.abs(ends[known].T - y[known])
    axes.errorbar(
        x[known], y[known], yerr=reach, fmt="none", ecolor=theme.muted, elinewidth=1, alpha=0.6
    )


def _name_ticks(axes: Axes, x: np.ndarray) -> None:
    """At most five round numbers of the logarithmic axis, as 1.5 M and not as powers."""
    low, high = np.log10(x.min()) - 0.2, np.log10(x.max()) + 0.2
    steps = (1, 2, 5) if high - low < 2.2 else (1,)
    round_ones = [
        s * 10.0**e for e in range(int(np.floor(low)), int(np.ceil(high)) + 1) for s in steps
    ]
    ticks = [t for t in round_ones if 10**low <= t <= 10**high]
    ticks = ticks[:: -(-len(ticks) // 5) or 1] if ticks else []
    axes.set_xlim(10**low, 10**high)
    axes.set_xticks(ticks, [_short(t) for t in ticks])
    axes.set_xticks([], minor=True)


def _short(number: float) -> str:
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"
