"""Runs side by side, what their accuracy costs, and checkpoints against data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from braintumor.report.plots import style
from braintumor.report.plots.style import Palette
from braintumor.report.texts import number, rate

_COLUMNS = ("val_macro_f1", "macro_f1", "accuracy")
_MARKERS = ("D", "o", "s")
_APART = 0.2  # of a line, between the dots of one configuration, so that none hides another
_LISTED = 12  # names beside the picture of costs; more would be taller than it
_BESIDE, _DIGIT, _LINE = 6, 5, 11  # points: from a dot to its number; of a letter; of a line
_LEAST = 0.25  # balanced accuracy of chance among four classes; the palest colour
_STRONG = 0.65  # share of the colour from which the paper's own tone reads better on it
_CELL = (1.7, 0.85)  # inches


@style.using()
def draw_comparison(board: pd.DataFrame, *, by: str = "validation") -> Figure:
    """A line a configuration in the order of the board: figures on validation and on test.

    board: as Comparison.board. The thin line behind a dot is the interval (`_low`, `_high`), the
    thicker one a standard deviation either way (`_std`), where there are such columns.
    A configuration without figures keeps its line, and its status stands in the place of the dots.
    """
    rows, splits = np.arange(len(board)), board["split"].dropna()
    split = style.label(splits.iloc[0]) if len(splits) else "test"
    texts = ["macro F1 on validation", f"macro F1 on {split}", f"accuracy on {split}"]
    texts[0 if by == "validation" else 1] += " (sorted by this)"
    colours = (Palette.muted, Palette.right, Palette.series[2])
    names = [style.label(name, 60) for name in board["run"]]
    figure = style.new_figure(6.6 + style.width_of(names), 1.7 + 0.5 * max(len(board), 2))
    axes = figure.subplots()
    for i, column in enumerate(_COLUMNS):
        values = _numbers(board, column)
        place = rows + (i - 1) * _APART
        _draw_spread(axes, board, column, place, colours[i])
        dots: dict[str, Any] = {"color": colours[i], "marker": _MARKERS[i]}
        axes.scatter(values, place, label=texts[i], s=38, zorder=3, alpha=0.9, **dots)
    _write_values(axes, board)
    axes.annotate(
        "accuracy", (1.01, 1), xycoords="axes fraction", va="bottom", size=8,
        color=Palette.muted,
    )  # fmt: skip
    axes.set_yticks(rows, names, size=8)
    axes.set_ylim(len(board) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    cut = "; the axis does not start at 0" if axes.get_xlim()[0] > 0 else ""
    axes.set_xlabel(f"share in [0, 1]{cut}")
    axes.set_title(f"Ranked by {'validation' if by == 'validation' else split}")
    style.legend_below(figure)
    return figure


def _draw_spread(
    axes: Axes, board: pd.DataFrame, column: str, place: np.ndarray, colour: str
) -> None:
    """The interval of the images as a thin line, one standard deviation of the seeds as a thick."""
    value, spread = _numbers(board, column), _numbers(board, f"{column}_std")
    low, high = _numbers(board, f"{column}_low"), _numbers(board, f"{column}_high")
    for left, right, width, alpha in (
        (low, high, 1.1, 0.75),
        (value - spread, value + spread, 4, 0.35),
    ):
        known = np.isfinite(left) & np.isfinite(right)
        axes.hlines(
            place[known], left[known], right[known], colors=colour, linewidth=width, alpha=alpha
        )


def _write_values(axes: Axes, board: pd.DataFrame) -> None:
    for row, (value, status) in enumerate(
        zip(_numbers(board, "accuracy"), board["status"].fillna("no figures"), strict=True)
    ):
        known = np.isfinite(value)
        text = number(value) if known else style.label(status)
        axes.annotate(
            text, (1.01, row), xycoords=("axes fraction", "data"), va="center", size=8.5,
            color=Palette.ink if known else Palette.wrong,
        )  # fmt: skip


def _numbers(board: pd.DataFrame, column: str) -> np.ndarray:
    """The column as float (N,); NaN where there is none."""
    if column not in board:
        return np.full(len(board), np.nan)
    return pd.to_numeric(board[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)


@style.using()
def draw_pareto(board: pd.DataFrame) -> Figure:
    """Accuracy against training images/s and against parameters; a dot a configuration.

    board: as Comparison.board; the number at a dot is the row from 1. On the stepped line are
    those that nobody beats in both. A configuration without a figure is left out.
    """
    names = [f"{n}  {style.label(name, 60)}" for n, name in enumerate(board["run"], start=1)]
    names = [*names[:_LISTED], *([f"… and {len(names) - _LISTED} more"] * (len(names) > _LISTED))]
    beside = 0.4 + style.width_of(names)
    figure = style.new_figure(8.4 + beside, max(3.9, 1.2 + 0.22 * len(names)))
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_cost(left, board, "images_per_s", more_is_better=True)
    left.set_xlabel("images/s in training (more is better)")
    left.set_ylabel("accuracy")
    left.set_title("Accuracy against speed")
    _draw_cost(right, board, "parameters", more_is_better=False)
    right.set_xlabel("parameters (fewer is better)")
    right.set_title("Accuracy against size")
    right.annotate(
        "\n".join(names), (1.04, 1), xycoords="axes fraction", va="top", size=8.5,
        linespacing=1.5, color=Palette.ink,
    )  # fmt: skip
    FigureCanvasAgg(figure).draw()  # from here on it is known what lies where
    for axes, column in ((left, "images_per_s"), (right, "parameters")):
        _write_numbers(axes, _numbers(board, column), _numbers(board, "accuracy"))
    return figure


def _write_numbers(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """The number of each row beside its dot; of dots that lie together one text, "1, 3".

    x, y: of all rows, NaN where there is none.
    """
    x = np.where(x > 0, x, np.nan)
    at = axes.transData.transform(np.stack([x, y], axis=1)) * 72 / axes.figure.dpi
    groups: list[list[int]] = []
    for row in np.flatnonzero(np.isfinite(at).all(axis=1)):
        own = [int(row)]
        while near := [group for group in groups if _would_meet(at, own, group)]:
            own = sorted(sum(near, own))
            groups = [group for group in groups if group not in near]
        groups.append(own)
    for own in groups:
        axes.annotate(
            _numbered(own), (x[own].max(), y[own].mean()), (_BESIDE, 0), va="center", zorder=4,
            textcoords="offset points", size=8, weight="bold", color=Palette.ink,
        )  # fmt: skip


def _numbered(rows: Sequence[int]) -> str:
    return ", ".join(str(row + 1) for row in rows[:4]) + ", …" * (len(rows) > 4)


def _would_meet(at: np.ndarray, *groups: Sequence[int]) -> bool:
    """Whether dots and text of one group would cover those of the other. at: in points."""
    boxes = []
    for own in groups:
        (left, low), (right, high) = at[own].min(axis=0), at[own].max(axis=0)
        right += 2 * _BESIDE + _DIGIT * len(_numbered(own))
        boxes.append((left, low - _LINE / 2, right, high + _LINE / 2))
    a, b = boxes
    return bool(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def on_front(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Which are beaten by nobody: bool (N,). Less cost and more value are better.

    One is beaten by another that is as good in both and better in one.
    """
    as_good = (cost[:, None] <= cost) & (value[:, None] >= value)
    better = (cost[:, None] < cost) | (value[:, None] > value)
    return np.asarray(~(as_good & better).any(axis=0))


