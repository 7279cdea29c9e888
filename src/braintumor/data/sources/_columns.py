"""Which column of a table says what, told from its header; `table` reads the rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from braintumor.data.sources._folder_names import SPLIT_NAMES

# Names met in public data sets, in order of preference, as `_plain` makes them. `fold` is no split.
_NAMES = {
    "path": (
        "path", "filename", "file", "filepath", "image", "imagepath", "imagefile", "imagename",
        "imagefilename", "img", "imgpath",
    ),
    "label": (
        "label", "class", "classname", "classlabel", "category", "diagnosis", "target",
        "tumortype", "tumourtype",
    ),
    "patient": (
        "patient", "patientid", "patientno", "patientnumber", "patientnum", "patientcode",
        "patientname", "patid", "ptid", "pid", "subject", "subjectid", "subjectno",
        "subjectnumber", "subj", "subjid", "sub", "subid", "participant", "participantid",
        "case", "caseid", "caseno", "casenumber", "mrn",
    ),
    "split": ("split", "subset"),
}  # fmt: skip
# These often mean something else, so every one of their values must be the name of a split.
_PERHAPS_SPLIT = ("set", "datasplit", "partition", "phase", "usage", "use", "purpose", "dataset")


@dataclass(frozen=True)
class Columns:
    """Where a table says what.

    places: path, label, patient, split -> number of the column, from 0; some may be missing.
    ignored: what is in no use, in words -> how many rows have it.
    """

    places: dict[str, int]
    ignored: dict[str, int]


def find_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Columns:
    """The columns by their names; case, spaces, underscores, hyphens and dots do not matter.

    rows: as long as the header each. Of two columns that could be the same, the better name counts.
    """
    names = [_plain(name) for name in header]
    places: dict[str, int] = {}
    ignored: Counter[str] = Counter()
    for place in sorted(range(len(names)), key=lambda place: _rank(names[place])):
        meaning, why = _meaning(names[place]), ""
        if names[place] in _PERHAPS_SPLIT and not _holds_splits(rows, place):
            meaning, why = None, ", which are not all train, val or test"
        elif meaning in places:
            why = f", since column {header[places[meaning]]} is used as the {meaning}"
        if meaning and meaning not in places:
            places[meaning] = place
        else:
            name = f"column {header[place]}" if header[place] else "a column without a name"
            ignored[f"values of {name}{why}"] += sum(bool(row[place].strip()) for row in rows)
    return Columns(places, dict(ignored))


def names_for(meaning: str) -> str:
    """What the column of a meaning may be called, for messages."""
    return ", ".join(_NAMES[meaning])


def split_named(text: str) -> str | None:
    """train, val or test, however a table spells it; None for any other word."""
    return SPLIT_NAMES.get(text.strip().casefold())


def _plain(name: str) -> str:
    """ "Patient ID", "patient_id" and "PatientID" are one name."""
    return re.sub(r"[\s_.-]+", "", name).casefold()


def _meaning(name: str) -> str | None:
    if name in _PERHAPS_SPLIT:
        return "split"
    return next((meaning for meaning, names in _NAMES.items() if name in names), None)


def _rank(name: str) -> int:
    """The lower the better, among names of one meaning."""
    preferred = [*(name for names in _NAMES.values() for name in names), *_PERHAPS_SPLIT]
    return preferred.index(name) if name in preferred else len(preferred)


def _holds_splits(rows: Sequence[Sequence[str]], place: int) -> bool:
    return all(split_named(row[place]) for row in rows)
