"""The files that a table means, where its paths were written on another computer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from braintumor.config import first_of
from braintumor.data.images import is_image_name
from braintumor.data.names import split_in, split_of
from braintumor.data.sources import Item
from braintumor.data.sources._columns import find_columns
from braintumor.data.sources._table_text import read_lines
from braintumor.errors import DataError
from braintumor.quoting import pasteable

NAMED = 5  # examples in a message


def tables_in(folder: Path, others: Iterable[Path] = ()) -> list[str]:
    """The tables of images in a folder, or among others, each as a setting to add to the command.

    The first is the folder itself where it holds one for each split.
    """
    near = {path.resolve(): path for path in (*others, *_tables(folder)) if _is_table(path)}
    usable = sorted(filter(_has_images, near.values()), key=lambda path: (len(path.parts), path))
    shown = [pasteable("data.table", str(path)) for path in usable]
    splits = _by_split(folder)
    if splits and all(map(_has_images, splits)):
        shown.insert(0, f"{pasteable('data.table', str(folder))} for all splits")
    return shown


def _has_images(table: Path) -> bool:
    """Whether it can be read, and names images and their classes."""
    try:
        header, lines = read_lines(table)
        find_columns(header, [line for _, line in lines if len(line) == len(header)], table)
    except (DataError, OSError):
        return False
    return True


def tables_of_splits(folder: Path) -> dict[Path, str | None]:
    """The tables of the splits in a folder -> the split that the name of each tells.

    Raises DataError where there are others too, or two for one split, or none for training.
    """
    found = _by_split(folder)
    if not found:
        raise DataError(
            f"data.table={folder} is a folder, but not of one table for each split (train.csv and "
            "test.csv, or train/labels.csv and test/labels.csv); give a table"
            f"{such_as(tables_in(folder))}"
        )
    return dict(found)


def _by_split(folder: Path) -> dict[Path, str]:
    """As tables_of_splits; empty where it raises."""
    named = [(path, split_in(path.stem)) for path in _tables(folder)]
    named += [
        (path, split_of(inner.name))
        for inner in sorted(folder.glob("*"))
        if inner.is_dir() and split_of(inner.name)
        for path in _tables(inner)
    ]
    splits = [split for _, split in named]
    is_clear = "train" in splits and None not in splits and len(set(splits)) == len(splits) > 1
    return {path: split for path, split in named if split} if is_clear else {}


def such_as(settings: Sequence[str]) -> str:
    return f", such as {first_of(settings, NAMED)}" if settings else ""


def _tables(folder: Path) -> list[Path]:
    return sorted(filter(_is_table, folder.glob("*")))


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv")


def find_files(
    items: Sequence[Item], folder: Path, table: Path
) -> tuple[list[Item], dict[str, int]]:
    """The items with the paths of their files below the folder; and what of paths is in no use.

    A path may lack its suffix or its folders, or differ in case or by another suffix, where one
    file alone fits; where no file is there, the folders that all paths begin with may be those of
    another computer.
    Raises DataError where no file fits, or more than one.
    """
    paths = [item.path for item in items]
    absent = [path for path in paths if not _is_file(folder / path)]
    if not absent:
        return list(items), {}
    by_name: dict[str, set[str]] = defaultdict(set)  # name, with its suffix and without -> paths
    for file in folder.rglob("*"):
        if is_image_name(file.name) and file.is_file():
            for name in {file.name.casefold(), file.stem.casefold()}:
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
        way = "put them there, or remove their rows"
        if len(lost) == len(items):
            way = "set data.root to the folder that the paths start at"
        raise DataError(
            f"{len(lost)} of {len(items)} files that {table} lists are not under {folder}: "
            f"{first_of(lost, NAMED)}; {way}"
        )
    found = {path: _near(table, folder, files) for path, files in found.items()}
    unclear = {path: files for path, files in found.items() if len(files) > 1}
    for path, files in unclear.items():
        raise DataError(
            f"{len(unclear)} of the files that {table} lists may each be several: {path} may be "
            f"{first_of(files, NAMED)}; write their paths from {folder} on"
        )
    places = {path: files[0] for path, files in found.items()}
    spelt = sum(not _ends_as(there, path.removeprefix(elsewhere)) for path, there in places.items())
    otherwise = {
        f"beginnings of paths, {elsewhere}, where no file is": len(items) if elsewhere else 0,
        "spellings of paths, where the file has another case or suffix": spelt,
    }
    shown = {words: count for words, count in otherwise.items() if count}
    return [replace(item, path=places.get(item.path, item.path)) for item in items], shown


def _near(table: Path, folder: Path, files: list[str]) -> list[str]:
    """Of several files those beside the table, else those in the split that it names: train.csv."""
    beside = [file for file in files if (folder / file).parent == table.parent]
    split = split_in(table.stem)
    return beside or [file for file in files if split and split_of(file) == split] or files


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
    """The files that end as the path does, with their suffix or without; else in another case or
    with another suffix."""
    name = path.rpartition("/")[2].casefold()
    exact = [file for file in by_name.get(name, ()) if _ends_as(file, path)]
    if exact:
        return sorted(exact)
    bare = _bare(path).casefold()
    near = by_name.get(bare.rpartition("/")[2], ())
    return sorted(file for file in near if f"/{_bare(file).casefold()}".endswith(f"/{bare}"))


def _ends_as(file: str, path: str) -> bool:
    return any(f"/{name}".endswith(f"/{path}") for name in (file, file.rpartition(".")[0]))


def _bare(path: str) -> str:
    """The path without the suffix of an image; a dot of other meaning stays."""
    is_image = is_image_name(path) or path.lower().endswith((".dcm", ".nii", ".mat"))
    return path.rpartition(".")[0] if is_image else path
