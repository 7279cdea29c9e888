"""A CSV file that says of each image file its class, and if known its patient and split."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from braintumor.data.sources import Item, Source
from braintumor.data.sources._folder_names import SPLIT_NAMES
from braintumor.errors import DataError
from braintumor.files import natural_key

_ALIASES = {
    "path": ("path", "filename", "file", "file_name", "file_path", "filepath", "image"),
    "label": ("label", "class", "class_name", "category", "diagnosis", "target"),
    "patient": ("patient", "patient_id", "subject", "subject_id"),
    "split": ("split", "subset"),
}
_NAMED = 5  # examples in a message


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

    Columns path and label (or an alias), optionally patient and split; separated by comma,
    semicolon or tab. root: folder that paths start at, by default the table's; or the table.
    Raises DataError when columns or files are missing, or a row says too little.
    """
    if table is None and root is not None and root.is_file():
        table, root = root, None
    if table is None:
        raise DataError("data=table needs data.table=FILE.csv with the columns path and label")
    if not table.is_file():
        raise DataError(f"data.table={table} is not a file (looked from {Path.cwd()})")
    folder = table.parent if root is None else root
    rows = _read_rows(table)
    items = [_item(row, number, table) for number, row in rows]
    _check(items, folder, table)
    items.sort(key=lambda item: natural_key(item.path))
    return TableSource(folder, tuple(items), {})


def _read_rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, {path, label[, patient][, split]}) of each row, whatever alias the header uses."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            separator = max(",;\t", key=header.count)
            names = [
                name.strip().lower() for name in next(csv.reader([header], delimiter=separator))
            ]
            reader = csv.reader(file, delimiter=separator)
            lines = [(reader.line_num + 1, line) for line in reader if any(line)]
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise DataError(f"{table} is not a CSV file in UTF-8 ({error}); save it as one") from error
    columns = {}
    for column, aliases in _ALIASES.items():
        found = [names.index(alias) for alias in aliases if alias in names]
        if found:
            columns[column] = found[0]
    missing = [column for column in ("path", "label") if column not in columns]
    if missing:
        raise DataError(
            f"{table} has no column {' and no column '.join(missing)}, only {', '.join(names)}; "
            f"name it so, or {' or '.join(_ALIASES[missing[0]][1:4])}"
        )
    uneven = [str(number) for number, line in lines if len(line) != len(names)]
    if uneven:
        raise DataError(
            f"{table} has {len(names)} columns, but line {', '.join(uneven[:_NAMED])} has not; "
            "quote values that hold a separator"
        )
    if not lines:
        raise DataError(f"{table} lists no image; it needs one row for each")
    return [
        (number, {name: line[place].strip() for name, place in columns.items()})
        for number, line in lines
    ]


def _item(row: Mapping[str, str], number: int, table: Path) -> Item:
    if not row["path"] or not row["label"]:
        raise DataError(f"line {number} of {table} has no path or no label; fill it or remove it")
    split = row.get("split", "")
    if split and split.lower() not in SPLIT_NAMES:
        raise DataError(f"line {number} of {table} has split {split!r}; use train, val or test")
    return Item(
        path=row["path"].replace("\\", "/"),
        label=row["label"],
        split=SPLIT_NAMES[split.lower()] if split else None,
        patient=row.get("patient") or None,
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
