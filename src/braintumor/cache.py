"""Results that outlive a run: arrays in the cache folder, found by all that they depend on.

An entry is NAME.npz, a few columns. A large array lies beside it as NAME.npy, written first, which
all processes of the machine map and so hold in memory once. Columns have the checksums of the zip
format and each row of the array has one in the columns: no damage ever gives a wrong value. A
cache may only help: what is damaged is as good as absent, and that is said once.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import logging
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from braintumor.cache_folder import KINDS, cache_dir, is_marked, make_room, own_files
from braintumor.errors import MachineError
from braintumor.files import write_array, write_atomic
from braintumor.runtime import in_threads

_BLOCK = 64  # rows that a thread checks before it takes others

log = logging.getLogger(__name__)


def entry_path(kind: str, *parts: object, prefix: str = "") -> Path:
    """Where the entry lies that depends on those parts: its .npz file.

    kind: one of KINDS.  parts: texts, bytes or what repr tells in full, first a version, to be
    raised when the same parts would give anything else.
    """
    digest = hashlib.sha256()
    for part in parts:
        if not isinstance(part, bytes | memoryview):
            text = part if isinstance(part, str) else repr(part)
            part = f"{text}\n".encode("utf-8", "surrogateescape")
        digest.update(part)
    return cache_dir() / kind / f"{prefix}{digest.hexdigest()[:32]}.npz"


@dataclass(frozen=True, eq=False)
class Entry:
    """What a file of the cache holds. rows: (N, ...), mapped from the disk; (0,) without any."""

    path: Path
    columns: dict[str, np.ndarray]
    rows: np.ndarray
    _checksums: list[int]
    _found: dict[int, bool] = field(default_factory=dict)  # row -> whether it is intact

    def is_intact(self, row: int) -> bool:
        """Whether a row is, bit for bit, the one that was written; several threads may ask."""
        if row not in self._found:
            self._found[row] = zlib.crc32(self.rows[row].data) == self._checksums[row]
        return self._found[row]

    def is_whole(self) -> bool:
        """Whether all rows are intact, read by all cores."""
        rows = range(len(self._checksums))
        blocks = (rows[start : start + _BLOCK] for start in rows[::_BLOCK])
        return all(in_threads(lambda block: all(map(self.is_intact, block)), blocks))

    @property
    def is_used(self) -> bool:
        """Whether anybody asked for a row."""
        return bool(self._found)

    @property
    def is_damaged(self) -> bool:
        """Whether a row was found that is not intact."""
        return not all(self._found.values())

    def touch(self) -> None:
        """Note that it was used: what was not for longest is the first to go."""
        with contextlib.suppress(OSError):  # what is only read is somebody else's to keep small
            os.utime(self.path)

    def discard(self) -> None:
        """Say that it is damaged, and take it off the disk; who has it mapped keeps it."""
        _discard(self.path, "a checksum is not that of its content")


def read_entry(path: Path, names: Iterable[str], *, writable: bool = False) -> Entry | None:
    """The entry with those columns; None when there is none or, with a warning, it is damaged.

    Its rows are not checked yet.  writable: rows may be changed, which stays in this process.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in names}
            if "checksum" not in stored.files:
                return Entry(path, columns, np.empty(0), [])
            checksums, layout = stored["checksum"].tolist(), str(stored["layout"])
            stored_kind = stored["checksum"].dtype.kind
        mapped = np.load(path.with_suffix(".npy"), "c" if writable else "r", allow_pickle=False)
        if f"{mapped.dtype.str} {mapped.shape}" != layout:
            raise ValueError("it is another array than was written")
        columns_fit = all(column.shape[:1] == mapped.shape[:1] for column in columns.values())
        if len(checksums) != len(mapped) or stored_kind != "u" or not columns_fit:
            raise ValueError("its parts are not of one length")
    except Exception as error:  # the parsers of zip and npy raise nearly every kind on damage
        if path.exists():
            _discard(path, error)
        return None
    return Entry(path, columns, np.asarray(mapped), checksums)  # slices of np.memmap cost more


def read_entries(kind: str, prefix: str, names: Iterable[str]) -> Iterator[Entry]:
    """Entries whose names begin so, the most recently used first."""
    found: dict[Path, os.stat_result] = {}
    with contextlib.suppress(OSError):  # a folder that may not be listed: nothing is known
        found = own_files(cache_dir() / kind)
    for path in sorted(found, key=lambda path: found[path].st_mtime, reverse=True):
        is_wanted = path.suffix == ".npz" and path.name.startswith(prefix)
        if is_wanted and (entry := read_entry(path, names)):
            yield entry


def write_entry(
    path: Path, columns: Mapping[str, np.ndarray], rows: Iterable[np.ndarray] = (), count: int = 0
) -> bool:
    """Keep columns and, part by part, an array of `count` rows; whether that went well.

    What was not used for longest makes room. Never raises for want of room: it warns.
    rows: arrays of one type that make the whole when joined along the first axis.
    """
    kind, parts, kept = path.parent.name, iter(rows), dict(columns)
    try:
        first = next(parts) if count else np.empty(0)
        row_bytes = (first[:1].nbytes + 4) * count
        make_room(kind, row_bytes + sum(column.nbytes + 1000 for column in columns.values()))
        if count:
            shape, dtype = (count, *first.shape[1:]), first.dtype
            checksums: list[int] = []

            def noted() -> Iterator[np.ndarray]:
                for part in map(np.ascontiguousarray, itertools.chain([first], parts)):
                    checksums.extend(zlib.crc32(row.data) for row in part)
                    yield part

            write_array(path.with_suffix(".npy"), shape, dtype, noted())
            kept["checksum"] = np.array(checksums, np.uint32)
            kept["layout"] = np.array(f"{dtype.str} {shape}")
        buffer = io.BytesIO()
        np.savez(buffer, **kept)  # type: ignore[arg-type]
        write_atomic(path, buffer.getvalue())
    except (OSError, MachineError) as error:
        log.warning("%s: %s", KINDS[kind].failure, error)
        return False
    return True


def _discard(path: Path, why: object) -> None:
    log.warning("%s is damaged (%s); what it held is worked out again", path, why)
    for part in (path, path.with_suffix(".npy")) if is_marked() else ():
        with contextlib.suppress(OSError):  # read-only: then it is found damaged again next time
            part.unlink(missing_ok=True)
