"""Decoded pictures of one data set: those that an earlier run left in the cache, and new ones.

Pictures are found by the content of their file, whichever data set that was in. What is written
is always a whole data set in its order, so that the next run can map it as it is.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import __version__ as pillow_version
from PIL import features

from braintumor import cache
from braintumor.cache_folder import cache_dir, mark_cache
from braintumor.data.images import as_rgb
from braintumor.errors import MachineError, some
from braintumor.machine import memory_bytes

# N images, S side of the square picture in px

_VERSION = 3  # raise it when decoding, resizing or fingerprinting gives anything else
_MEMORY_SHARE = 0.25  # of the machine's memory that decoded pictures may take


class Picture(NamedTuple):
    """uint8 (S, S), or (S, S, 3) in colour, and the facts that are kept with it.

    place: where a new one was put; None: an earlier run left it.
    """

    pixels: np.ndarray
    facts: tuple[Any, ...]
    place: int | None = None


class DecodedImages:
    """Pictures of one kind, collected in the order of a data set.

    Only what is new takes memory, or disk where it is much, until `gather` is called. Whoever
    decodes a picture puts it there: many threads would wait for one that copies for all of them.
    """

    def __init__(self, kind: str, size_px: int, facts: Mapping[str, str], most: int) -> None:
        """kind: of pictures that may stand for each other, whichever data set they are from.

        facts: what is kept of each beside its pixels, name -> dtype.  most: pictures to come.
        """
        self.size_px, self._dtypes, self._most = size_px, facts, most
        self._new: dict[int, np.ndarray] = {}  # grey (2) and colour (3), a row a place
        self._allocating = threading.Lock()
        # another decoder has other names
        maker = f"{_VERSION} {pillow_version} {features.version('libjpeg_turbo')}"
        self._prefix = f"{kind}-{hashlib.sha256(maker.encode()).hexdigest()[:8]}-"
        self._columns = ("content", "is_colour", *facts)
        self._entries = list(cache.read_entries("decoded", self._prefix, self._columns))
        self._earlier: dict[str, tuple[cache.Entry, int, tuple[Any, ...]]] = {}  # by content
        for entry in self._entries:
            lists = zip(*map(_as_list, entry.columns.values()), strict=True)
            for row, (content, *known) in enumerate(lists):
                self._earlier.setdefault(content, (entry, row, tuple(known)))
        self._contents: list[str] = []
        self._pictures: list[Picture] = []

    def find(self, content: str) -> Picture | None:
        """The picture of that content if an earlier run left it whole; several threads may ask."""
        if content not in self._earlier:
            return None
        entry, row, (is_colour, *facts) = self._earlier[content]
        if not entry.is_intact(row):
            return None
        pixels = entry.rows[row]
        if pixels.ndim == 3 and not is_colour:  # grey among colour
            pixels = pixels[..., 0]
        return Picture(pixels, tuple(facts))

    def put(self, place: int, pixels: np.ndarray, facts: tuple[Any, ...]) -> Picture:
        """A new picture, uint8 (S, S) or (S, S, 3); several threads may ask.

        place: of its image among those to come, each once.
        Raises MachineError when memory is too small.
        """
        with self._allocating:
            if pixels.ndim not in self._new:
                square = (self.size_px, self.size_px, 3)[: pixels.ndim]
                self._new[pixels.ndim] = _allocate((self._most, *square))
        row = self._new[pixels.ndim][place]
        row[:] = pixels
        return Picture(row, facts, place)

    def add(self, content: str, picture: Picture) -> None:
        """The next image of the data set; places of new ones ascend."""
        self._contents.append(content)
        self._pictures.append(picture)

    @property
    def facts(self) -> list[tuple[Any, ...]]:
        """Of each image."""
        return [picture.facts for picture in self._pictures]

    def save(self) -> bool:
        """Write them for later runs, unless those have them; whether that went well."""
        if all(picture.place is None for picture in self._pictures):
            return True
        self._discard_damaged()
        facts = zip(*self.facts, strict=True)
        columns = {
            "content": np.array(self._contents, "S"),
            "is_colour": np.array([p.pixels.ndim == 3 for p in self._pictures], bool),
        }
        columns |= {name: np.array(next(facts), dtype) for name, dtype in self._dtypes.items()}
        path = cache.entry_path("decoded", *self._contents, prefix=self._prefix)
        is_written = cache.write_entry(path, columns, self._each(), len(self._contents))
        entry = cache.read_entry(path, self._columns) if is_written else None
        if entry:  # nobody removed it at once
            pairs = zip(entry.rows, self.facts, strict=True)
            self._pictures = [Picture(pixels, facts) for pixels, facts in pairs]
            self._entries, self._new = [entry], {}
        return is_written

    def gather(self) -> np.ndarray:
        """uint8 (N, S, S) when all are grey, else (N, S, S, 3); read-only.

        The memory map itself where a run had the same images in the same order; else, as for a
        part of them, a copy in memory: a second one on disk would save no decoding.
        """
        contents = np.array(self._contents, "S")
        same = [e for e in self._entries if np.array_equal(e.columns["content"], contents)]
        whole = next((entry for entry in same if entry.is_whole()), None)
        self._discard_damaged()
        for entry in self._entries:
            if entry.is_used:
                entry.touch()
        if whole:
            return whole.rows
        ndim, count = self._ndim, len(contents)
        square = (self.size_px, self.size_px, 3)[:ndim]
        gathered = self._new[ndim] if ndim in self._new else _allocate((count, *square))
        for row, (pixels, _, place) in enumerate(self._pictures):
            if pixels.ndim < ndim or place != row:  # from there on, never before: no place is lost
                gathered[row] = pixels if ndim == 2 else as_rgb(pixels)
        gathered = gathered[:count]
        gathered.flags.writeable = False  # as a map is: nobody may count on writing
        return gathered

    @property
    def _ndim(self) -> int:
        """2 when all are grey, else 3."""
        return max((picture.pixels.ndim for picture in self._pictures), default=2)

    def _each(self) -> Iterator[np.ndarray]:
        """(1, S, S) when all are grey, else (1, S, S, 3)."""
        ndim = self._ndim
        for picture in self._pictures:
            yield (picture.pixels if ndim == 2 else as_rgb(picture.pixels))[None]

    def _discard_damaged(self) -> None:
        for entry in self._entries:
            if entry.is_damaged:
                entry.discard()
        self._entries = [entry for entry in self._entries if not entry.is_damaged]


def _as_list(column: np.ndarray) -> list[Any]:
    return (column.astype(str) if column.dtype.kind == "S" else column).tolist()


def _allocate(shape: tuple[int, ...]) -> np.ndarray:
    """In memory; on disk where it would take much of that."""
    size_bytes = math.prod(shape)
    try:
        if size_bytes <= _MEMORY_SHARE * memory_bytes():
            return np.empty(shape, np.uint8)
        mark_cache()
        # without a name, so gone with the last reference to it; what fits stays in memory
        with tempfile.TemporaryFile(dir=cache_dir()) as file:
            if hasattr(os, "posix_fallocate"):  # else a disk that fills up later ends the process
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            return np.asarray(np.memmap(file, np.uint8, "r+", 0, shape))
    except (MemoryError, OSError) as error:
        raise MachineError(
            f"{some(shape[0], 'image')} at {shape[1]} px: {size_bytes / 1e9:.1f} GB are "
            f"free neither in memory nor in {cache_dir()}; name a folder on a larger disk "
            "with BT_CACHE, or use a smaller data.image_size, or data.limit"
        ) from error
