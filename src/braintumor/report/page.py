"""What any page needs: templates in which every value is escaped, figures and pictures as text.

One file holds all it shows.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from braintumor.errors import some
from braintumor.report import texts
from braintumor.report.plots.style import elide, png_of, to_png

# S image size px

FOLDER = Path(__file__).parent
WEBP = "data:image/webp;base64,"
_PNG = "data:image/png;base64,"
_FILTERS = (  # of texts
    "accuracy_ci", "accuracy_with_ci", "interval", "number", "percent", "which_split", "width",
)  # fmt: skip
_WIDEST_PX = 1500  # of an inlined picture


def environment() -> jinja2.Environment:
    """Jinja2 for pages: escapes what it is given, and refuses what it does not know."""
    jinja = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: texts.isolated(value) if type(value) is str else value,
    )
    jinja.filters |= {
        "elide": elide,
        "some": some,
        **{name: getattr(texts, name) for name in _FILTERS},
    }
    jinja.globals["inlined"] = inlined
    return jinja


def sentences(template: str, **values: Any) -> dict[str, str]:
    """The variables that a template sets, as texts again: who prints them escapes them."""
    jinja = environment()
    jinja.finalize = None  # the page does it, and a console would show the marks
    made = vars(jinja.get_template(template).make_module(values))
    return {name: text.unescape().strip() for name, text in made.items() if name[0] != "_"}


def inlined(*files: str) -> tuple[str, str]:
    """Our own style sheets or script, as they are, and the hash that the policy of a page names."""
    text = "".join((FOLDER / file).read_text(encoding="utf-8") for file in files)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), digest  # noqa: S704 (our own files)


@dataclass(frozen=True)
class Chart:
    """A picture of a page: PNG bytes.

    file: its name in the folder of the page, where it is written too.
    is_drawing: lines and letters on light paper, which the style sheet makes light on dark where
        the screen is dark; photographs stay as they are.
    """

    title: str
    alt: str
    png: bytes
    file: str | None = None
    is_drawing: bool = False

    @cached_property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        with self._opened() as picture:
            return picture.size

    @cached_property
    def source(self) -> str:
        """A drawing stays PNG; a grid of photographs becomes WebP, a tenth of the size."""
        if len(self.png) < 200_000:
            return _PNG + base64.b64encode(self.png).decode()
        with self._opened() as picture:
            return WEBP + webp(np.asarray(picture.convert("RGB")), _WIDEST_PX, 85)

    def _opened(self) -> Image.Image:
        return Image.open(io.BytesIO(self.png), formats=["PNG"])


def draw_chart(title: str, alt: str, figure: Figure, file: str | None = None) -> Chart:
    """A drawing as a chart."""
    return Chart(title, alt, to_png(figure), file, is_drawing=True)


def inlined_image(image: np.ndarray, largest_px: int, quality: int) -> str:
    """A picture, uint8 (S, S) or (S, S, 3|4), as WebP of at most `largest_px` a side."""
    return WEBP + webp(image, largest_px, quality)


def inlined_drawing(image: np.ndarray) -> str:
    """A picture of few colours, uint8 (h, w, 3|4), as PNG: every pixel stays as it is."""
    return _PNG + base64.b64encode(png_of(image, compress_level=6)).decode()


def webp(image: np.ndarray, largest_px: int, quality: int, effort: int = 4) -> str:
    """WebP in base64, without the prefix. effort: 0 quick to 6 small."""
    picture = Image.fromarray(image)
    picture.thumbnail((largest_px, largest_px), Image.Resampling.LANCZOS)  # or as it is
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=effort)
    return base64.b64encode(buffer.getvalue()).decode()


def as_markdown(table: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """The table as GitHub Markdown under its notes; empty columns are left out.

    >>> table = pd.DataFrame({"run": ["a|b"], "accuracy": [0.5], "note": [None]})
    >>> print(as_markdown(table), end="")
    | run | accuracy |
    |---|---:|
    | a\\|b | 0.5000 |
    """

    def cell(value: Any) -> str:
        if pd.isna(value):
            return ""
        if isinstance(value, float):
            is_whole = value == round(value) and abs(value) > 1
            return f"{value:.0f}" if is_whole else texts.number(value)
        return escaped(value)

    shown = table.dropna(axis="columns", how="all")
    is_number = [pd.api.types.is_numeric_dtype(dtype) for dtype in shown.dtypes]
    rows = [map(escaped, shown.columns), *(map(cell, row) for row in shown.itertuples(index=False))]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("---:" if number else "---" for number in is_number) + "|")
    return "\n".join([*(f"{escaped(note)}\n" for note in notes), *lines]) + "\n"


def escaped(text: object) -> str:
    """Text that stays one cell of Markdown and becomes no markup.

    >>> escaped("<b>|c")
    '&lt;b&gt;\\\\|c'
    """
    return html.escape(" ".join(str(text).split()), quote=False).replace("|", "\\|")
