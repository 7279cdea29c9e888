"""Rows of a tensor that is mapped from a file, asked of the disk before they are needed.

A row that is not in memory yet is read page by page when it is touched, and nothing else is read
meanwhile. Asked for beforehand, the rows of a batch are read at once, while the one before is in
use. What is in memory already costs a microsecond a row to ask for.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from torch import Tensor

_AHEAD = 2  # batches; with 1 a disk has nothing to do while a batch is copied

# Python's own madvise wants the object of the mapping, which neither numpy nor torch hands on
_madvise = ctypes.CDLL(None).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def read_ahead(source: Tensor, rows: Tensor) -> None:
    """Ask for those rows and do not wait; nothing happens where they lie in plain memory.

    source: (M, ...), contiguous.  rows: int64 (B,).
    """
    if source.device.type != "cpu":
        return
    first, row_bytes = source.data_ptr(), source.stride(0) * source.element_size()
    for row in rows.tolist():
        start = first + row * row_bytes
        page = start - start % mmap.PAGESIZE
        # advice alone: memory of another kind refuses it, which changes nothing
        _madvise(page, start + row_bytes - page, mmap.MADV_WILLNEED)


def asked_ahead(parts: Sequence[Tensor], ask: Callable[[Tensor], None]) -> Iterator[Tensor]:
    """Each of the parts, once it and those that come next have been asked for.

    >>> for part in asked_ahead(["a", "b", "c", "d"], print):
    ...     print("use", part)
    a
    b
    c
    use a
    d
    use b
    use c
    use d
    """
    coming = iter(parts)
    for part in islice(coming, _AHEAD):
        ask(part)
    for part in parts:
        for following in islice(coming, 1):
            ask(following)
        yield part