def _draw_cost(axes: Axes, board: pd.DataFrame, column: str, *, more_is_better: bool) -> None:
    x, y = _numbers(board, column), _numbers(board, "accuracy")
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (x > 0))
    if not len(known):
        axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=Palette.muted)
        axes.set_xticks([])
        return
    axes.set_xscale("log")
    axes.set_autoscalex_on(False)  # _name_ticks sets the limits, also where there is one x alone
    is_best = on_front(-x[known] if more_is_better else x[known], y[known])
    front = known[is_best][np.argsort(x[known][is_best])]
    axes.step(
        x[front], y[front], where="pre" if more_is_better else "post",
        color=Palette.right, linewidth=1.2, alpha=0.7,
    )  # fmt: skip
    ends = np.stack([_numbers(board, f"accuracy_{end}") for end in ("low", "high")])
    ranged = known[np.isfinite(ends[:, known]).all(axis=0)]
    axes.errorbar(
        x[ranged], y[ranged], yerr=np.abs(ends[:, ranged] - y[ranged]), fmt="none",
        ecolor=Palette.muted, elinewidth=1, alpha=0.6,
    )  # fmt: skip
    colours = [Palette.right if best else Palette.muted for best in is_best]
    axes.scatter(x[known], y[known], s=36, color=colours, zorder=3, edgecolors=Palette.paper)
    axes.margins(y=0.16)
    _name_ticks(axes, x[known])


def _name_ticks(axes: Axes, x: np.ndarray) -> None:
    """At most five round numbers of the logarithmic axis, as 1.5 M and not as powers."""
    low, high = np.log10(x.min()) - 0.2, np.log10(x.max()) + 0.2
    steps = (1, 2, 5) if high - low < 2.2 else (1,)
    round_ones = [
        s * 10.0**e for e in range(int(np.floor(low)), int(np.ceil(high)) + 1) for s in steps
    ]
    ticks = [t for t in round_ones if 10**low <= t <= 10**high]
    ticks = ticks[:: -(-len(ticks) // 5) or 1]
    axes.set_xlim(10**low, 10**high)
    axes.set_xticks(ticks, [_short(t) for t in ticks])
    axes.set_xticks([], minor=True)


def _short(number: float) -> str:
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


@style.using()
def draw_matrix(table: pd.DataFrame) -> Figure:
    """A row a checkpoint, a column a data set: balanced accuracy of the clean images and their n.

    table: by cross_dataset.matrix_table. Small below: the figure of all images, where it
    differs, and when it is about tumor or not only. A pair without figures stays a dash.
    """
    rows, columns = table["ckpt"].unique().tolist(), table["data"].unique().tolist()
    names = [style.label(name, 36) for name in rows]
    width, height = _CELL[0] * len(columns), _CELL[1] * len(rows)
    figure = style.new_figure(width + 0.6 + style.width_of(names), height + 1.5)
    axes = figure.subplots()
    colours = np.tile(to_rgb(Palette.grid), (len(rows), len(columns), 1))
    ramp = style.ramp(Palette.right)
    for _, row in table.iterrows():
        value = row["clean_balanced_accuracy"]
        place, ink = (rows.index(row["ckpt"]), columns.index(row["data"])), Palette.ink
        if value == value:
            share = 0.06 + 0.9 * float(np.clip((value - _LEAST) / (1 - _LEAST), 0, 1))
            colours[place] = ramp(share)[:3]
            ink = Palette.paper if share > _STRONG else Palette.ink
        _write_cell(axes, row, *place, ink)
    style.draw_cells(axes, colours, aspect="auto")
    axes.set_xticks(range(len(columns)), [style.label(name, 22) for name in columns])
    axes.set_yticks(range(len(rows)), names)
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
