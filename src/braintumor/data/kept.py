"""What outlives a run in the cache folder: tables, a bound on their size, and a way to drop all.

A cache may only help: a table that is damaged is as good as none, and says so once.
"""

from __future__ import annotations

import io
import logging
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from braintumor.errors import ConfigError, MachineError
from braintumor.files import MARKER, cache_dir, write_atomic

# in `cache_dir()`: who writes there names its files after a digest of what they depend on
FOLDERS = {
    "decoded": "pictures as a model sees them, and their fingerprints",
    "copies": "copies that were found among images",
    "features": "what frozen backbones made of images",
    "floors": "what rules without anatomy score",
}
_OURS = re.compile(r"\.?([\w-]+-)?[0-9a-f]{32}\.np[yz](\.\w+)?")  # with a dot: part-written

_ABANDONED_S = 86_400.0  # age of a part-written file whose writer must be dead

log = logging.getLogger(__name__)


def write_table(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Keep arrays in a .npz file, whole or not at all; its checksums find any damage later.

    Raises OSError or MachineError when they cannot be written.
    """
    mark_cache()
    buffer = io.BytesIO()
    np.savez(buffer, **columns)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())


def read_table(path: Path, names: Iterable[str]) -> dict[str, np.ndarray] | None:
    """The arrays of that file; None when there is none, or, with a warning, when it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except FileNotFoundError:
        return None
    except Exception as error:  # the parsers of zip and npy raise nearly every kind on damage
        log.warning("%s is damaged (%s); what it held is worked out again", path, error)
        return None


def make_room(folder: Path, needed_bytes: int, most_bytes: int) -> None:
    """Remove what was not used for longest until `needed_bytes` more keep folder to `most_bytes`.

    Files of one stem live and die together, by the latest time that one of them was touched.
    Files with other names than ours are left alone, and all where the cache carries no mark.
    Raises MachineError when they do not fit at all, or would take more than half of the free disk.
    """
    mark_cache()
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
    groups: dict[str, list[Path]] = {}
    for path in _own_files(folder):
        if not path.name.startswith("."):
            groups.setdefault(path.stem, []).append(path)
        elif time.time() - _modified_s(path) > _ABANDONED_S:
            path.unlink(missing_ok=True)
    total = needed_bytes + sum(size_bytes(path) for group in groups.values() for path in group)
    for group in sorted(groups.values(), key=lambda group: max(map(_modified_s, group))):
        if total <= most_bytes:
            break
        for path in group:
            total -= size_bytes(path)
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


def _is_marked() -> bool:
    return (cache_dir() / MARKER).is_file()


def kept_files() -> dict[str, list[Path]]:
    """Files that this toolkit left in each of FOLDERS; what else is there is not its own."""
    return {name: _own_files(cache_dir() / name) for name in FOLDERS}


def remove_kept() -> int:
    """Remove all of `kept_files`, and the folders that are then empty; gives the bytes freed.

    Who has a file mapped keeps it until he ends. Raises OSError where there is no permission,
    ConfigError where the folder does not say that it is a cache of ours.
    """
    whole = cache_dir()
    if whole.is_dir() and any(whole.iterdir()) and not _is_marked():
        raise ConfigError(
            f"{whole} has no file {MARKER}, so it may not be a cache that braintumor made, and "
            "nothing was removed; if it is one of an older version, remove "
            f"{', '.join(f'{name}/' for name in FOLDERS)} in it by hand"
        )
    freed_bytes = 0
    for name, files in kept_files().items():
        for path in files:
            freed_bytes += size_bytes(path)
            path.unlink(missing_ok=True)
        folder = whole / name
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
    if whole.is_dir() and {path.name for path in whole.iterdir()} == {MARKER}:
        (whole / MARKER).unlink()
    return freed_bytes


def size_bytes(path: Path) -> int:
    """Of a file; 0 when another process has just removed it."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _own_files(folder: Path) -> list[Path]:
    inside = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in inside if _OURS.fullmatch(path.name))


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
