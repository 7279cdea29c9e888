"""A CSV file that says of each image file its class, and if known its patient and split."""

from __future__ import annotations

import csv
import io
import itertools
import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from braintumor import limits
from braintumor.config import first_of
from braintumor.data.images import is_image_name
from braintumor.data.names import (
    LABEL_NAMES,
    is_unknown,
    patient_named,
    patient_rank,
    split_of,
    without_decimals,
)
from braintumor.data.sources import FileSource, Item, Source
from braintumor.data.sources._look import Choice
from braintumor.data.sources._table_files import NAMED, find_files, tables_in, tables_of_splits
from braintumor.errors import DataError
from braintumor.files import natural_key, read_bounded

# Names met in public data sets, in order of preference, in lower case and without signs between
# words. `fold` is no split.
_NAMES = {
    "path": (
        "path", "filename", "file", "filepath", "image", "imagepath", "imagefile", "imagename",
        "imagefilename", "imagefilepath", "imageid", "img", "imgpath", "imgname", "imgfile",
        "imgid", "images", "files", "filenames", "paths", "filepaths", "id",
    ),
    "label": LABEL_NAMES,
    "split": ("split", "subset"),
}  # fmt: skip
# These often mean something else, so every one of their values must be the name of a split.
_PERHAPS_SPLIT = ("set", "datasplit", "partition", "phase", "usage", "use", "purpose", "dataset")
_MEANINGS = {name: meaning for meaning, names in _NAMES.items() for name in names}
_MEANINGS |= dict.fromkeys(_PERHAPS_SPLIT, "split")
_RANK = {name: rank for rank, name in enumerate(_MEANINGS)}  # the lower the better
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # of Excel and others, new and old
_ONE_HOT = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


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
            f"label{tables_in(root or Path())}"
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
    header, lines = _read_lines(table)
    even = [line for _, line in lines if len(line) == len(header)]
    if lines and len(even) == len(lines):
        _name_one_hot(header, even)
    places, ignored = _find_columns(header, even, table)
    _check_rows(header, lines, table)
    items = [_item(line, places, number, table) for number, line in lines]
    items, otherwise = find_files(items, folder, table)
    return items, ignored | otherwise


