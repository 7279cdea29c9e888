"""A data set in pictures: classes in each split, sizes, pairs of copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braintumor.report.plots import style
from braintumor.report.plots.pictures import as_rgb
from braintumor.report.plots.style import LIGHT

# N images, S image size px, P pairs

_ORDER = ("train", "val", "test")
_MOST = 9  # bars of one panel; the rest is summed up
_COLUMNS, _COUNT = 4, 24  # of pairs


def draw_class_balance(manifest: pd.DataFrame) -> Figure:
    """Bars of counts, a group a class and a bar a split.

    manifest: columns label and split (others are not read).
    """
    counts = pd.crosstab(manifest["label"].astype(str), manifest["split"].fillna("no split"))
    splits = sorted(counts.columns, key=lambda s: (_ORDER.index(s) if s in _ORDER else 9, s))
    height = 0.8 / len(splits)
    with style.using(LIGHT):
        names = [style.label(name) for name in counts.index]
        figure = style.new_figure(6.4 + style.width_of(names), 1.5 + max(0.85 * len(counts), 1.2))
        axes = figure.subplots()
        rows = np.arange(len(counts))
        for number, split in enumerate(splits):
            place = rows - 0.4 + (number + 0.5) * height
            text = f"{style.label(split)} ({counts[split].sum():,})"
            colour = LIGHT.series[number % len(LIGHT.series)]
            bars = axes.barh(place, counts[split], height * 0.92, color=colour, label=text)
            axes.bar_label(bars, fmt="{:,.0f}", padding=3, size=8.5, color=LIGHT.ink)
        axes.set_yticks(rows, names)
        axes.invert_yaxis()
        style.only_grid(axes, "x")
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.09)
        axes.set_xlabel("images")
        axes.set_title(f"Classes and splits ({len(manifest):,} images)")
        style.legend_below(figure)
    return figure


def draw_image_sizes(manifest: pd.DataFrame) -> Figure:
    """How many files of each class have which size, and which colour mode.

    manifest: columns label, width, height (px) and mode. A class that has its own size or mode
    can be told by that alone: this picture shows such shortcuts.
    """
    labels = manifest["label"].astype(str)
    sizes = manifest["width"].astype(str) + " × " + manifest["height"].astype(str)
    by_size = pd.crosstab(sizes, labels)
    by_mode = pd.crosstab(manifest["mode"].astype(str), labels)
    bars = max(min(len(by_size), _MOST + 1), len(by_mode), 3)
    with style.using(LIGHT):
        figure = style.new_figure(9.6, 1.7 + 0.36 * bars)
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _stack(left, by_size)
        left.set_title(f"Width × height in px ({len(by_size):,} different)")
        _stack(right, by_mode)
        right.set_title("Colour mode as stored")
        style.legend_below(figure)
    return figure


def _stack(axes: Axes, counts: pd.DataFrame) -> None:
    """Bars of the commonest rows, a colour a class; counts: kind x class."""
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    shown = counts.iloc[:_MOST]
    if len(counts) > _MOST:
        rest = counts.iloc[_MOST:].sum().rename(f"{len(counts) - _MOST:,} others")
        shown = pd.concat([shown, rest.to_frame().T])
    names = [style.label(str(name), 20) for name in shown.index]
    start = pd.Series(0, index=shown.index)
    for k, label in enumerate(shown.columns):
        colour = LIGHT.series[k % len(LIGHT.series)]
        axes.barh(names, shown[label], 0.72, left=start, color=colour, label=style.label(label))
        start = start + shown[label]
    for row, total in enumerate(start):
        axes.annotate(f"{total:,}", (total, row), (4, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines["left"].set_visible(False)
    style.only_grid(axes, "x")
    axes.set_xlabel("images")


def choose_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """At most 24 pairs worth a look, in the order shown.

    table: as `data.audit.describe_pairs` gives it.  A third contradict each other in label, a
    third lead into the test split, and the rest are those that are least alike, where a mistake
    of the search would stand; the most alike of each picture are left out.
    """
    near = table[table["kind"].isin(("same picture", "mirror image"))]
    near = near.drop_duplicates("path_a").sort_values("correlation", kind="stable")
    conflicts = table[~table["same_label"]].head(_COUNT // 3)
    crossing = near[near["crosses_test"]]
    some = np.linspace(0, len(crossing) - 1, min(_COUNT // 3, len(crossing))).astype(int)
    crossing = crossing.iloc[some]
    chosen = pd.concat([conflicts, crossing, near, table])
    return chosen[~chosen.index.duplicated()].head(_COUNT)


def draw_copies(images: np.ndarray, paths: pd.Series, table: pd.DataFrame) -> Figure:
    """A cell a pair: both images as they are, what kind of copy, how alike, labels and splits.

    images: uint8 (N, S, S) or (N, S, S, 3).  paths: of the images, in their order.
    table: the pairs, P rows as `choose_pairs` gives them; without one the figure says so.
    """
    row_of = {path: row for row, path in enumerate(paths)}
    rows = max(1, -(-len(table) // _COLUMNS))
    with style.using(LIGHT):
        figure, frames = style.picture_grid(rows, _COLUMNS, 2.7, 1.35, caption=0.5)
        for axes, pair in zip(frames, table.itertuples(), strict=False):
            one, other = (as_rgb(images[row_of[p]]) for p in (pair.path_a, pair.path_b))
            axes.imshow(np.hstack([one, other]), interpolation="bilinear", aspect="auto")
            place: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom", "size": 8}
            colour = LIGHT.ink if pair.same_label else LIGHT.wrong
            said = f"{pair.kind}, {pair.correlation:.3f}"
            axes.text(0, 1.13, said, weight="bold", color=colour, **place)
            sides: tuple[Any, ...] = (
                (0, pair.label_a, pair.split_a),
                (0.5, pair.label_b, pair.split_b),
            )
            for x, label, split in sides:
                said = f"{style.label(str(label), 14)} ({split})"
                axes.text(x, 1.01, said, color=LIGHT.muted, **place)
        title = "Pairs of copies: contradicting labels, test against training, and the least alike"
        style.write_title(figure, title if len(table) else "No copies")
    return figure
