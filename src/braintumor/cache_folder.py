"""The folder that keeps what can be worked out again: where it is, what is ours, and its room."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from braintumor.errors import ConfigError, MachineError
from braintumor.files import MARKER, remove_if_empty


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
    "shapes": Kind(
        "what timm's networks do to a size of picture",
        1_000_000,
        "the sizes of the network's maps are worked out again by the next run",
    ),
    "floors": Kind(
        "what rules without anatomy score",
        50_000_000,
        "the floors are not kept for other models",
    ),
}

_OURS = re.compile(r"\.?([\w-]+-)?[0-9a-f]{32}\.np[yz](\.\w+)?")  # with a dot: part-written
_ABANDONED_S = 86_400.0  # age of a part-written file whose writer must be dead


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
    if not is_marked():
        return
    groups: dict[str, dict[Path, os.stat_result]] = {}
    for path, about in own_files(folder).items():
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
    return {kind: own_files(cache_dir() / kind) for kind in KINDS}


def size_bytes(files: Mapping[Path, os.stat_result]) -> int:
    """Of some of those files together."""
    return sum(about.st_size for about in files.values())


def remove_files() -> int:
    """Remove all of `list_files`, and the folders that are then empty; gives the bytes freed.

    Who has a file mapped keeps it until he ends. Raises OSError where there is no permission,
    ConfigError where the folder does not say that it is a cache of ours.
    """
    whole = cache_dir()
    if whole.is_dir() and any(whole.iterdir()) and not is_marked():
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
        remove_if_empty(whole / kind)
    if whole.is_dir() and {path.name for path in whole.iterdir()} == {MARKER}:
        (whole / MARKER).unlink()
    return freed_bytes


def is_marked() -> bool:
    """Whether the folder says that it is ours."""
    return (cache_dir() / MARKER).is_file()


def own_files(folder: Path) -> dict[Path, os.stat_result]:
    """Files of ours there, by name. One that another process has just removed is not there."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _OURS.fullmatch(path.name):
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.stat()
    return found
