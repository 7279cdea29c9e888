"""What is kept of a decoded picture to recognise it again, and what is odd about it."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from PIL import Image as pil

from braintumor.data.images import resize

# h, w height and width of a picture in its file, T side of a thumbnail, in px

THUMBNAIL_PX = 64

_BLANK_STD = 2.0  # grey levels of 255
_COLOUR_SPREAD = 48  # between channels; JPEG makes up to about 20 of a grey picture
_COLOUR_SHARE = 0.001  # of all pixels; a coloured arrow or a ruler is more
_NEAR, _TWO_LEVELS = 8, 0.99  # grey levels that JPEG moves an end by; the share at the ends
_LIT, _BRIGHT = 0.15, 0.5  # of the brightest pixel: not air; as bright as burnt-in letters
_LETTERS = (3, 60)


class Fingerprint(NamedTuple):
    """Of one picture. thumbnail: uint8 (T, T), grey, stretched to a square.

    quality_flags: among "blank", "colour", "text in the margin" and that of outlines.
    """

    pixel_sha256: str
    thumbnail: np.ndarray
    quality_flags: tuple[str, ...]


def fingerprint(pixels: np.ndarray) -> Fingerprint:
    """Of a decoded picture, uint8 (h, w) or (h, w, 3)."""
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    grey = pixels if pixels.ndim == 2 else np.asarray(pil.fromarray(pixels).convert("L"))
    thumbnail = resize(grey, THUMBNAIL_PX, "stretch")
    return Fingerprint(digest.hexdigest(), thumbnail, _quality_flags(pixels, thumbnail))


def _quality_flags(pixels: np.ndarray, thumbnail: np.ndarray) -> tuple[str, ...]:
    if thumbnail.std() < _BLANK_STD:
        return ("blank",)
    if _is_outline(pixels):
        return ("of two grey levels, as outlines are",)
    found: tuple[str, ...] = ()
    brightest = pixels
    if pixels.ndim == 3:
        brightest = pixels.max(axis=2)
        spread = brightest - pixels.min(axis=2)
        found = ("colour",) if (spread > _COLOUR_SPREAD).mean() > _COLOUR_SHARE else ()
    return (*found, "text in the margin") if _has_text_in_margin(brightest) else found


def _is_outline(pixels: np.ndarray) -> bool:
    """Whether nearly all is as dark or as bright as can be."""
    top = int(pixels.max())
    is_end = (pixels <= _NEAR) | (pixels >= top - _NEAR)
    return top > 4 * _NEAR and bool(is_end.mean() > _TWO_LEVELS)


def _has_text_in_margin(grey: np.ndarray) -> bool:
    """Whether a few small bright marks stand beside the head: letters, the ticks of a scale.

    Many of them are speckle, not text. A hint for the reader, right in about two of three.
    """
    # for which a start with known pictures would wait
    from scipy import ndimage

    top = max(int(grey.max()), 1)
    marks, count = ndimage.label(grey > _LIT * top)
    if count < min(_LETTERS):
        return False
    area = np.bincount(marks.ravel())
    area[0] = 0
    small = np.flatnonzero((area >= 6) & (area <= 0.004 * grey.size))
    if len(small) < min(_LETTERS):
        return False
    boxes = ndimage.find_objects(marks)
    head = boxes[area.argmax() - 1]
    letters = 0
    for k in small:
        box = boxes[k - 1]
        is_beside = any(
            own.start >= of_head.stop or own.stop <= of_head.start
            for own, of_head in zip(box, head, strict=True)
        )
        letters += is_beside and grey[box].max() > _BRIGHT * top
    return min(_LETTERS) <= letters <= max(_LETTERS)
