"""The one look of all pictures, on light paper; pages turn it round on a dark screen.

pyplot and its global state are never touched. Names come from files and folders of strangers, so
nothing is ever read as mathematics or TeX, and `label` makes any name short and drawable.
"""

from __future__ import annotations

import functools
import io
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from braintumor.report.plots import fonts
from braintumor.report.texts import isolated

DPI = 150
PNG_EFFORT = 4  # of 9: drawings as small as with 6, photographs a tenth larger, in half the time


class Palette:
    """Colours of all pictures. Series follow Okabe & Ito (2008): told apart by every eye."""

    paper, ink, muted, grid = "#ffffff", "#1b2430", "#5d6878", "#e4e8ee"
    right, wrong = "#0072b2", "#d55e00"  # what is correct: blue; what is not: vermilion
    series = (right, wrong, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_LINES = ("-", "--", ":", "-.")
_log = logging.getLogger(__name__)


@contextmanager
def using() -> Iterator[None]:
    """Draw inside this: our colours, sizes and fonts, and no mathematics in texts."""
    look = Palette
    settings: dict[Any, Any] = {
        "text.parse_math": False, "text.usetex": False, "axes.formatter.use_mathtext": False,
        # a tick is its whole number, never "+9.7e-1" beside the axis
        "axes.formatter.useoffset": False, "axes.formatter.limits": (-12, 12),
        "font.family": fonts.families(), "font.size": 9.5, "text.color": look.ink,
        "figure.facecolor": look.paper, "savefig.facecolor": look.paper, "savefig.dpi": "figure",
        "axes.facecolor": look.paper, "axes.edgecolor": look.muted, "axes.labelcolor": look.ink,
        "axes.titlecolor": look.ink, "axes.titlelocation": "left", "axes.titlesize": 11,
        "axes.titleweight": "bold", "axes.titlepad": 9, "axes.spines.top": False,
        "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
        "grid.color": look.grid, "grid.linewidth": 0.8, "lines.linewidth": 1.8,
        "xtick.color": look.muted, "xtick.labelcolor": look.ink, "xtick.major.size": 0,
        "ytick.color": look.muted, "ytick.labelcolor": look.ink, "ytick.major.size": 0,
        "legend.frameon": False, "legend.fontsize": 9,
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of width x height inches that keeps its texts inside the paper."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.14, h_pad=0.14)  # type: ignore[union-attr, call-arg]
    return figure


def picture_grid(
    rows: int, columns: int, width: float, height: float, caption: float
) -> tuple[Figure, list[Axes]]:
    """Frames of width x height inches without axes, row by row, each below a caption's space.

    caption: inches above every frame. The top of the figure keeps room for a title.
    """
    gap, title = 0.14, 0.32
    across = gap + columns * (width + gap)
    down = title + rows * (height + caption) + gap
    figure = Figure(figsize=(across, down), dpi=DPI)
    frames = []
    for row in range(rows):
        for column in range(columns):
            left = gap + column * (width + gap)
            bottom = down - title - (row + 1) * (height + caption)
            box = (left / across, bottom / down, width / across, height / down)
            frames.append(figure.add_axes(box))
            frames[-1].set_axis_off()
    return figure, frames


def write_title(figure: Figure, text: str) -> None:
    """Above a grid of pictures."""
    figure.text(0.01, 0.995, text, weight="bold", size=11, va="top")


def to_png(figure: Figure) -> bytes:
    """The figure as PNG bytes at 150 dpi."""
    with using():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # once, where savefig would draw what it lays out twice
    # no date and no version: the same figure gives the same bytes
    return png_of(np.asarray(canvas.buffer_rgba()), dpi=(DPI, DPI))


def png_of(pixels: np.ndarray, **options: Any) -> bytes:
    """The picture as PNG bytes. options: Pillow's, of the format."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **{"compress_level": PNG_EFFORT, **options})
    return buffer.getvalue()


def line_style(k: int) -> dict[str, Any]:
    """Colour and dash of series k; both change, so that no two of the first 24 look alike."""
    count = len(Palette.series)
    return {"color": Palette.series[k % count], "linestyle": _LINES[k // count % len(_LINES)]}


def ramp(colour: str) -> LinearSegmentedColormap:
    """Colour map from the paper (0) to the colour (1)."""
    return LinearSegmentedColormap.from_list("ramp", [Palette.paper, colour])


def label(name: str, longest: int = 40) -> str:
    """The name as a picture can show it: one line, at most `longest` characters, drawable.

    Long names lose their middle, since classes and files differ at both ends. Control and
    direction marks, and characters that no font here knows, become one replacement mark a run.
    """
    # Printed last to first, a right-to-left mark could make "gpj.exe" out of an honest name.
    shown = "".join(c if fonts.is_drawable(c) else _UNKNOWN for c in str(name))
    return isolated(elide(re.sub(f"{_UNKNOWN}+", _UNKNOWN, shown), longest))


def class_labels(classes: Sequence[str], longest: int = 40) -> list[str]:
    """Names of classes as a picture can show them, no two alike.

    Where a name has letters that no font here draws, or two would look the same, each begins with
    its number among the classes from 1, and a name without any letter is its number alone.
    """
    shown = [label(name, longest) for name in classes]
    if not _lack_letters(tuple(classes)) and len(set(shown)) == len(shown):
        return shown
    return [
        f"{k}: {name}" if any(map(str.isalnum, name)) else f"class {k}"
        for k, name in enumerate(shown, start=1)
    ]


def about_numbers(classes: Sequence[str]) -> str:
    """What the numbers in pictures stand for; empty where pictures show every name."""
    if class_labels(classes) == [label(name) for name in classes]:
        return ""
    numbered = ", ".join(f"{k} {elide(name)}" for k, name in enumerate(classes, start=1))
    return f"pictures show these classes by number: {numbered}"


@functools.cache
def _lack_letters(classes: tuple[str, ...]) -> bool:
    """Whether no font here draws some letter of some name; the log then says so, once."""
    letters = {c for name in classes for c in str(name) if fonts.is_shown(c)}
    if all(map(fonts.is_drawable, letters)):
        return False
    numbered = ", ".join(f"{k} {name}" for k, name in enumerate(classes, start=1))
    _log.warning(
        "no font on this computer draws all class names, so pictures show numbers: %s", numbered
    )
    return True


def width_of(names: Iterable[str]) -> float:
    """Inches that the longest of the names takes in the size of tick labels."""
    font = next(iter(fonts.wanted().values()))
    font.set_size(9.5, 72)
    longest = 0.0
    for name in names:
        # A wide letter stands for what only another font has.
        font.set_text("".join(c if font.get_char_index(ord(c)) else "W" for c in name))
        longest = max(longest, float(font.get_width_height()[0]) / 64 / 72)
    return longest


def elide(name: str, longest: int = 40) -> str:
    """The name with its middle left out when it has more than `longest` characters.

    >>> elide("Tr-glioma_0123456789.jpg", 12)
    'Tr-glio….jpg'
    """
    if len(name) <= longest:
        return name
    head = (longest - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (longest - 1 - head) :]}"


def legend_below(figure: Figure) -> None:
    """One legend for all axes under them, in as many columns as its longest text allows."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    width = width_of(names) + 0.75  # the sample of the line, and the space between columns
    columns = max(1, min(len(names), int(figure.get_figwidth() / width)))
    figure.legend(handles, names, loc="outside lower left", ncols=columns, borderaxespad=0.8)


def only_grid(axes: Axes, which: Literal["x", "y"]) -> None:
    """Keep the grid of one axis."""
    axes.grid(visible=False)
    axes.grid(visible=True, axis=which)


def draw_cells(axes: Axes, colours: np.ndarray, **how: Any) -> None:
    """A table of cells with white lines between them. colours: float (rows, columns, 3)."""
    axes.imshow(colours, interpolation="nearest", **how)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    # the lines are a grid of the minor ticks
    axes.set_xticks(np.arange(colours.shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(colours.shape[0] + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=Palette.paper, linewidth=3)
    axes.tick_params(which="minor", length=0)
