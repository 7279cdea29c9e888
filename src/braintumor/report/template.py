"""What any page needs: templates in which every value is escaped, and pictures as text.

One file holds all it shows.
"""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from braintumor.report.plots.style import elide

# S image size px

FOLDER = Path(__file__).parent
WEBP = "data:image/webp;base64,"
_WIDEST_PX = 1500  # of an inlined picture


@dataclass(frozen=True)
class Chart:
    """A picture of a page: PNG bytes for light paper and, where it has one, for dark.

    file: name of the light one in the folder of the page, where it is written too.
    """

    title: str
    alt: str
    light: bytes
    dark: bytes | None = None
    file: str | None = None


def environment() -> jinja2.Environment:
    """Jinja2 for pages: escapes what it is given, and refuses what it does not know."""
    jinja = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters["elide"] = elide
    return jinja


def policy_hash(text: str) -> str:
    """SHA-256 in base64: what the policy of a page asks of its own style or script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def inlined_chart(chart: Chart) -> dict[str, Any]:
    """What the template needs of a chart: title, alt, width and height in px, light, dark."""
    with Image.open(io.BytesIO(chart.light), formats=["PNG"]) as picture:
        width, height = picture.size
    return {
        "title": chart.title,
        "alt": chart.alt,
        "width": width,
        "height": height,
        "light": _inlined(chart.light),
        "dark": _inlined(chart.dark) if chart.dark else None,
    }


def inlined_image(image: np.ndarray, largest_px: int, quality: int) -> str:
    """A picture, uint8 (S, S) or (S, S, 3|4), as WebP of at most `largest_px` a side."""
    return WEBP + webp(Image.fromarray(image), largest_px, quality)


def webp(picture: Image.Image, largest_px: int, quality: int, effort: int = 4) -> str:
    """WebP in base64, without the prefix. effort: 0 quick to 6 small."""
    if max(picture.size) > largest_px:
        picture = picture.copy()
        picture.thumbnail((largest_px, largest_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=effort)
    return base64.b64encode(buffer.getvalue()).decode()


def _inlined(png: bytes) -> str:
    """A drawing stays PNG; a grid of photographs becomes WebP, a tenth of the size."""
    if len(png) < 200_000:
        return "data:image/png;base64," + base64.b64encode(png).decode()
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        return WEBP + webp(picture.convert("RGB"), _WIDEST_PX, 85)
