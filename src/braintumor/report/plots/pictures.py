"""A data set in pictures: classes, sizes, samples, copies, and slices with their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braintumor.data.images import as_rgb
from braintumor.errors import some
from braintumor.records import Predictions
from braintumor.report.plots import style
from braintumor.report.plots.style import Palette
from braintumor.report.texts import percent

# N images, S image size px, K classes, P pairs

_COARSE = 4  # cells a side; of fewer, one alone would hide a third of a head
STRONGEST = 0.72  # share of colour where the heat is 1: the anatomy still shows through
_PER_CLASS, _COLUMNS = 6, 4  # samples of a class; examples, and pairs, in a row
_PAIRS = 24
_SPLITS = ("train", "val", "test")
_MOST = 9  # bars of one panel; the rest is summed up
_COLOURS = np.asarray(matplotlib.colormaps["plasma"](np.linspace(0.15, 1.0, 256)))[:, :3]


def overlay(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """The slice with the heat over it: uint8 (S, S, 3).

    image: uint8 (S, S) or (S, S, 3).  heatmap: float (h, w) in [0, 1], whose cells are drawn as
    coarse as they are: between them the model tells nothing.
    Colour covers in proportion to the heat, so that what the model did not use stays plain
    grey; the scale rises in lightness, so that it reads without colour vision too.
    """
    layer = heat_layer(in_cells(heatmap, image.shape[:2])) / 255
    share = layer[..., 3:]
    mixed = as_rgb(image) / 255 * (1 - share) + layer[..., :3] * share
    return (mixed * 255).round().astype(np.uint8)


def in_cells(heatmap: np.ndarray, size_px: tuple[int, ...]) -> np.ndarray:
    """The map at the size (height, width) of a picture, each cell a block of one colour."""
    rows, columns = (
        np.arange(px) * cells // px for px, cells in zip(size_px, heatmap.shape, strict=True)
    )
    return np.asarray(heatmap[np.ix_(rows, columns)])


def heat_layer(heatmap: np.ndarray, strongest: float = STRONGEST) -> np.ndarray:
    """The heat alone, to be laid over the slice by who shows it: uint8 (S, S, 4), RGBA.

    heatmap: float (S, S) in [0, 1]; NaN is no heat.
    strongest: the cover where the heat is 1, below which it falls in proportion. `overlay` is
    this layer over the slice, so both look alike.
    """
    heat = np.clip(np.nan_to_num(heatmap.astype(np.float32)), 0, 1)
    colour = _COLOURS[(heat * 255).astype(np.uint8)]
    layer = np.concatenate([colour, strongest * heat[..., None]], axis=-1)
    return (layer * 255).round().astype(np.uint8)


def is_coarse(cells: Sequence[int]) -> bool:
    """Whether a map of so many rows and columns is too coarse to cover a picture with."""
    return bool(cells) and min(cells) < _COARSE


@style.using()
def draw_samples(images: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Figure:
    """A row a class, with images taken evenly from first to last.

    images: uint8 (N, S, S) or (N, S, S, 3).  labels: int (N,) in [0, K).
    """
    figure, frames = style.picture_grid(len(classes), _PER_CLASS, 1.3, 1.3, caption=0.34)
    for k, name in enumerate(style.class_labels(classes)):
        own = np.flatnonzero(labels == k)
        taken = own[np.linspace(0, len(own) - 1, min(_PER_CLASS, len(own))).round().astype(int)]
        row = frames[k * _PER_CLASS : (k + 1) * _PER_CLASS]
        for axes, index in zip(row, taken, strict=False):
            axes.imshow(as_rgb(images[index]), interpolation="bilinear", aspect="auto")
        title = f"{name} ({some(len(own), 'image')})"
        row[0].text(0, 1.04, title, transform=row[0].transAxes, weight="bold")
    style.write_title(figure, "Samples of each class")
    return figure


@style.using()
def draw_examples(
    predictions: Predictions,
    images: np.ndarray,
    indices: Sequence[int],
    heatmaps: Mapping[int, np.ndarray],
) -> Figure:
    """A grid of slices with truth, prediction and probability; wrong ones first, framed orange.

    images: uint8 (N, S, S) or (N, S, S, 3).  heatmaps: index -> float (S, S) in [0, 1]; a slice
    that has one is shown twice, plain and with the heat over it.
    """
    is_right = predictions.predicted == predictions.labels
    cells = sorted(indices, key=lambda i: bool(is_right[i]))
    wide = 2 if heatmaps else 1
    rows = max(1, -(-len(cells) // _COLUMNS))
    figure, frames = style.picture_grid(rows, _COLUMNS, 1.55 * wide, 1.55, caption=0.42)
    for axes, index in zip(frames, cells, strict=False):
        picture = as_rgb(images[index])
        if index in heatmaps:
            picture = np.hstack([picture, overlay(images[index], heatmaps[index])])
        is_alone = wide == 2 and index not in heatmaps
        axes.imshow(picture, interpolation="bilinear", aspect="equal" if is_alone else "auto")
        axes.set_anchor("W")  # a slice alone fills half of its frame
        _caption(axes, predictions, index, 13 * wide)
    wrong = sum(not is_right[i] for i in cells)
    said = f"{wrong} wrong, worst first, and {len(cells) - wrong} right predictions"
    style.write_title(figure, said)
    return figure


def _caption(axes: Axes, predictions: Predictions, index: int, longest: int) -> None:
    truth, guess = int(predictions.labels[index]), int(predictions.predicted[index])
    names = style.class_labels(predictions.classes, longest)
    mark, colour = ("✓", Palette.right) if truth == guess else ("✗", Palette.wrong)
    place: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom", "size": 8}
    said = f"{mark} {names[guess]} {percent(predictions.probs[index, guess])}"
    axes.text(0, 1.1, said, color=colour, weight="bold", **place)
    axes.text(0, 1.01, f"true: {names[truth]}", color=Palette.muted, **place)


@style.using()
def draw_class_balance(manifest: pd.DataFrame) -> Figure:
    """Bars of counts, a group a class and a bar a split.

    manifest: columns label and split (others are not read).
    """
    counts = pd.crosstab(manifest["label"].astype(str), manifest["split"].fillna("no split"))
    splits = sorted(counts.columns, key=lambda s: (_SPLITS.index(s) if s in _SPLITS else 9, s))
    height = 0.8 / len(splits)
    names = style.class_labels(counts.index.tolist())
    figure = style.new_figure(6.4 + style.width_of(names), 1.5 + max(0.85 * len(counts), 1.2))
    axes = figure.subplots()
    rows = np.arange(len(counts))
    for number, split in enumerate(splits):
        place = rows - 0.4 + (number + 0.5) * height
        text = f"{style.label(split)} ({counts[split].sum():,})"
        colour = Palette.series[number % len(Palette.series)]
        bars = axes.barh(place, counts[split], height * 0.92, color=colour, label=text)
        axes.bar_label(bars, fmt="{:,.0f}", padding=3, size=8.5, color=Palette.ink)
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    style.only_grid(axes, "x")
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.09)
    axes.set(xlabel="images", title=f"Classes and splits ({some(len(manifest), 'image')})")
    style.legend_below(figure)
    return figure


@style.using()
def draw_image_sizes(manifest: pd.DataFrame) -> Figure:
    """How many files of each class have which size and colour mode: either can be a shortcut.

    manifest: columns label, width, height (px) and mode.
    """
    labels = manifest["label"].astype(str)
    sizes = manifest["width"].astype(str) + " × " + manifest["height"].astype(str)
    by_size = pd.crosstab(sizes, labels)
    by_mode = pd.crosstab(manifest["mode"].astype(str), labels)
    bars = max(min(len(by_size), _MOST + 1), len(by_mode), 3)
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
        rest = counts.iloc[_MOST:].sum().rename(some(len(counts) - _MOST, "other"))
        shown = pd.concat([shown, rest.to_frame().T])
    names = [style.label(str(name), 20) for name in shown.index]
    start = pd.Series(0, index=shown.index)
    classes = style.class_labels(shown.columns.tolist())
    for k, (label, text) in enumerate(zip(shown.columns, classes, strict=True)):
        colour = Palette.series[k % len(Palette.series)]
        axes.barh(names, shown[label], 0.72, left=start, color=colour, label=text)
        start = start + shown[label]
    for row, total in enumerate(start):
        axes.annotate(f"{total:,}", (total, row), (4, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines["left"].set_visible(False)
    style.only_grid(axes, "x")
    axes.set_xlabel("images")


def choose_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """At most 24 pairs of `data.audit.describe_pairs` worth a look, in the order shown.

    A third contradict each other in label, a third lead into the test split, and the rest are
    those that are least alike, where a mistake of the search would stand; the most alike of each
    picture are left out.
    """
    near = table[table["kind"].isin(("same picture", "mirror image"))]
    near = near.drop_duplicates("path_a").sort_values("correlation", kind="stable")
    conflicts = table[~table["same_label"]].head(_PAIRS // 3)
    crossing = near[near["crosses_test"]]
    some = np.linspace(0, len(crossing) - 1, min(_PAIRS // 3, len(crossing))).astype(int)
    crossing = crossing.iloc[some]
    chosen = pd.concat([conflicts, crossing, near, table])
    return chosen[~chosen.index.duplicated()].head(_PAIRS)


@style.using()
def draw_copies(images: np.ndarray, manifest: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """A cell a pair: both images as they are, what kind of copy, how alike, labels and splits.

    images: uint8 (N, S, S) or (N, S, S, 3).  manifest: columns path and label, in their order.
    table: the pairs, P rows as `choose_pairs` gives them; without one the figure says so.
    """
    row_of = {path: row for row, path in enumerate(manifest["path"])}
    classes = sorted(manifest["label"].astype(str).unique())
    name_of = dict(zip(classes, style.class_labels(classes, 14), strict=True))
    rows = max(1, -(-len(table) // _COLUMNS))
    figure, frames = style.picture_grid(rows, _COLUMNS, 2.7, 1.35, caption=0.5)
    for axes, pair in zip(frames, table.to_dict("records"), strict=False):
        both = [as_rgb(images[row_of[pair[f"path_{side}"]]]) for side in "ab"]
        axes.imshow(np.hstack(both), interpolation="bilinear", aspect="auto")
        place: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom", "size": 8}
        colour = Palette.ink if pair["same_label"] else Palette.wrong
        said = f"{pair['kind']}, {pair['correlation']:.3f}"
        axes.text(0, 1.13, said, weight="bold", color=colour, **place)
        for side, x in (("a", 0), ("b", 0.5)):
            said = f"{name_of[str(pair[f'label_{side}'])]} ({pair[f'split_{side}']})"
            axes.text(x, 1.01, said, color=Palette.muted, **place)
    title = "Pairs of copies: contradicting labels, test against training, and the least alike"
    style.write_title(figure, title if len(table) else "No copies")
    return figure
