"""A CSV file that says of each image file its class, and if known its patient and split."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from braintumor import limits
from braintumor.config import first_of
from braintumor.data.names import is_unlabelled, split_of, without_decimals
from braintumor.data.patients import patient_named
from braintumor.data.sources import FileSource, Item, Source
from braintumor.data.sources._columns import find_columns
from braintumor.data.sources._look import Choice
from braintumor.data.sources._table_files import (
    NAMED,
    find_files,
    such_as,
    tables_in,
    tables_of_splits,
)
from braintumor.data.sources._table_text import read_lines
from braintumor.errors import DataError, some
from braintumor.files import natural_key, read_bounded


def build(table: Path | None, root: Path | None, patient_regex: str | None = None) -> Source:
    """The images that the CSV file `table` lists, or those of the splits in the folder `table`.

    A folder holds train.csv and test.csv, or train/_classes.csv and test/_classes.csv: one table
    for each split, whose name says which. Columns path and label, optionally patient and split, by
    these or other usual names; separated by comma, semicolon or tab. Instead of label a column of
    0 and 1 for each class. What is in no use is in `ignored`. A path may lack its suffix or its
    folders where one file alone fits.
    root: folder that paths start at, by default that of each table; or the table.
    patient_regex: as in folder.build, for rows whose patient no column tells.
    Raises DataError when columns or files are missing, or a row says too little, and ConfigError
    as folder.build does.
    """
    if table is None and root is not None and root.is_file():
        table, root = root, None
    if table is None:
        raise DataError(
            "data=table needs data.table=FILE.csv with the columns path and "
            f"label{such_as(tables_in(root or Path()))}"
        )
    if not table.exists():
        raise DataError(f"data.table={table} is not a file (looked from {Path.cwd()})")
    tables: dict[Path, str | None] = {table: None}
    if table.is_dir():
        tables = tables_of_splits(table)
    folder = root or (table if table.is_dir() else table.parent)
    items: list[Item] = []
    ignored: Counter[str] = Counter()
    for one, split in tables.items():
        begin = root or one.parent
        listed, unused = _read_table(one, begin)
        ignored.update(unused)
        start = begin.relative_to(folder).as_posix()
        for item in listed:
            path = posixpath.normpath(posixpath.join(start, item.path))
            items.append(replace(item, path=path, split=item.split or split))
    _check(items, table)
    items.sort(key=lambda item: natural_key(item.path))
    found = Choice.given(None, None, patient_regex).patients([item.path for item in items])
    items = [replace(i, patient=i.patient or name) for i, name in zip(items, found, strict=True)]
    return FileSource(
        tuple(items), ignored, lambda path: read_bounded(folder / path, limits.FILE_BYTES)
    )


def _read_table(table: Path, folder: Path) -> tuple[list[Item], dict[str, int]]:
    """What one table lists, with paths from the folder on, and what of it is in no use."""
    header, lines = read_lines(table)
    columns = len(header)
    even = [line for _, line in lines if len(line) == columns]
    uneven = [str(number) for number, line in lines if len(line) != columns]
    places, ignored = find_columns(header, even, table)
    if uneven:
        raise DataError(
            f"{table} has {some(columns, 'column')}, but line {', '.join(uneven[:NAMED])} has not; "
            "quote values that hold a separator"
        )
    if not lines:
        raise DataError(f"{table} lists no image; it needs one row for each")
    items = [_item(line, places, number, table) for number, line in lines]
    items, otherwise = find_files(items, folder, table)
    return items, ignored | otherwise


def _item(line: list[str], places: Mapping[str, int], number: int, table: Path) -> Item:
    row = {name: line[place].strip() for name, place in places.items()}
    if not row["path"] or is_unlabelled(row["label"]):
        said = f" ({row['label']!r} is none; a class is a name, or 0, 1, …)" if row["label"] else ""
        raise DataError(
            f"line {number} of {table} has no path or no label{said}; fill it or remove it"
        )
    split, patient = row.get("split", ""), row.get("patient", "")
    if split and not split_of(split):
        raise DataError(
            f"line {number} of {table} has split {split!r}; use train, val or test, or remove "
            "such rows"
        )
    return Item(
        path=posixpath.normpath(row["path"].replace("\\", "/")),
        label=without_decimals(row["label"]),
        split=split_of(split),
        patient=patient_named(patient),
    )


def _check(items: list[Item], table: Path) -> None:
    paths = [item.path for item in items]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise DataError(f"{table} lists twice: {first_of(twice, NAMED)}; keep one row an image")
    unsplit = [item.path for item in items if item.split is None]
    if unsplit and len(unsplit) < len(items):
        raise DataError(
            f"{table} gives a split for some images only, not for {first_of(unsplit, NAMED)}; "
            "give it for all or leave the column out"
        )
