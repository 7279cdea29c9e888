"""Decoded pictures of one data set: those that an earlier run left in the cache, and new ones.

Pictures are found by the content of their file, whichever data set that was in. What is written
is always a whole data set in its order, so that the next run can map it as it is.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import __version__ as pillow_version
from PIL import features

from braintumor import cache
from braintumor.cache_folder import cache_dir, mark_cache
from braintumor.errors import MachineError
from braintumor.machine import memory_bytes

# N images, S side of the square picture in px

_VERSION = 3  # raise it when decoding, resizing or fingerprinting gives anything else
_MEMORY_SHARE = 0.25  # of the machine's memory that decoded pictures may take


class Picture(NamedTuple):
    """uint8 (S, S), or (S, S, 3) in colour, and the facts that are kept with it."""

    pixels: np.ndarray
    facts: tuple[Any, ...]
    is_new: bool = True


class DecodedImages:
    """Pictures of one kind, collected in the order of a data set.

    Only what is new takes memory, or disk where it is much, until `gather` is called.
    """

    def __init__(self, kind: str, size_px: int, facts: Mapping[str, str], most: int) -> None:
        """kind: of pictures that may stand for each other, whichever data set they are from.

        facts: what is kept of each beside its pixels, name -> dtype.  most: pictures to come.
        """
        self.size_px, self._dtypes, self._most = size_px, facts, most
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
        self._mapped: list[np.ndarray | None] = []  # pictures of earlier runs; None: new
        self._is_colour: list[bool] = []
        self._new = np.empty(0, np.uint8)  # row i is picture i where that is new
        self.facts: list[tuple[Any, ...]] = []

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
        return Picture(pixels, tuple(facts), is_new=False)

    def add(self, content: str, picture: Picture) -> None:
        """The next image of the data set. Raises MachineError when memory is too small."""
        pixels, facts, is_new = picture
        if is_new:
            row = len(self._contents)
            if not len(self._new):
                self._new = _allocate((self._most, self.size_px, self.size_px))
            if pixels.ndim == 3 and self._new.ndim == 3:  # the first one in colour
                self._new = _in_colour(self._new, row)
            self._new[row] = _spread(pixels, self._new.ndim - 1)
        self._contents.append(content)
        self._mapped.append(None if is_new else pixels)
        self._is_colour.append(pixels.ndim == 3)
        self.facts.append(facts)

    def save(self) -> bool:
        """Write them for later runs, unless those have them; whether that went well."""
        if all(pixels is not None for pixels in self._mapped):
            return True
        self._discard_damaged()
        facts = zip(*self.facts, strict=True)
        columns = {
            "content": np.array(self._contents, "S"),
            "is_colour": np.array(self._is_colour, bool),
        }
        columns |= {name: np.array(next(facts), dtype) for name, dtype in self._dtypes.items()}
        path = cache.entry_path("decoded", *self._contents, prefix=self._prefix)
        is_written = cache.write_entry(path, columns, self._each(), len(self._contents))
        entry = cache.read_entry(path, self._columns) if is_written else None
        if entry:  # nobody removed it at once
            self._entries, self._new = [entry], np.empty(0, np.uint8)
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
        count = len(contents)
        pixels = self._new if len(self._new) else _allocate((count, self.size_px, self.size_px))
        if any(self._is_colour) and pixels.ndim == 3:
            pixels = _in_colour(pixels, count)
        for row, mapped in enumerate(self._mapped):
            if mapped is not None:
                pixels[row] = _spread(mapped, pixels.ndim - 1)
        pixels = pixels[:count]
        pixels.flags.writeable = False  # as a map is: nobody may count on writing
        return pixels

    def _each(self) -> Iterator[np.ndarray]:
        """(1, S, S) when all are grey, else (1, S, S, 3)."""
        ndim = 3 if any(self._is_colour) else 2
        for row, mapped in enumerate(self._mapped):
            yield _spread(self._new[row] if mapped is None else mapped, ndim)[None]

    def _discard_damaged(self) -> None:
        for entry in self._entries:
            if entry.is_damaged:
                entry.discard()
        self._entries = [entry for entry in self._entries if not entry.is_damaged]


def _as_list(column: np.ndarray) -> list[Any]:
    return (column.astype(str) if column.dtype.kind == "S" else column).tolist()


def _spread(pixels: np.ndarray, ndim: int) -> np.ndarray:
    """In 3 dimensions if those are wanted; stacking is ten times faster than broadcasting."""
    return pixels if pixels.ndim == ndim else np.stack([pixels] * 3, axis=-1)


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
            f"{shape[0]:,} images at {shape[1]} px need {size_bytes / 1e9:.1f} GB, which there "
            f"are neither in memory nor in {cache_dir()}; name a folder on a larger disk "
            "with BT_CACHE, or use a smaller data.image_size, or data.limit"
        ) from error


def _in_colour(grey: np.ndarray, count: int) -> np.ndarray:
    """(N, S, S) -> (N, S, S, 3), of which only the first `count` are filled."""
    colour = _allocate((*grey.shape, 3))
    for channel in range(3):
        colour[:count, ..., channel] = grey[:count]
    return colour
