"""What each column of a table is for: path, label, patient, split, or nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from braintumor.config import first_of
from braintumor.data.images import is_image_name
from braintumor.data.names import LABEL_NAMES, split_in, split_of, without_decimals
from braintumor.data.patients import patient_rank
from braintumor.errors import DataError

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
# These often mean something else, so their values must be the names of splits.
_PERHAPS_SPLIT = ("set", "datasplit", "partition", "phase", "usage", "use", "purpose", "dataset")
_MEANINGS = {name: meaning for meaning, names in _NAMES.items() for name in names}
_MEANINGS |= dict.fromkeys(_PERHAPS_SPLIT, "split")
_RANK = {name: rank for rank, name in enumerate(_MEANINGS)}  # the lower the better
_WANTED = {"path": "of the images", "label": "of the classes"}
_MARKS = dict.fromkeys(("0", "0.0", "false", "no"), False)
_MARKS |= dict.fromkeys(("1", "1.0", "true", "yes"), True)
_PERHAPS_SOUND = ("isvalid", "valid")  # for validation, or a picture without a fault


def find_columns(
    header: list[str], rows: Sequence[list[str]], table: Path
) -> tuple[dict[str, int], dict[str, int]]:
    """Where the table says what: path, label, patient, split -> number of the column, from 0.

    And what is in no use, in words -> how many rows have it. Case, spaces, underscores, hyphens
    and dots of a name do not matter; of two columns that could be the same, the better name counts,
    of classes one of names before one of numbers. Without a name of a path it is the column that
    holds names of images. Columns of 0 and 1, one a class or a split, become one, in place.
    rows: as long as the header each.
    Raises DataError where no column tells the image, or its class.
    """
    known = first_of(header, 20)
    _join_marks(header, rows)
    names = [_plain(name) for name in header]
    columns = [[row[place].strip() for row in rows] for place in range(len(names))]
    meanings = [_meaning_of(name, values) for name, values in zip(names, columns, strict=True)]
    if "path" not in meanings:
        of_images = [p for p, c in enumerate(columns) if c and all(map(is_image_name, c))]
        meanings = ["path" if [p] == of_images else old for p, old in enumerate(meanings)]
    numbered = [all(without_decimals(cell).isdecimal() for cell in cells) for cells in columns]
    ranks = [_RANK.get(name, len(_RANK) + (patient_rank(name) or 0)) for name in names]
    order = [(meanings[p] == "label" and numbered[p], ranks[p], p) for p in range(len(names))]
    places: dict[str, int] = {}
    ignored: Counter[str] = Counter()
    for *_, place in sorted(order):
        meaning, why = meanings[place], ""
        if meaning is None:
            why = why_unused(header[place])
        elif meaning in places:
            why = f", since column {header[places[meaning]]} is used as the {meaning}"
        if meaning and meaning not in places:
            places[meaning] = place
        else:
            name = f"column {header[place]}" if header[place] else "a column without a name"
            ignored[f"values of {name}{why}"] += sum(map(bool, columns[place]))
    if missing := [name for name in _WANTED if name not in places]:
        raise DataError(f"{table} {_what_is_missing(missing, header, rows, places, known)}")
    return places, dict(+ignored)


def _join_marks(header: list[str], rows: Sequence[list[str]]) -> None:
    """Columns of 0 and 1 become one in place: those of splits, such as is_test, and of classes.

    Only where every row has exactly one 1 in them, so that they can mean nothing else; of one
    column of a split the other rows are of another.
    """
    if not any(_plain(name) in _NAMES["split"] for name in header):
        marks = _marked(header, rows)
        splits = {p: split for p in marks if (split := _split_marked(header[p]))}
        if len(splits) == 1:
            ((place, split),) = splits.items()
            splits[-1] = "train" if split != "train" else "test"
            marks[-1] = [not mark for mark in marks[place]]
        _join(header, rows, "split", {p: (name, marks[p]) for p, name in splits.items()})
    if "label" not in map(_meaning, header):
        marks = _marked(header, rows)
        classes = {p: (header[p], marks[p]) for p in marks if not _split_marked(header[p])}
        _join(header, rows, "label", classes)


def _join(
    header: list[str],
    rows: Sequence[list[str]],
    name: str,
    columns: Mapping[int, tuple[str, list[bool]]],
) -> None:
    """columns: place (-1: none) -> what its marks say, and of which row."""
    marks = [*zip(*(marks for _, marks in columns.values()), strict=True)]
    if len(columns) < 2 or any(sum(row) != 1 for row in marks):
        return
    names = [said for said, _ in columns.values()]
    cells = [names[row.index(True)] for row in marks]
    for line, cell in zip((header, *rows), (name, *cells), strict=True):
        line[:] = [old for place, old in enumerate(line) if place not in columns] + [cell]


def _marked(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[int, list[bool]]:
    """The columns that hold 0 and 1 alone and have no other meaning."""
    found = {}
    for place, name in enumerate(header):
        cells = [_MARKS.get(row[place].strip().casefold()) for row in rows]
        if cells and name and _meaning(name) is None and None not in cells:
            found[place] = [bool(cell) for cell in cells]
    return found


def _split_marked(name: str) -> str | None:
    """The split whose images a column of 0 and 1 marks: is_test, Train, validation."""
    bare = re.sub(r"^(?i:is|in)(?=[\W_A-Z])[\W_]*", "", name)
    return None if _plain(name) in _PERHAPS_SOUND else split_of(bare) and split_in(bare)


def _plain(name: str) -> str:
    """A name of a column without case and signs: "Patient ID" and "patient_id" are one."""
    return re.sub(r"[\s_.-]+", "", name).casefold()


def _meaning(name: str) -> str | None:
    return _MEANINGS.get(_plain(name))


def may_say_split(column: str) -> bool:
    """Whether the name is one of a column of splits, or of one that marks those of a split."""
    return _meaning(column) == "split" or _split_marked(column) is not None


def why_unused(column: str) -> str:
    """Of a column that could have been the split."""
    name = _plain(column)
    if name in _PERHAPS_SPLIT or _split_marked(column):
        return ", which are not all train, val or test"
    if name in _PERHAPS_SOUND:
        return ", which may mean validation or sound: call it is_val, if it is the split"
    return ", since folds are drawn anew" if "fold" in name else ""


def _what_is_missing(
    missing: Sequence[str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    places: Mapping[str, int],
    known: str,
) -> str:
    """What a table lacks, and what to do. known: its columns, before some were joined."""
    marks = [header[p] for p in _marked(header, rows) if not _split_marked(header[p])]
    if missing == ["label"] and len(marks) > 1:
        return (
            f"has no column label; of its columns of 0 and 1 ({', '.join(marks)}) each row should "
            "have one 1: leave the others out, or write the class into a column label"
        )
    if any(map(is_image_name, " ".join(header).split())):
        return "has no names of columns; put a line before all: path,label"
    if "path" in missing and "patient" in places:
        return (
            f"has a row for each patient (column {header[places['patient']]}), not for each image; "
            "make a table with a row an image and the columns path, label and patient"
        )
    wanted = " and ".join(f"the column {_WANTED[name]} {name}" for name in missing)
    return f"has no column {' and no column '.join(missing)}, only {known}; call {wanted}"


def _meaning_of(name: str, values: Sequence[str]) -> str | None:
    """What a column is for, by its plain name; a split too where its values are."""
    if name in _MEANINGS and name not in _PERHAPS_SPLIT:
        return _MEANINGS[name]
    splits = set(map(split_of, values))
    if None not in splits and (len(splits) > 1 or name in _PERHAPS_SPLIT):
        return "split"
    if name in _PERHAPS_SPLIT and {"train", "test"} <= splits:  # what else it says is refused
        return "split"
    return None if patient_rank(name) is None else "patient"
