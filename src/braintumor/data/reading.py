"""Every image of a source, read on all cores: pixels, fingerprint, or why not.

The bytes of every file are read and hashed on every run, so a changed file is noticed; what an
earlier run decoded of the same bytes is taken from the cache.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from threadpoolctl import threadpool_limits

from braintumor.data.decoded import DecodedImages, Picture
from braintumor.data.decoders import Decoders, Raw
from braintumor.data.fingerprint import THUMBNAIL_PX, Fingerprint
from braintumor.data.images import Fit
from braintumor.data.sources import Generates, Item, Source
from braintumor.errors import DataError, reason_of
from braintumor.files import sha256_of
from braintumor.machine import cores
from braintumor.progress import bar
from braintumor.runtime import in_threads

# N images, h, w height and width of a picture in its file, S side of the square that a model
# sees, T side of a thumbnail, in px

_BATCH = 16  # images a thread reads before it hands over; one by one costs a third of the speed
_WORTH_KEEPING_S = 2.0  # a data set that is decoded in less is decoded again rather than kept
_SEPARATOR = "|"  # of quality flags


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """What is kept of N images to recognise them again, a column each.

    pixel_sha256: str (N,), of the decoded pixels, so a file stored anew without loss has the same.
    thumbnails: uint8 (N, T, T), grey, stretched to a square.
    quality_flags: N tuples, among "blank", "colour", "text in the margin" and that of outlines.
    """

    pixel_sha256: np.ndarray
    thumbnails: np.ndarray
    quality_flags: tuple[tuple[str, ...], ...]


class Facts(NamedTuple):
    """What the cache holds of an image beside its thumbnail. width, height: of it upright."""

    width: int
    height: int
    mode: str
    pixel_sha256: str
    oddities: str  # its quality flags, with _SEPARATOR between them


_DTYPES = dict(zip(Facts._fields, ("i8", "i8", "S", "S", "S"), strict=True))


@dataclass(frozen=True, eq=False)
class Reading:
    """All that was read: of the N readable images in order, and why the others are not.

    sha256: of the bytes of each file; of a generated picture, of what it is made of.
    pixels: uint8 (N, S, S) when all images are grey, else (N, S, S, 3). Read-only: a memory map
        that processes share, where an earlier run had the same images.
    unreadable: (path, reason).
    decoded: how many no earlier run had decoded.  seconds: of it all.
    """

    sha256: list[str]
    facts: list[Facts]
    pixels: np.ndarray
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


class _Read(NamedTuple):
    """One image after a worker thread had it. seconds: of decoding; 0 where that was known."""

    sha256: str
    pixels: Picture
    thumbnail: Picture
    seconds: float


class _Into(NamedTuple):
    """Where pictures go, and who decodes them."""

    pixels: DecodedImages
    thumbnails: DecodedImages
    fit: Fit
    decoders: Decoders


@threadpool_limits.wrap(limits=1, user_api="blas")  # a thread a core is enough
def read_images(source: Source, items: Sequence[Item], size_px: int, fit: Fit) -> Reading:
    """Decode, fingerprint and resize all items, or take them from the cache.

    On a terminal a bar shows how far it is.
    Raises MachineError when the pixels do not fit into memory.
    """
    started = time.perf_counter()
    pixels = DecodedImages(f"{size_px}px-{fit}", size_px, {}, len(items))
    # of a file's content, whatever the size that a model sees
    thumbnails = DecodedImages("prints", THUMBNAIL_PX, _DTYPES, len(items))
    sha256: list[str] = []
    unreadable: list[tuple[str, str]] = []
    took_s: list[float] = []

    def read_batch(start: int) -> list[_Read | str]:
        batch = enumerate(items[start : start + _BATCH], start)
        return [_read_one(source, place, item, into) for place, item in batch]

    with Decoders(len(items)) as decoders:
        into = _Into(pixels, thumbnails, fit, decoders)
        starts = range(0, len(items), _BATCH)
        results = itertools.chain.from_iterable(in_threads(read_batch, starts))
        shown = bar("reading images", results, total=len(items), unit="images")
        for item, read in zip(items, shown, strict=True):
            if isinstance(read, str):
                unreadable.append((item.path, read))
                continue
            pixels.add(read.sha256, read.pixels)
            thumbnails.add(read.sha256, read.thumbnail)
            sha256.append(read.sha256)
            if read.seconds:
                took_s.append(read.seconds)
    if took_s and sum(took_s) / len(took_s) * len(items) / cores() > _WORTH_KEEPING_S:
        is_saved = pixels.save()
        if is_saved:  # else there is no room for these either, and one warning is enough
            thumbnails.save()
    facts = [Facts(*row) for row in thumbnails.facts]
    fingerprints = Fingerprints(
        np.array([row.pixel_sha256 for row in facts], dtype="U64"),
        thumbnails.gather(),
        tuple(tuple(filter(None, row.oddities.split(_SEPARATOR))) for row in facts),
    )
    gathered, seconds = pixels.gather(), time.perf_counter() - started
    return Reading(sha256, facts, gathered, fingerprints, unreadable, len(took_s), seconds)


def _read_one(source: Source, place: int, item: Item, into: _Into) -> _Read | str:
    """The image, or the reason why it cannot be read.  place: of the item among all.

    Generated pictures are known by what they are made of, and made once.
    """
    pixels, thumbnails, fit, decoders = into
    try:
        raw: Raw | Callable[[], Raw]
        if isinstance(source, Generates):
            sha256 = sha256_of(source.identity(item).encode())
            raw = functools.partial(source.read, item)
        else:  # every run reads its files
            raw = source.read(item)
            sha256 = _content_hash(raw)
        square, known = pixels.find(sha256), thumbnails.find(sha256)
        if square and known:
            return _Read(sha256, square, known, 0.0)
        began = time.perf_counter()
        image = decoders.decode(raw, pixels.size_px, fit, with_print=known is None)
    except (DataError, OSError) as error:
        return reason_of(error)
    if known is None:
        sha, thumbnail, flags = cast(Fingerprint, image.print)
        facts = Facts(image.width, image.height, image.mode, sha, _SEPARATOR.join(flags))
        known = thumbnails.put(place, thumbnail, facts)
    square = square or pixels.put(place, image.square, ())
    return _Read(sha256, square, known, time.perf_counter() - began)


def _content_hash(raw: bytes | np.ndarray) -> str:
    """SHA-256 of a file's bytes; of an array's type, shape and values."""
    if isinstance(raw, bytes):
        return sha256_of(raw)
    return sha256_of(f"{raw.dtype.str}{raw.shape}".encode() + raw.tobytes())