def _read_lines(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and each row that is not empty with its line number."""
    try:
        text = _content_of(table).decode("utf-8-sig")
        file = io.StringIO(text, newline="")
        first = file.readline()
        if first.lower().startswith("sep="):  # Excel's own line
            first = file.readline()
        separator = max(",;\t|", key=first.count)
        header = [name.strip() for name in next(csv.reader([first], delimiter=separator))]
        reader = csv.reader(file, delimiter=separator)
        numbered = ((reader.line_num + 1, line) for line in reader if any(line))
        lines = [*itertools.islice(numbered, limits.MEMBERS + 1)]
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise DataError(f"{table} is not a CSV file in UTF-8 ({error}); save it as one") from error
    if len(lines) > limits.MEMBERS:
        raise DataError(f"{table} lists over {limits.MEMBERS:,} images; give a smaller table")
    return header, lines


def _content_of(table: Path) -> bytes:
    try:
        raw = read_bounded(table, limits.TABLE_BYTES)
    except DataError as error:
        raise DataError(f"{table}: {error}; give a smaller table") from error
    if raw.startswith(_WORKBOOKS):
        raise DataError(f"{table} is a workbook, not a CSV file; save it as CSV (UTF-8)")
    if not raw.strip():
        raise DataError(f"{table} is empty; its first line should be: path,label")
    return raw


def _name_one_hot(header: list[str], rows: Sequence[list[str]]) -> None:
    """Where no column is the label, one of 0 and 1 for each class becomes one, in place.

    Only where every row has exactly one 1 in them, so that they can mean nothing else.
    """
    names = [_plain(name) for name in header]
    if any(_MEANINGS.get(name) == "label" for name in names):
        return
    cells = [[_ONE_HOT.get(cell.strip().casefold()) for cell in row] for row in rows]
    places = [
        place for place, name in enumerate(names)
        if name and name not in _MEANINGS and all(row[place] is not None for row in cells)
    ]  # fmt: skip
    if len(places) < 2 or any(sum(bool(row[p]) for p in places) != 1 for row in cells):
        return
    for row, marks in zip(rows, cells, strict=True):
        row.append(next(header[place] for place in places if marks[place]))
    for place in reversed(places):
        del header[place]
        for row in rows:
            del row[place]
    header.append("label")


def _marks(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Names of several columns that hold 0 and 1 alone."""
    found = [
        name for place, name in enumerate(header)
        if rows and all(row[place].strip().casefold() in _ONE_HOT for row in rows)
    ]  # fmt: skip
    return found if len(found) > 1 else []


def _plain(name: str) -> str:
    """A name of a column without case and signs: "Patient ID" and "patient_id" are one."""
    return re.sub(r"[\s_.-]+", "", name).casefold()


def _find_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], table: Path
) -> tuple[dict[str, int], dict[str, int]]:
    """Where the table says what: path, label, patient, split -> number of the column, from 0.

    And what is in no use, in words -> how many rows have it. Case, spaces, underscores, hyphens
    and dots of a name do not matter; of two columns that could be the same, the better name counts.
    rows: as long as the header each.
    """
    names = [_plain(name) for name in header]
    places: dict[str, int] = {}
    ignored: Counter[str] = Counter()
    for place in sorted(range(len(names)), key=lambda place: _rank(names[place])):
        meaning, why = _meaning_of(names[place], [row[place] for row in rows]), ""
        if meaning is None and names[place] in _PERHAPS_SPLIT:
            why = ", which are not all train, val or test"
        elif meaning in places:
            why = f", since column {header[places[meaning]]} is used as the {meaning}"
        if meaning and meaning not in places:
            places[meaning] = place
        else:
            name = f"column {header[place]}" if header[place] else "a column without a name"
            ignored[f"values of {name}{why}"] += sum(bool(row[place].strip()) for row in rows)
    missing = [name for name in ("path", "label") if name not in places]
    marks = _marks(header, rows) if missing == ["label"] else []
    if marks:
        raise DataError(
            f"{table} has no column label; of its columns of 0 and 1 ({', '.join(marks)}) each row "
            "should have one 1: leave the others out, or write the class into a column label"
        )
    if missing and any(map(is_image_name, header)):
        raise DataError(f"{table} has no names of columns; put a line before all: path,label")
    if missing:
        usual = "; ".join(f"for {name} one of {', '.join(_NAMES[name])}" for name in missing)
        raise DataError(
            f"{table} has no column {' and no column '.join(missing)}, only "
            f"{first_of(header, 20)}; give it a usual name: {usual}"
        )
    return places, dict(ignored)


def _rank(name: str) -> int:
    """The lower, the clearer the name says what the column is; in the order of no meaning else."""
    return _RANK.get(name, len(_RANK) + (patient_rank(name) or 0))


def _meaning_of(name: str, values: Sequence[str]) -> str | None:
    """What a column is for, by its plain name; a split too where each of its values is one."""
    if name in _MEANINGS and name not in _PERHAPS_SPLIT:
        return _MEANINGS[name]
    splits = set(map(split_of, values))
    if None not in splits and (len(splits) > 1 or name in _PERHAPS_SPLIT):
        return "split"
    return None if patient_rank(name) is None else "patient"


def _check_rows(header: list[str], lines: list[tuple[int, list[str]]], table: Path) -> None:
    uneven = [str(number) for number, line in lines if len(line) != len(header)]
    if uneven:
        raise DataError(
            f"{table} has {len(header)} columns, but line {', '.join(uneven[:NAMED])} has not; "
            "quote values that hold a separator"
        )
    if not lines:
        raise DataError(f"{table} lists no image; it needs one row for each")


def _item(line: list[str], places: Mapping[str, int], number: int, table: Path) -> Item:
    row = {name: line[place].strip() for name, place in places.items()}
    if not row["path"] or is_unknown(row["label"]):
        raise DataError(f"line {number} of {table} has no path or no label; fill it or remove it")
    split, patient = row.get("split", ""), row.get("patient", "")
    if split and not split_of(split):
        raise DataError(f"line {number} of {table} has split {split!r}; use train, val or test")
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
