"""Square pictures that outlive a run, found by the content of the file they came from.

A shelf is one data set's squares in its order, never changed once written: NAME.npy, which all
processes of a machine map and so hold in memory once, and NAME.npz, the index, written last.
Every square has a checksum: a cut, torn or flipped file gives no wrong pixel.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import __version__ as pillow_version
from PIL import features

from braintumor.data.kept import make_room, read_table, write_table
from braintumor.files import cache_dir, write_array

# N squares, S their side in px

_VERSION = 1  # raise it when decoding, resizing or fingerprinting gives anything else
_MOST_BYTES = 20_000_000_000  # of all shelves: 50 data sets of 7,000 grey pictures at 224 px
_INDEX = ("content", "checksum", "is_colour")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """Squares that may stand for each other. facts: what else is kept of each, name -> dtype."""

    name: str
    size_px: int
    facts: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Shelf:
    """N squares of one kind.

    squares: uint8 (N, S, S) when all are grey, else (N, S, S, 3); a read-only memory map.
    contents: of N files, SHA-256 as hex.  rows: content -> the first row that has it.
    checksums: CRC-32 of each square.  is_colour: N.  facts: N tuples, as the kind names them.
    """

    path: Path
    squares: np.ndarray
    contents: list[str]
    rows: Mapping[str, int]
    checksums: list[int]
    is_colour: list[bool]
    facts: list[tuple[Any, ...]]

    def is_intact(self, row: int) -> bool:
        """Whether the square is, bit for bit, the one that was written."""
        return zlib.crc32(self.squares[row].data) == self.checksums[row]

    def square(self, row: int) -> np.ndarray:
        """uint8 (S, S) of a grey picture, also among colour, else (S, S, 3)."""
        return unspread(self.squares[row], self.is_colour[row])

    def touch(self) -> None:
        """Note that it was used: what was not for longest is removed first."""
        try:
            os.utime(self.path)
        except OSError:  # a cache that is only read; somebody else's to keep small
            log.debug("%s cannot be touched", self.path)

    def remove(self) -> None:
        """Take it off the disk, after damage."""
        log.warning("%s is damaged; what it held is worked out again", self.path)
        _remove(self.path)


def unspread(square: np.ndarray, is_colour: bool) -> np.ndarray:
    """uint8 (S, S[, 3]) -> (S, S) of a grey picture that was spread over three channels."""
    return square[..., 0] if square.ndim == 3 and not is_colour else square


def shelves_of(kind: Kind) -> list[Shelf]:
    """All shelves of a kind that can be read, the most recently used first."""
    try:
        found = [(path.stat().st_mtime, path) for path in _folder().glob(f"{_prefix(kind)}*.npz")]
    except OSError:  # no folder, or one that may not be listed: nothing is known
        return []
    opened = (_open(path, kind) for _, path in sorted(found, reverse=True))
    return [shelf for shelf in opened if shelf]


def write_shelf(
    kind: Kind,
    contents: Sequence[str],
    squares: Iterable[np.ndarray],
    is_colour: Sequence[bool],
    facts: Sequence[tuple[Any, ...]],
) -> Shelf | None:
    """Keep N squares for later runs, and open them; None when somebody removed them at once.

    squares: uint8 (S, S) or (S, S, 3), one after the other, never all in memory; a grey one is
    spread over three channels where any is in colour.
    Raises OSError or MachineError when there is no place for them.
    """
    shape = _shape(kind, is_colour)
    digest = hashlib.sha256("".join(contents).encode()).hexdigest()
    path = _folder() / f"{_prefix(kind)}{digest[:32]}.npz"
    make_room(path.parent, math.prod(shape), _MOST_BYTES)
    checksums: list[int] = []

    def parts() -> Iterable[np.ndarray]:
        for square in squares:
            spread = square.ndim < len(shape) - 1  # grey among colour
            part = np.stack([square] * 3, axis=-1) if spread else np.ascontiguousarray(square)
            checksums.append(zlib.crc32(part.data))
            yield part

    write_array(path.with_suffix(".npy"), shape, np.dtype(np.uint8), parts())
    index = {
        "content": np.array(contents, "S"),
        "checksum": np.array(checksums, np.uint32),
        "is_colour": np.array(is_colour, bool),
    }
    for place, (name, dtype) in enumerate(kind.facts.items()):
        index[name] = np.array([fact[place] for fact in facts], dtype)
    write_table(path, index)
    return _open(path, kind)


def _open(path: Path, kind: Kind) -> Shelf | None:
    """The shelf with this index; None, and it is removed, when it is damaged."""
    index = read_table(path, [*_INDEX, *kind.facts])
    if index is None:
        _remove(path)
        return None
    contents, is_colour = _listed(index["content"]), index["is_colour"].tolist()
    shape = _shape(kind, is_colour)
    pixels = path.with_suffix(".npy")
    try:
        # not np.load: a damaged header makes its parser raise nearly anything
        header_bytes = pixels.stat().st_size - math.prod(shape)
        squares = np.memmap(pixels, np.uint8, "r", max(0, header_bytes), shape)
    except (OSError, ValueError) as error:
        log.warning("%s is damaged (%s); what it held is worked out again", path, error)
        _remove(path)
        return None
    columns = [_listed(index[name]) for name in kind.facts]
    return Shelf(
        path=path,
        squares=np.asarray(squares),  # still mapped; slices of the plain type cost less
        contents=contents,
        rows={content: row for row, content in reversed(list(enumerate(contents)))},
        checksums=index["checksum"].tolist(),
        is_colour=is_colour,
        facts=list(zip(*columns, strict=True)) if columns else [()] * len(contents),
    )


def _listed(column: np.ndarray) -> list[Any]:
    return (column.astype(str) if column.dtype.kind == "S" else column).tolist()


def _shape(kind: Kind, is_colour: Sequence[bool]) -> tuple[int, ...]:
    square = (kind.size_px, kind.size_px)
    return (len(is_colour), *square, 3) if any(is_colour) else (len(is_colour), *square)


def _remove(path: Path) -> None:
    """Take the shelf with this index off the disk; who has it mapped keeps it."""
    for part in (path, path.with_suffix(".npy")):
        try:
            part.unlink(missing_ok=True)
        except OSError:  # read-only: then it is found damaged again next time
            log.debug("%s cannot be removed", part)


def _folder() -> Path:
    return cache_dir() / "decoded"


def _prefix(kind: Kind) -> str:
    """Begins the names of a kind's files; another decoder has other names."""
    maker = f"{_VERSION} {pillow_version} {features.version('libjpeg_turbo')}"
    return f"{kind.name}-{hashlib.sha256(maker.encode()).hexdigest()[:8]}-"
