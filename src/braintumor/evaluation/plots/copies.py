"""Pairs of images that show the same picture, side by side, for a person to judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.overlay import as_rgb
from braintumor.evaluation.plots.style import LIGHT, Theme

# N images, S image size px, P pairs

_COLUMNS = 4
_COUNT = 24


def choose_pairs(table: pd.DataFrame, count: int = _COUNT) -> pd.DataFrame:
    """At most `count` pairs worth a look, in the order shown.

    table: as `data.audit.describe_pairs` gives it.  A third contradict each other in label, a
    third lead into the test split, and the rest are those that are least alike, where a mistake
    of the search would stand; the most alike of each picture are left out.
    """
    near = table[table["kind"].isin(("same picture", "mirror image"))]
    near = near.drop_duplicates("path_a").sort_values("correlation", kind="stable")
    conflicts = table[~table["same_label"]].head(count // 3)
    crossing = near[near["crosses_test"]]
    crossing = crossing.iloc[
        np.linspace(0, len(crossing) - 1, min(count // 3, len(crossing))).astype(int)
    ]
    chosen = pd.concat([conflicts, crossing, near, table])
    return chosen[~chosen.index.duplicated()].head(count)


def draw_copies(
    images: np.ndarray, paths: pd.Series, table: pd.DataFrame, *, theme: Theme = LIGHT
) -> Figure:
    """A cell a pair: both images as they are, what kind of copy, how alike, labels and splits.

    images: uint8 (N, S, S) or (N, S, S, 3).  paths: of the images, in their order.
    table: the pairs, P rows as `choose_pairs` gives them; without one the figure says so.
    """
    row_of = {path: row for row, path in enumerate(paths)}
    rows = max(1, -(-len(table) // _COLUMNS))
    with style.using(theme):
        figure, frames = style.picture_grid(rows, _COLUMNS, 2.7, 1.35, caption=0.5)
        for axes, pair in zip(frames, table.itertuples(), strict=False):
            one, other = (as_rgb(images[row_of[p]]) for p in (pair.path_a, pair.path_b))
            axes.imshow(np.hstack([one, other]), interpolation="bilinear", aspect="auto")
            place: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom", "size": 8}
            colour = theme.ink if pair.same_label else theme.wrong
            said = f"{pair.kind}, {pair.correlation:.3f}"
            axes.text(0, 1.13, said, weight="bold", color=colour, **place)
            both = [
                f"{style.label(str(label), 14)} ({split})"
                for label, split in ((pair.label_a, pair.split_a), (pair.label_b, pair.split_b))
            ]
            axes.text(0, 1.01, both[0], color=theme.muted, **place)
            axes.text(0.5, 1.01, both[1], color=theme.muted, **place)
        title = "Pairs of copies: contradicting labels, test against training, and the least alike"
        figure.text(
            0.01, 0.995, title if len(table) else "No copies", weight="bold", size=11, va="top"
        )
    return figure
