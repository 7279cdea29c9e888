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
import re
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from braintumor.errors import ConfigError, MachineError
from braintumor.files import MARKER, write_array, write_atomic
from braintumor.runtime import in_threads


@dataclass(frozen=True)
class Kind:
    """Entries that share a folder. failure: what to say when one cannot be written."""

    holds: str
    max_bytes: int
    failure: str


KINDS = {
    "decoded": Kind(
        "pictures as a model sees them, and their fingerprints",
        20_000_000_000,  # 50 data sets of 7,000 grey pictures at 224 px
        "the decoded images are not kept for the next run",
    ),
    "copies": Kind(
        "copies that were found among images",
        1_000_000_000,
        "the copies found are not kept for the next run",
    ),
    "features": Kind(
        "what frozen backbones made of images",
        40_000_000_000,
        "features are not kept for other runs",
    ),
    "floors": Kind(
        "what rules without anatomy score",
        50_000_000,
        "the floors are not kept for other models",
    ),
}

_OURS = re.compile(r"\.?([\w-]+-)?[0-9a-f]{32}\.np[yz](\.\w+)?")  # with a dot: part-written
_ABANDONED_S = 86_400.0  # age of a part-written file whose writer must be dead
_BLOCK = 64  # rows that a thread checks before it takes others

log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """Where work that can be repeated is kept: $BT_CACHE, else the user's cache folder."""
    parent = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    named = Path(os.environ.get("BT_CACHE") or parent / "braintumor")
    try:
        return named.expanduser()
    except RuntimeError as error:  # no such user, or one without a name and without HOME
        raise ConfigError(
            f"the cache would be {named}, and what ~ stands for is not known here; name a folder "
            "in full: BT_CACHE=FOLDER before the command"
        ) from error


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
        mapped = np.load(path.with_suffix(".npy"), "c" if writable else "r", allow_pickle=False)
        if f"{mapped.dtype.str} {mapped.shape}" != layout:
            raise ValueError("it is another array than was written")
    except Exception as error:  # the parsers of zip and npy raise nearly every kind on damage
        if path.exists():
            _discard(path, error)
        return None
    return Entry(path, columns, np.asarray(mapped), checksums)  # slices of np.memmap cost more


def read_entries(kind: str, prefix: str, names: Iterable[str]) -> Iterator[Entry]:
    """Entries whose names begin so, the most recently used first."""
    found: dict[Path, os.stat_result] = {}
    with contextlib.suppress(OSError):  # a folder that may not be listed: nothing is known
        found = _own_files(cache_dir() / kind)
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


def make_room(kind: str, needed_bytes: int) -> None:
    """Remove what was not used for longest until `needed_bytes` more are within the limit.

    Files of one stem live and die together, by the latest time that one of them was touched.
    Files with other names than ours are left alone, and all where the cache carries no mark.
    Raises MachineError when they do not fit at all, or would take more than half of the free disk.
    """
    mark_cache()
    folder, most_bytes = cache_dir() / kind, KINDS[kind].max_bytes
    folder.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > min(most_bytes, free_bytes // 2):
        raise MachineError(
            f"{needed_bytes / 1e9:.3g} GB are too much for {folder}, which may hold "
            f"{most_bytes / 1e9:.3g} GB and half of the {free_bytes / 1e9:.3g} GB that are free; "
            "name a folder on a larger disk with BT_CACHE"
        )
    if not _is_marked():
        return
    groups: dict[str, dict[Path, os.stat_result]] = {}
    for path, about in _own_files(folder).items():
        if not path.name.startswith("."):
            groups.setdefault(path.stem, {})[path] = about
        elif time.time() - about.st_mtime > _ABANDONED_S:
            path.unlink(missing_ok=True)
    total = needed_bytes + sum(map(size_bytes, groups.values()))
    for group in sorted(groups.values(), key=lambda group: max(f.st_mtime for f in group.values())):
        if total <= most_bytes:
            break
        total -= size_bytes(group)
        for path in reversed(group):  # the columns first, without which nobody opens the array
            path.unlink(missing_ok=True)  # who has it mapped keeps it


def mark_cache() -> None:
    """Say in a new cache folder that it is one, before anything is written there.

    One in which something was already may be anybody's: it stays unmarked, and nothing in it is
    ever removed.
    """
    folder = cache_dir()
    if not folder.exists() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text("The cache of braintumor; bt-data cache=clear empties it.\n")


def list_files() -> dict[str, dict[Path, os.stat_result]]:
    """Files that this toolkit left, by kind; what else is there is not its own."""
    return {kind: _own_files(cache_dir() / kind) for kind in KINDS}


def size_bytes(files: Mapping[Path, os.stat_result]) -> int:
    """Of some of those files together."""
    return sum(about.st_size for about in files.values())


def remove_files() -> int:
    """Remove all of `list_files`, and the folders that are then empty; gives the bytes freed.

    Who has a file mapped keeps it until he ends. Raises OSError where there is no permission,
    ConfigError where the folder does not say that it is a cache of ours.
    """
    whole = cache_dir()
    if whole.is_dir() and any(whole.iterdir()) and not _is_marked():
        raise ConfigError(
            f"{whole} has no file {MARKER}, so it may not be a cache that braintumor made, and "
            "nothing was removed; if it is one of an older version, remove "
            f"{', '.join(f'{kind}/' for kind in KINDS)} in it by hand"
        )
    freed_bytes = 0
    for kind, files in list_files().items():
        for path in files:
            path.unlink(missing_ok=True)
        freed_bytes += size_bytes(files)
        folder = whole / kind
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
    if whole.is_dir() and {path.name for path in whole.iterdir()} == {MARKER}:
        (whole / MARKER).unlink()
    return freed_bytes


def _discard(path: Path, why: object) -> None:
    log.warning("%s is damaged (%s); what it held is worked out again", path, why)
    for part in (path, path.with_suffix(".npy")) if _is_marked() else ():
        with contextlib.suppress(OSError):  # read-only: then it is found damaged again next time
            part.unlink(missing_ok=True)


def _is_marked() -> bool:
    return (cache_dir() / MARKER).is_file()


def _own_files(folder: Path) -> dict[Path, os.stat_result]:
    """By name. One that another process has just removed is not there."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _OURS.fullmatch(path.name):
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.stat()
    return found
