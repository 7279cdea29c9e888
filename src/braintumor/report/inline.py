"""Pictures as text: what lets one file hold all it shows."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

# S image size px

WEBP = "data:image/webp;base64,"
_WIDEST_PX = 1500  # of an inlined picture


@dataclass(frozen=True)
class Chart:
    """A picture of the report: PNG bytes for light paper and, where it has one, for dark."""

    title: str
    alt: str
    light: bytes
    dark: bytes | None = None


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
