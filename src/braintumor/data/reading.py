"""Every image of a source, read on all cores: pixels, fingerprint, or why not.

The bytes of every file are read and hashed on every run, so a changed file is noticed; what an
earlier run decoded of the same bytes is taken from the cache.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from braintumor.data.decoded import FINGERPRINTS, DecodedImages, Picture, pixels_at
from braintumor.data.fingerprints import Fingerprints, fingerprint
from braintumor.data.images import Fit, decode, resize
from braintumor.data.sources import Item, Source
from braintumor.errors import DataError
from braintumor.files import sha256_of
from braintumor.runtime import cores, in_threads

# N images, S side of the square in pixels

_BATCH = 16  # images a thread reads before it hands over; one by one costs a third of the speed
_WORTH_KEEPING_S = 2.0  # a data set that is decoded in less is decoded again rather than kept
_SEPARATOR = "|"  # of quality flags


@dataclass(frozen=True, eq=False)
class ImageInfo:
    """What the manifest says of a file's content. sha256: of its bytes."""

    sha256: str
    width: int
    height: int
    mode: str


@dataclass(frozen=True, eq=False)
class Reading:
    """All that was read.

    pixels: uint8 (N, S, S) when all images are grey, else (N, S, S, 3); readable ones only.
        Read-only: a memory map that processes share, where an earlier run had the same images.
    infos: one an item, None where it could not be read.  fingerprints: of the readable ones.
    unreadable: (path, reason).
    decoded: how many of the readable ones no earlier run had decoded.  seconds: of it all.
    """

    pixels: np.ndarray
    infos: list[ImageInfo | None]
    fingerprints: Fingerprints
    unreadable: list[tuple[str, str]]
    decoded: int
    seconds: float

    @property
    def summary(self) -> str:
        """How the images came, in a few words."""
        if self.decoded == 0:
            return f"images read in {self.seconds:.1f} s, decoded by an earlier run"
        if self.decoded == len(self.pixels):
            return f"images read and decoded in {self.seconds:.1f} s"
        part = f"{self.decoded} of {len(self.pixels)} decoded anew"
        return f"images read in {self.seconds:.1f} s, {part}"


class _Facts(NamedTuple):
    """What the cache holds of an image beside its thumbnail: as decoded.FINGERPRINTS says."""

    width: int
    height: int
    mode: str
    pixel_sha256: str
    quality_flags: str  # with _SEPARATOR between them


class _Read(NamedTuple):
    """One image after a worker thread had it. seconds: of decoding; 0 where that was known."""

    sha256: str
    pixels: Picture
    thumbnail: Picture
    seconds: float


def read_images(
    source: Source, items: Sequence[Item], size_px: int, fit: Fit, *, progress: bool
) -> Reading:
    """Decode, fingerprint and resize all items, or take them from the cache.

    Raises MachineError when the pixels do not fit into memory.
    """
    started = time.perf_counter()
    pixels = DecodedImages(pixels_at(size_px, fit), len(items))
    thumbnails = DecodedImages(FINGERPRINTS, len(items))
    hashes: list[str | None] = []
    unreadable: list[tuple[str, str]] = []
    took_s: list[float] = []
    batches = (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))

    def read_batch(batch: Sequence[Item]) -> list[_Read | str]:
        return [_read_one(source, item, pixels, thumbnails, size_px, fit) for item in batch]

    # Pillow, hashlib and read() release the GIL
    results = itertools.chain.from_iterable(in_threads(read_batch, batches))
    bar = tqdm(
        results, "reading images", len(items), unit="img", disable=None if progress else True
    )
    for item, read in zip(items, bar, strict=True):
        if isinstance(read, str):
            unreadable.append((item.path, read))
            hashes.append(None)
            continue
        pixels.add(read.sha256, read.pixels)
        thumbnails.add(read.sha256, read.thumbnail)
        hashes.append(read.sha256)
        if read.seconds:
            took_s.append(read.seconds)
    if took_s and sum(took_s) / len(took_s) * len(items) / cores() > _WORTH_KEEPING_S:
        is_saved = pixels.save()
        if is_saved:  # else there is no room for these either, and one warning is enough
            thumbnails.save()
    facts = [_Facts(*row) for row in thumbnails.facts]
    rows = iter(facts)
    return Reading(
        pixels=pixels.gather(),
        infos=[ImageInfo(sha256, *next(rows)[:3]) if sha256 else None for sha256 in hashes],
        fingerprints=Fingerprints(
            np.array([row.pixel_sha256 for row in facts], dtype="U64"),
            thumbnails.gather(),
            tuple(tuple(filter(None, row.quality_flags.split(_SEPARATOR))) for row in facts),
        ),
        unreadable=unreadable,
        decoded=len(took_s),
        seconds=time.perf_counter() - started,
    )


def _read_one(
    source: Source,
    item: Item,
    pixels: DecodedImages,
    thumbnails: DecodedImages,
    size_px: int,
    fit: Fit,
) -> _Read | str:
    """The image, or the reason why it cannot be read.

    Generated pictures and arrays go the same way: they are made anew on every run, and the
    cache then saves resizing, fingerprinting and holding them once a process.
    """
    try:
        raw = source.read(item)
        sha256 = _content_hash(raw)
        square, known = pixels.find(sha256), thumbnails.find(sha256)
        if square and known:
            return _Read(sha256, square, known, 0.0)
        began = time.perf_counter()
        image = decode(raw)
    except (DataError, OSError) as error:
        return str(error)
    if known is None:
        found = fingerprint(image.pixels)
        flags = _SEPARATOR.join(found.quality_flags)
        facts = _Facts(image.width, image.height, image.mode, found.pixel_sha256, flags)
        known = Picture(found.thumbnail, facts)
    square = square or Picture(resize(image.pixels, size_px, fit), ())
    return _Read(sha256, square, known, time.perf_counter() - began)


def _content_hash(raw: bytes | np.ndarray) -> str:
    """SHA-256 of a file's bytes; of an array's type, shape and values."""
    if isinstance(raw, bytes):
        return sha256_of(raw)
    digest = hashlib.sha256(f"{raw.dtype.str}{raw.shape}".encode())
    digest.update(np.ascontiguousarray(raw).data)
    return digest.hexdigest()
