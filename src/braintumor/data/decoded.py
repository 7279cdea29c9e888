"""The squares of one data set: those that an earlier run decoded, and those that this one adds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from braintumor.data.fingerprints import THUMBNAIL_PX
from braintumor.data.kept import mark_cache
from braintumor.data.shelf import Kind, Shelf, shelves_of, unspread, write_shelf
from braintumor.errors import MachineError
from braintumor.files import array_on_disk, cache_dir
from braintumor.runtime import memory_bytes

# N images, S side of the square in px

# of a file's content, whatever the size that a model sees: thumbnails, with what is known of them
PRINTS = Kind(
    "prints",
    THUMBNAIL_PX,
    {"width": "i8", "height": "i8", "mode": "S", "pixel_sha256": "S", "oddities": "S"},
)

_MEMORY_SHARE = 0.25  # of the machine's memory that decoded pictures may take


def pixels_at(size_px: int, fit: str) -> Kind:
    """Pictures as a model of that input size sees them."""
    return Kind(f"{size_px}px-{fit}", size_px, {})


class Place(NamedTuple):
    """Where an earlier run left a square."""

    shelf: Shelf
    row: int


class New(NamedTuple):
    """A square that no earlier run has: uint8 (S, S) or (S, S, 3), and facts as its kind has."""

    pixels: np.ndarray
    facts: tuple[Any, ...]


class Squares:
    """Squares of one kind, gathered in the order of a data set.

    Only what is new takes memory, or disk where it is much, until `gathered` is asked for.
    """

    def __init__(self, kind: Kind, most: int) -> None:
        """most: how many there will be at most."""
        self._kind, self._most = kind, most
        self._shelves = shelves_of(kind)
        self._damaged: set[Shelf] = set()
        self._contents: list[str] = []
        self._places: list[Place | None] = []  # None: new
        self._is_colour: list[bool] = []
        self._new: np.ndarray | None = None  # row i is square i where that is new
        self.facts: list[tuple[Any, ...]] = []

    def find(self, content: str) -> Place | None:
        """The undamaged square of this content, if there is one; several threads may ask."""
        for shelf in self._shelves:
            row = shelf.rows.get(content)
            if row is None:
                continue
            if shelf.is_intact(row):
                return Place(shelf, row)
            self._damaged.add(shelf)
        return None

    def add(self, content: str, square: Place | New) -> None:
        """The next image of the data set. Raises MachineError when memory is too small."""
        if isinstance(square, New):
            self._append(content, None, square.pixels.ndim == 3, square.facts)
            self._fill(square.pixels, len(self._contents) - 1)
        else:
            shelf, row = square
            self._append(content, square, shelf.is_colour[row], shelf.facts[row])

    @property
    def are_known(self) -> bool:
        """Whether earlier runs had them all."""
        return None not in self._places

    def keep(self) -> None:
        """Write them for later runs, unless those have them; from then on they are mapped.

        Raises OSError or MachineError when there is no place for them.
        """
        if self.are_known:
            return
        self._drop_damaged()
        squares = self._each()
        shelf = write_shelf(self._kind, self._contents, squares, self._is_colour, self.facts)
        if shelf:  # nobody removed it at once
            self._shelves, self._new = [shelf], None
            self._places = [Place(shelf, row) for row in range(len(self._contents))]

    def gathered(self) -> np.ndarray:
        """uint8 (N, S, S) when all are grey, else (N, S, S, 3); read-only.

        The memory map itself where an earlier run had the same images in the same order; else,
        as for a part of them, a copy in memory: a second one on disk would save no decoding.
        """
        self._drop_damaged()
        for shelf in {place.shelf for place in self._places if place}:
            shelf.touch()
        mapped = self._as_one_shelf()
        if mapped is not None:
            return mapped
        count = len(self._contents)
        whole = self._new
        if whole is None:
            whole = _allocate((count, self._kind.size_px, self._kind.size_px))
        if any(self._is_colour) and whole.ndim == 3:
            whole = _in_colour(whole, count)
        for row, place in enumerate(self._places):
            if place:
                _put(whole, row, place.shelf.square(place.row))
        squares = whole[:count]
        squares.flags.writeable = False  # as a map is: nobody may count on writing
        return squares

    def _append(
        self, content: str, place: Place | None, is_colour: bool, facts: tuple[Any, ...]
    ) -> None:
        self._contents.append(content)
        self._places.append(place)
        self._is_colour.append(is_colour)
        self.facts.append(facts)

    def _fill(self, pixels: np.ndarray, count: int) -> None:
        """Row `count`; those before it may be in other shelves."""
        if self._new is None:
            self._new = _allocate((self._most, self._kind.size_px, self._kind.size_px))
        if pixels.ndim == 3 and self._new.ndim == 3:  # the first one in colour
            self._new = _in_colour(self._new, count)
        _put(self._new, count, pixels)

    def _each(self) -> Iterator[np.ndarray]:
        for row, place in enumerate(self._places):
            if place:
                yield place.shelf.square(place.row)
            elif self._new is not None:
                yield unspread(self._new[row], self._is_colour[row])

    def _as_one_shelf(self) -> np.ndarray | None:
        """The map that holds exactly these contents, none of them damaged."""
        for shelf in self._shelves:
            if shelf not in self._damaged and shelf.contents == self._contents:
                unseen = [i for i, at in enumerate(self._places) if at != Place(shelf, i)]
                if all(shelf.is_intact(row) for row in unseen):
                    return shelf.squares
                self._damaged.add(shelf)
        self._drop_damaged()
        return None

    def _drop_damaged(self) -> None:
        for shelf in self._damaged:
            shelf.remove()
        self._shelves = [shelf for shelf in self._shelves if shelf not in self._damaged]
        self._damaged = set()


def _put(squares: np.ndarray, row: int, square: np.ndarray) -> None:
    """Set row `row`; a grey square among colour goes to all three channels."""
    if square.ndim < squares.ndim - 1:
        for channel in range(3):  # ten times faster than broadcasting a last axis
            squares[row, ..., channel] = square
    else:
        squares[row] = square


def _allocate(shape: tuple[int, ...]) -> np.ndarray:
    """In memory; on disk where it would take much of that."""
    size_bytes = math.prod(shape)
    try:
        if size_bytes > _MEMORY_SHARE * memory_bytes():
            mark_cache()
            return array_on_disk(cache_dir(), shape, np.dtype(np.uint8))
        return np.empty(shape, np.uint8)
    except (MemoryError, OSError) as error:
        raise MachineError(
            f"{shape[0]:,} images at {shape[1]} px need {size_bytes / 1e9:.1f} GB, which there "
            f"are neither in memory nor in {cache_dir()}; name a folder on a larger disk with "
            "BT_CACHE, or use a smaller data.image_size, or data.limit"
        ) from error


def _in_colour(grey: np.ndarray, count: int) -> np.ndarray:
    """(N, S, S) -> (N, S, S, 3), of which only the first `count` are filled."""
    colour = _allocate((*grey.shape, 3))
    for channel in range(3):
        colour[:count, ..., channel] = grey[:count]
    return colour
