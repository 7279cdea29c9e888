"""The files that a table means, where its paths were written on another computer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from braintumor.config import first_of
from braintumor.data.images import is_image_name
from braintumor.data.sources import Item
from braintumor.errors import DataError

NAMED = 5  # examples in a message


def find_files(items: Sequence[Item], folder: Path, table: Path) -> tuple[list[Item], str]:
    """The items with the paths of their files below the folder; and folders that no path needs.

    A path may lack its suffix or its folders where one file alone fits; where no file is there,
    the folders that all paths begin with may be those of another computer.
    Raises DataError where no file fits, or more than one.
    """
    paths = [item.path for item in items]
    absent = [path for path in paths if not _is_file(folder / path)]
    if not absent:
        return list(items), ""
    by_name: dict[str, set[str]] = defaultdict(set)  # name, with its suffix and without -> paths
    for file in folder.rglob("*"):
        if is_image_name(file.name) and file.is_file():
            for name in (file.name, file.stem):
                by_name[name].add(file.relative_to(folder).as_posix())
    starts = _shared_starts(paths) if len(absent) == len(paths) else [""]
    found: dict[str, list[str]] = {}
    for start in starts:
        there = {path: _fitting(path.removeprefix(start), by_name) for path in absent}
        if not found or all(len(files) == 1 for files in there.values()):
            found, elsewhere = there, start
        if all(len(files) == 1 for files in found.values()):
            break
    lost = [path for path, files in found.items() if not files]
    if lost:
        raise DataError(
            f"{len(lost)} of {len(items)} files that {table} lists are not under {folder}: "
            f"{first_of(lost, NAMED)}; set data.root to the folder that the paths start at"
        )
    unclear = {path: files for path, files in found.items() if len(files) > 1}
    for path, files in unclear.items():
        raise DataError(
            f"{len(unclear)} of the files that {table} lists may each be several: {path} may be "
            f"{first_of(files, NAMED)}; write their paths from {folder} on"
        )
    return [replace(i, path=found.get(i.path, [i.path])[0]) for i in items], elsewhere


def _shared_starts(paths: Sequence[str]) -> list[str]:
    """What all paths begin with, folder by folder: "", "/kaggle/", "/kaggle/input/"."""
    starts, parts = [""], [path.split("/")[:-1] for path in paths]
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        starts.append(f"{starts[-1]}{level[0]}/")
    return starts


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long for any file, or with a NUL
        return False


def _fitting(path: str, by_name: Mapping[str, Collection[str]]) -> list[str]:
    """The files that end as the path does, with their suffix or without."""
    end = f"/{path}"
    files = by_name.get(path.rpartition("/")[2], ())
    named = {file: (f"/{file}", f"/{file.rpartition('.')[0]}") for file in files}
    return sorted(file for file, names in named.items() if any(n.endswith(end) for n in names))
