"""What is kept of a picture to recognise it again: hashes, a thumbnail, and what looks odd."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as pil
from scipy import fft, ndimage

from braintumor.data.images import resize

# N images, h, w height and width of the picture in its file, T side of a thumbnail in px

THUMBNAIL_PX = 64

_HASH_SIDE = 16  # 256 bits; with 64 no radius parts copies from neighbouring slices
_BLOCK = 512  # thumbnails that are hashed at a time
_BLANK_STD = 2.0  # grey levels of 255
_COLOUR_SPREAD = 48  # between channels; JPEG makes up to about 20 of a grey picture
_COLOUR_SHARE = 0.001  # of all pixels; a coloured arrow or a ruler is more
_LIT, _BRIGHT = 0.15, 0.5  # of the brightest pixel: not air; as bright as burnt-in letters
_LETTERS = (3, 60)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One picture, recognisable.

    pixel_sha256: of the decoded pixels, so a file stored anew without loss has the same.
    thumbnail: uint8 (T, T), grey, stretched to a square.
    quality_flags: among "blank", "colour", "text in the margin".
    """

    pixel_sha256: str
    thumbnail: np.ndarray
    quality_flags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """The fingerprints of N images, a column each.

    pixel_sha256: str (N,).  thumbnails: uint8 (N, T, T).  quality_flags: N tuples of words.
    """

    pixel_sha256: np.ndarray
    thumbnails: np.ndarray
    quality_flags: tuple[tuple[str, ...], ...]


def fingerprint(pixels: np.ndarray) -> Fingerprint:
    """Of a decoded picture, uint8 (h, w) or (h, w, 3)."""
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    grey = pixels if pixels.ndim == 2 else np.asarray(pil.fromarray(pixels).convert("L"))
    thumbnail = resize(grey, THUMBNAIL_PX, "stretch")
    return Fingerprint(digest.hexdigest(), thumbnail, _quality_flags(pixels, thumbnail))


def phashes(thumbnails: np.ndarray) -> np.ndarray:
    """Perceptual hashes of uint8 (N, T, T), 256 bits as 64 hex characters each: str (N,).

    The signs of the lowest 16 x 16 cosine frequencies about their median; those of
    imagehash.phash(hash_size=16), which takes one picture at a time and five times as long.
    Source: Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions, 3.2.1.
    """
    hashes: list[str] = []
    for start in range(0, len(thumbnails), _BLOCK):
        block = thumbnails[start : start + _BLOCK].astype(np.float64)
        rows = fft.dct(block, axis=1)[:, :_HASH_SIDE]
        low = fft.dct(rows, axis=2)[:, :, :_HASH_SIDE].reshape(len(block), -1)
        bits = np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)
        hashes.extend(row.tobytes().hex() for row in bits)
    return np.array(hashes, dtype="U64")


def hash_words(hashes: Sequence[str] | np.ndarray) -> np.ndarray:
    """Perceptual hashes, 64 hex characters each -> uint64 (N, 4). Raises ValueError on others."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(len(hashes), 4)


def hamming(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits that differ between each of one and each of other, uint64 (B, W) and (N, W): (B, N).

    >>> hamming(np.array([[0], [7]], np.uint64), np.array([[1]], np.uint64))
    array([[1],
           [2]], dtype=uint16)
    """
    distance = np.zeros((len(one), len(other)), np.uint16)
    for w in range(one.shape[1]):
        distance += np.bitwise_count(one[:, None, w] ^ other[None, :, w])
    return distance


def _quality_flags(pixels: np.ndarray, thumbnail: np.ndarray) -> tuple[str, ...]:
    if thumbnail.std() < _BLANK_STD:
        return ("blank",)
    found = []
    if pixels.ndim == 3:
        spread = pixels.max(axis=2).astype(np.int16) - pixels.min(axis=2)
        if (spread > _COLOUR_SPREAD).mean() > _COLOUR_SHARE:
            found.append("colour")
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    if _has_text_in_margin(grey):
        found.append("text in the margin")
    return tuple(found)


def _has_text_in_margin(grey: np.ndarray) -> bool:
    """Whether a few small bright marks stand beside the head: letters, the ticks of a scale.

    Many of them are speckle, not text. A hint for the reader, right in about two of three.
    """
    top = max(int(grey.max()), 1)
    marks, count = ndimage.label(grey > _LIT * top)
    if count < min(_LETTERS):
        return False
    area = np.bincount(marks.ravel())
    area[0] = 0
    boxes = ndimage.find_objects(marks)
    head_rows, head_columns = boxes[area.argmax() - 1]
    letters = 0
    for k in np.flatnonzero((area >= 6) & (area <= 0.004 * grey.size)):
        rows, columns = boxes[k - 1]
        is_beside = (
            rows.start >= head_rows.stop
            or rows.stop <= head_rows.start
            or columns.start >= head_columns.stop
            or columns.stop <= head_columns.start
        )
        letters += is_beside and grey[rows, columns].max() > _BRIGHT * top
    return min(_LETTERS) <= letters <= max(_LETTERS)
