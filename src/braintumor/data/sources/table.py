"""A CSV file that says of each image file its class, and if known its patient and split."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from braintumor.data.sources import Item, Source
from braintumor.data.sources._columns import Columns, find_columns, names_for, split_named
from braintumor.errors import DataError
from braintumor.files import natural_key

_NAMED = 5  # examples in a message
_UNKNOWN = ("", "-", "?", "na", "n/a", "nan", "none", "null", "unknown")  # a patient of no name


@dataclass(frozen=True)
class TableSource:
    """Image files that a table lists, relative to a root."""

    root: Path
    items: tuple[Item, ...]
    ignored: Mapping[str, int]

    def read(self, item: Item) -> bytes:
        return (self.root / item.path).read_bytes()


def build(table: Path | None, root: Path | None) -> Source:
    """The images that the CSV file `table` lists.

    Columns path and label, optionally patient and split, by these or other usual names; separated
    by comma, semicolon or tab. What no column is used for is in `ignored`.
    root: folder that paths start at, by default the table's; or the table.
    Raises DataError when columns or files are missing, or a row says too little.
    """
    if table is None and root is not None and root.is_file():
        table, root = root, None
    if table is None:
        raise DataError("data=table needs data.table=FILE.csv with the columns path and label")
    if not table.is_file():
        raise DataError(f"data.table={table} is not a file (looked from {Path.cwd()})")
    folder = table.parent if root is None else root
    header, lines = _read_lines(table)
    columns = _columns(header, lines, table)
    _check_rows(header, lines, table)
    items = [_item(line, columns.places, number, table) for number, line in lines]
    _check(items, folder, table)
    items.sort(key=lambda item: natural_key(item.path))
    return TableSource(folder, tuple(items), columns.ignored)


def _read_lines(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and each row that is not empty with its line number."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            separator = max(",;\t", key=first.count)
            header = [name.strip() for name in next(csv.reader([first], delimiter=separator))]
            reader = csv.reader(file, delimiter=separator)
            lines = [(reader.line_num + 1, line) for line in reader if any(line)]
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise DataError(f"{table} is not a CSV file in UTF-8 ({error}); save it as one") from error
    return header, lines


def _columns(header: list[str], lines: list[tuple[int, list[str]]], table: Path) -> Columns:
    columns = find_columns(header, [line for _, line in lines if len(line) == len(header)])
    missing = [name for name in ("path", "label") if name not in columns.places]
    if missing:
        names = "; ".join(f"for {name} one of {names_for(name)}" for name in missing)
        raise DataError(
            f"{table} has no column {' and no column '.join(missing)}, only {', '.join(header)}; "
            f"give it a usual name: {names}"
        )
    return columns


def _check_rows(header: list[str], lines: list[tuple[int, list[str]]], table: Path) -> None:
    uneven = [str(number) for number, line in lines if len(line) != len(header)]
    if uneven:
        raise DataError(
            f"{table} has {len(header)} columns, but line {', '.join(uneven[:_NAMED])} has not; "
            "quote values that hold a separator"
        )
    if not lines:
        raise DataError(f"{table} lists no image; it needs one row for each")


def _item(line: list[str], places: Mapping[str, int], number: int, table: Path) -> Item:
    row = {name: line[place].strip() for name, place in places.items()}
    if not row["path"] or not row["label"]:
        raise DataError(f"line {number} of {table} has no path or no label; fill it or remove it")
    split, patient = row.get("split", ""), row.get("patient", "")
    if split and not split_named(split):
        raise DataError(f"line {number} of {table} has split {split!r}; use train, val or test")
    return Item(
        path=row["path"].replace("\\", "/"),
        label=row["label"],
        split=split_named(split),
        patient=None if patient.casefold() in _UNKNOWN else patient,
    )


def _check(items: list[Item], folder: Path, table: Path) -> None:
    paths = [item.path for item in items]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise DataError(f"{table} lists twice: {_some(twice)}; keep one row an image")
    unsplit = [item.path for item in items if item.split is None]
    if unsplit and len(unsplit) < len(items):
        raise DataError(
            f"{table} gives a split for some images only, not for {_some(unsplit)}; "
            "give it for all or leave the column out"
        )
    absent = [path for path in paths if not (folder / path).is_file()]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(paths)} files that {table} lists are not under {folder}: "
            f"{_some(absent)}; set data.root to the folder that the paths start at"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
