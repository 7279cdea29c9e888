"""predictions.html: what a model answers on pictures that have no labels, for people who check it.

As comparison.html the page runs no script and loads nothing, and Jinja2 escapes every value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from braintumor.report.page import environment, inlined_drawing, inlined_image
from braintumor.report.plots.pictures import heat_layer, is_coarse, overlay
from braintumor.report.texts import percent
from braintumor.statistics.decisions import NO_TUMOR, Decisions

# N pictures, h w a picture's own shape

MOST_PICTURES = 200  # on a page; 200 of 384 px and their heat take about 4 MB
PICTURE_PX, HEAT_PX = 384, 96  # longest side on the page; heat comes from a map of few cells
UNDECIDED = "undecided"  # how a note begins
_FLAGS = (  # column of predictions.csv, its value, what is said of such a picture
    ("foreign", True, "foreign: not like the training images"),
    ("upside_down", True, "looks upside down"),
    ("answered", False, "not sure enough: leave it to a person"),
)


@dataclass(frozen=True, eq=False)
class Illustration:
    """A picture at its own shape, uint8 (h, w[, 3]), and its heat, float (h, w); None: not made.

    cells: rows and columns of the map that the heat comes from.
    """

    picture: np.ndarray
    heat: np.ndarray | None
    cells: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class PredictionsPage:
    """All that the page says.

    table: N rows, as `unlabelled_table` gives them with the decisions.
    illustrations: row -> what is shown of it.
    model, data: what answered, and what it was trained on.
    cam: method of the heat maps.  decisions: None where the training did not end.
    unreadable: (name, reason) of what was left out.
    """

    table: pd.DataFrame
    illustrations: Mapping[int, Illustration]
    model: str
    data: str
    cam: str
    decisions: Decisions | None
    unreadable: Sequence[tuple[str, str]]


def top_probability(table: pd.DataFrame) -> np.ndarray:
    """The probability of each answer: float (N,)."""
    return table.filter(regex="^prob_").to_numpy(dtype=float).max(axis=1)


def notes_of(row: Mapping[Hashable, Any], decisions: Decisions | None) -> list[str]:
    """What is to be said of one picture beside its answer, in a few words each.

    row: of the table.  It is undecided where the threshold says another thing than the answer.
    """
    notes = [said for name, value, said in _FLAGS if row.get(name) == value]
    called = row.get("is_tumor")
    if decisions and called is not None and (row["pred"] != NO_TUMOR) != called:
        sure, limit = _both(row["tumor_prob"], decisions.threshold)
        side = "above" if called else "below"
        notes.insert(0, f"{UNDECIDED}: tumors together {sure}, {side} the threshold {limit}")
    return notes


def doubt_of(table: pd.DataFrame) -> np.ndarray:
    """How little each answer is worth, float (N,) in [0, 1]: 1 minus its probability.

    1 where the picture is unlike those of the training: how sure the answer looks says nothing.
    """
    names = [name for name in ("foreign", "upside_down") if name in table]
    is_void = table[names].eq(True).any(axis=1)
    return np.where(is_void, 1.0, (1 - top_probability(table)).round(9))


def doubtful(table: pd.DataFrame, count: int) -> list[int]:
    """The `count` most doubtful rows, which a person should look at first; of equals in order."""
    return [int(i) for i in np.argsort(-doubt_of(table), kind="stable")[:count]]


def render_predictions(page: PredictionsPage) -> str:
    """The page as text: the pictures and then all rows, the most doubtful first."""
    records, doubts = page.table.to_dict("records"), doubt_of(page.table)
    rows = [
        _row(i, records[i] | {"doubt": doubts[i]}, page) for i in doubtful(page.table, len(records))
    ]
    flags = {said: sum(said in row["notes"] for row in rows) for _, _, said in _FLAGS}
    ramp = np.tile(np.linspace(0, 1, 192), (14, 1))
    has_calls = "is_tumor" in page.table
    cells = next((one.cells for one in page.illustrations.values() if one.cells), ())
    return (
        environment()
        .get_template("predictions.html.j2")
        .render(
            rows=rows,
            shown=[row for row in rows if row["picture"]],
            answers=Counter(page.table["pred"]).most_common(),
            called=int(page.table["is_tumor"].sum()) if has_calls else None,
            undecided=Counter(bool(row["is_tumor"]) for row in rows if row["is_undecided"]),
            flags={said: count for said, count in flags.items() if count},
            has_heat=any(row["heat"] for row in rows),
            cells=cells,
            is_coarse=is_coarse(cells),
            is_attention=page.cam == "attention",
            scale=inlined_image(overlay(np.full((14, 192), 60, np.uint8), ramp), 192, 90),
            about=page,
            fitted=page.decisions,
        )
    )


def _row(index: int, row: Mapping[Hashable, Any], page: PredictionsPage) -> dict[Hashable, Any]:
    probs = {str(name)[5:]: row[name] for name in row if str(name).startswith("prob_")}
    shown = page.illustrations.get(index)
    heat = shown.heat if shown else None
    notes = notes_of(row, page.decisions)
    return {
        **row,
        "number": index + 1,
        "probability": percent(probs[row["pred"]]),
        "doubt": percent(row["doubt"]),
        "others": sorted(probs.items(), key=lambda item: -item[1]),
        "is_undecided": bool(notes) and notes[0].startswith(UNDECIDED),
        "notes": notes,
        "picture": inlined_image(shown.picture, PICTURE_PX, 75) if shown else None,
        "size": shrunk(shown.picture.shape, PICTURE_PX) if shown else None,
        "heat": None if heat is None else inlined_drawing(heat_layer(heat)),
    }


def shrunk(shape: Sequence[int], longest_px: int) -> tuple[int, int]:
    """Height and width of a picture that is made to fit, of the same shape.

    >>> shrunk((1000, 500), 384), shrunk((30, 40), 384)
    ((384, 192), (30, 40))
    """
    scale = min(1.0, longest_px / max(shape[:2]))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def shrink(picture: np.ndarray, longest_px: int) -> np.ndarray:
    """uint8 (h, w[, 3]) at a longest side of at most `longest_px`."""
    height, width = shrunk(picture.shape, longest_px)
    if (height, width) == picture.shape[:2]:
        return picture
    made = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(made)


def _both(value: float, limit: float | None) -> tuple[str, str]:
    """Both numbers with as many digits as tell them apart."""
    limit = float("nan") if limit is None else limit
    for digits in range(2, 9):
        texts = f"{value:.{digits}f}", f"{limit:.{digits}f}"
        if texts[0] != texts[1]:
            break
    return texts
