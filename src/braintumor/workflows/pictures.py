"""Pictures without labels, decoded for a checkpoint, batch by batch."""

from __future__ import annotations

import itertools
import logging
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from braintumor.data.images import as_rgb, resize
from braintumor.errors import DataError, listed_by_reason, reason_of
from braintumor.progress import bar, waiting
from braintumor.runtime import in_threads
from braintumor.workflows.found_pictures import Picture, Read, counted, find_pictures

if TYPE_CHECKING:
    from braintumor.runs.checkpoint import Card

# h, w height and width of a picture, S side of the square that the model sees

log = logging.getLogger("braintumor")


class PictureBatches:
    """Pictures of files, folders, archives and memory, decoded while they are being answered.

    As an iterator: batches of squares, uint8 (S, S) or (S, S, 3) each, in order, once. Threads
    decode the next batch while one is in use, and none is kept.
    Of what has been handed out so far: names, a path or "picture 3"; sizes, of each its own
    (height, width); originals, each of which reads it again, and raises DataError where that is
    another picture by now.
    unreadable: (name, reason) of those left out so far.
    """

    def __init__(
        self,
        pictures: Picture | Sequence[Picture],
        card: Card,
        batch_size: int,
        *,
        skip_unreadable: bool = False,
    ) -> None:
        """pictures: one or several of: path of a file, folder, zip or tar file, pattern such as
            "scans/*.png", Pillow image, array as `from_array` takes it.  A file is named by its
            path below the folder or archive that was given alone, else as it was given.
        A folder is searched in depth, links to folders are followed. What is passed over in it
        (files of other kinds, hidden ones, previews that a server or notebook made), and what is
        left out since it cannot be read, is logged by name and number.
        Raises DataError where no picture is; the iterator raises one, once all have been read,
        that names all that cannot be.
        """
        one = isinstance(pictures, str | bytes | Path | np.ndarray | Image.Image)
        one |= getattr(pictures, "ndim", 1) > 1  # a tensor
        one |= not isinstance(pictures, Iterable)
        several: Sequence[Any] = [pictures] if one else list(pictures)  # type: ignore[arg-type]
        if not several:
            raise DataError("there are no pictures to read; give paths, arrays or Pillow images")
        passed_over: Counter[str] = Counter()
        with waiting("looking for pictures"):  # 100,000 files on a slow disk
            self._found = list(find_pictures(several, passed_over))
        if passed_over:
            log.warning("passed over: %s", counted(passed_over))
        self._card, self._size, self._skips = card, batch_size, skip_unreadable
        self.names: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.originals: list[Read] = []
        self.unreadable: list[tuple[str, str]] = []
        self._coming = self._batches()

    def __len__(self) -> int:
        """How many were found, readable or not."""
        return len(self._found)

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        return self._coming

    def begin(self) -> None:
        """Decode the first batch: what is wrong with few pictures is said before a model loads."""
        self._coming = itertools.chain([next(self._coming)], self._coming)

    def names_of(self, number: int) -> tuple[str, ...]:
        """Of a batch that has been handed out."""
        return tuple(self.names[number * self._size : (number + 1) * self._size])

    def again(self, number: int) -> list[np.ndarray]:
        """The squares of such a batch, decoded anew."""
        reads = self.originals[number * self._size : (number + 1) * self._size]
        return [square for _, square in in_threads(self.square, reads)]

    def square(self, read: Read) -> tuple[np.ndarray, np.ndarray]:
        """A picture at its own size, and as the model sees it."""
        picture = read()
        return picture, resize(picture, self._card.image_size, self._card.fit)

    def _batches(self) -> Iterator[list[np.ndarray]]:
        """After the first that cannot be read nothing more is handed out, unless it is skipped."""
        batch: list[np.ndarray] = []
        results = in_threads(self._try, [read for _, read in self._found], self._size)
        shown = bar("reading pictures", results, total=len(self), unit="pictures")
        for (name, read), result in zip(self._found, shown, strict=True):
            if isinstance(result, str):
                self.unreadable.append((name, result))
            elif self._skips or not self.unreadable:
                if len(batch) == self._size:
                    yield batch
                    batch = []
                square, size, checksum = result
                batch.append(square)
                self.names.append(name)
                self.sizes.append(size)
                self.originals.append(partial(_unchanged, name, read, checksum))
        _report(self.unreadable, len(self), is_refused=not (self._skips and self.names))
        yield batch

    def _try(self, read: Read) -> tuple[np.ndarray, tuple[int, int], int] | str:
        try:
            picture, square = self.square(read)
        except (DataError, OSError) as error:
            return reason_of(error)
        return square, picture.shape[:2], _checksum(picture)


def _unchanged(name: str, read: Read, checksum: int) -> np.ndarray:
    """The picture read again; raises DataError where it is not what was answered."""
    with suppress(DataError, OSError):
        if _checksum(picture := read()) == checksum:
            return picture
    raise DataError(f"{name} was changed or removed while it was answered; run the command again")


def _checksum(picture: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(picture).data)


def stacked(squares: Sequence[np.ndarray], *, in_colour: bool) -> np.ndarray:
    """uint8 (S, S) or (S, S, 3) each as (B, S, S), of grey ones alone, or (B, S, S, 3)."""
    return np.stack([as_rgb(square) for square in squares] if in_colour else squares)


def _report(unreadable: Sequence[tuple[str, str]], count: int, *, is_refused: bool) -> None:
    """Name what cannot be read, in the DataError or in the log."""
    if not unreadable:
        return
    lines = listed_by_reason(unreadable)
    if is_refused:
        which = f"{len(unreadable):,} of {count:,} pictures" if count > 1 else "the picture"
        ways = "mend or remove what is named here"
        if len(unreadable) < count:
            ways += ", or answer the others with skip_unreadable=true"
        raise DataError(f"{which} cannot be read, so none is answered; {ways}:\n{lines}")
    log.warning("left out: %d of %d pictures cannot be read:", len(unreadable), count)
    for line in lines.splitlines():
        log.warning("%s", line)
