"""Reading every image of a source once, on all cores: pixels, fingerprint, or why not."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from tqdm import tqdm

from braintumor.data.fingerprint import THUMBNAIL_PX, Fingerprint, Prints, fingerprint
from braintumor.data.images import decode, resize
from braintumor.data.sources import Item, Source
from braintumor.errors import DataError, MachineError
from braintumor.files import sha256_of

# N images, S side of the square in pixels

Fit = Literal["stretch", "pad"]

_BATCH = 16  # images a thread reads before it hands over; one by one costs a third of the speed


@dataclass(frozen=True, eq=False)
class Facts:
    """What the manifest says of a file's content. sha256: of its bytes."""

    sha256: str
    width: int
    height: int
    mode: str


@dataclass(frozen=True, eq=False)
class Reading:
    """All that was read.

    pixels: uint8 (N, S, S) when all images are grey, else (N, S, S, 3); readable ones only.
    facts: one an item, None where it could not be read.  prints: of the readable ones.
    unreadable: (path, reason).
    """

    pixels: np.ndarray
    facts: list[Facts | None]
    prints: Prints
    unreadable: list[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class _Read:
    """One image after a worker thread had it."""

    square: np.ndarray
    facts: Facts
    print: Fingerprint


def read_images(
    source: Source, items: Sequence[Item], size_px: int, fit: Fit, *, progress: bool
) -> Reading:
    """Decode, fingerprint and resize all items.

    Raises MachineError when the pixels do not fit into memory.
    """
    pixels = _allocate((len(items), size_px, size_px))
    thumbnails = _allocate((len(items), THUMBNAIL_PX, THUMBNAIL_PX))
    facts: list[Facts | None] = []
    hashes: list[str] = []
    oddities: list[tuple[str, ...]] = []
    unreadable: list[tuple[str, str]] = []
    results = _in_threads(source, items, size_px, fit)
    bar = tqdm(
        results, "reading images", len(items), unit="img", disable=None if progress else True
    )
    for item, read in zip(items, bar, strict=True):
        if isinstance(read, str):
            unreadable.append((item.path, read))
            facts.append(None)
            continue
        count = len(hashes)
        if read.square.ndim > pixels.ndim - 1:  # the first one in colour
            pixels = _in_colour(pixels, count)
        if read.square.ndim < pixels.ndim - 1:  # grey among colour
            for channel in range(3):  # ten times faster than broadcasting a last axis
                pixels[count, ..., channel] = read.square
        else:
            pixels[count] = read.square
        thumbnails[count] = read.print.thumbnail
        hashes.append(read.print.pixel_sha256)
        oddities.append(read.print.oddities)
        facts.append(read.facts)
    count = len(hashes)
    prints = Prints(np.array(hashes, dtype="U64"), thumbnails[:count], tuple(oddities))
    return Reading(pixels[:count], facts, prints, unreadable)


def _in_threads(
    source: Source, items: Sequence[Item], size_px: int, fit: Fit
) -> Iterator[_Read | str]:
    """Read items on all cores, handed out in their order; few are held at a time."""
    affinity = getattr(os, "sched_getaffinity", None)  # cores of this process; Linux only
    workers = len(affinity(0)) if affinity else os.cpu_count() or 1
    batches = (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
    waiting: deque[Future[list[_Read | str]]] = deque()
    with ThreadPoolExecutor(workers) as pool:  # Pillow, hashlib and read() release the GIL
        try:
            for batch in batches:
                waiting.append(pool.submit(_read_batch, source, batch, size_px, fit))
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _read_batch(source: Source, items: Sequence[Item], size_px: int, fit: Fit) -> list[_Read | str]:
    return [_read_one(source, item, size_px, fit) for item in items]


def _read_one(source: Source, item: Item, size_px: int, fit: Fit) -> _Read | str:
    """The image, or the reason why it cannot be read."""
    try:
        raw = source.read(item)
        image = decode(raw)
    except (DataError, OSError) as error:
        return str(error)
    return _Read(
        resize(image.pixels, size_px, fit),
        Facts(_content_hash(raw), image.width, image.height, image.mode),
        fingerprint(image.pixels),
    )


def _content_hash(raw: bytes | np.ndarray) -> str:
    """SHA-256 of a file's bytes; of an array's type, shape and values."""
    if isinstance(raw, bytes):
        return sha256_of(raw)
    digest = hashlib.sha256(f"{raw.dtype.str}{raw.shape}".encode())
    digest.update(np.ascontiguousarray(raw).data)
    return digest.hexdigest()


def _allocate(shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.empty(shape, np.uint8)
    except MemoryError as error:
        raise MachineError(
            f"{shape[0]} images at {shape[1]} px need {np.prod(shape) / 1e9:.1f} GB of memory; "
            "use a smaller data.image_size, or data.limit"
        ) from error


def _in_colour(grey: np.ndarray, count: int) -> np.ndarray:
    """(N, S, S) -> (N, S, S, 3), of which only the first `count` are filled yet."""
    colour = np.empty((*grey.shape, 3), np.uint8)
    for channel in range(3):
        colour[:count, ..., channel] = grey[:count]
    return colour
