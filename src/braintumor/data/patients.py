"""Whom images belong to, as names of folders, columns and files tell."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence

from braintumor.data.names import is_unknown, plain_letters, split_of, without_decimals, words_of

# a column or an array of patients: its word, the clearest first, among words that only say "id"
_PATIENT_WORDS = (
    "patients?", "patienten", "paciente", "hasta", "pids?", "pat", "pt", "mrn", "subjects?", "subj",
    "sub", "participants?", "persons?", "individual", "donor", r"(?:brats|tcga|upenn|ucsf)\d*",
    "cases?",
)  # fmt: skip
_ID_WORDS = (
    "ids?|no|nr|nummer|numbers?|num|numero|code|name|idx|index|barcode|key|hash|uid|unique|bcr|"
    r"anon|anonymi[sz]ed|deidentified|pseudonym|(?:brats|tcga|upenn|ucsf)\d*"
)
_PATIENT_COLUMN = re.compile(
    f"(?:{_ID_WORDS})*(?:{'|'.join(f'({word})' for word in _PATIENT_WORDS)})(?:{_ID_WORDS})*"
)
_IN_PATHS = (  # how file names of the field tell a patient
    *(f"(?i)(?<![a-z]){word}[-_ ]?[0-9]+" for word in ("patient", "subject", "subj", "sub", "pat")),
    *(f"(?i)(?<![a-z]){word}[-_ ]?[0-9]+" for word in ("pt", "case", "vol", "volume", "p")),
    "(?i)(?<![a-z])(?:tcga|brats|upenn|ucsf)[^/]*(?=/)",  # a folder of his
    "(?i)(?<![a-z])(?:oas|ixi)[0-9]+(?:[-_][0-9]+)?",
    "[0-9]{3}_S_[0-9]{4,}",  # of ADNI
    "(?i)tcga[-_][a-z0-9]{2}[-_][a-z0-9]{4}",
    "(?i)(?:brats|upenn|ucsf)[a-z0-9]*[-_](?:[a-z]+[-_])*[0-9]+",
    r"(?i)(?<=/)[0-9]+(?=[-_][0-9]+\.[a-z]+$)",  # 100360_12.png
)
_FOLDERS = tuple("([^/]+)" + "/[^/]+" * below + "$" for below in (3, 2, 1))  # one a patient
_NO_PATIENTS = frozenset((  # what folders with a number are of, too
    "t", "part", "fold", "batch", "set", "group", "grade", "class", "slice", "series", "chunk",
    "split", "level", "stage", "scan", "visit", "session", "ses", "folder", "mr",
))  # fmt: skip
_YEAR = re.compile("(?:19|20)[0-9]{2}")
_MOST = 0.9  # of the images
_LOOKED_AT = 100  # images at first
_NO_PATIENT = ("none", "unknown")
_PATIENTS = frozenset((
    "patient", "patients", "pat", "pt", "p", "subject", "sub", "subj", "case", "id", "volume",
))  # fmt: skip
# public sets, whose name begins that of each patient
_COHORTS = ("tcga", "brats", "upenn", "ucsf", "oas1", "oas2", "oas3", "ixi")
_REMEMBERED = 4_096  # names of folders: each holds many images


def is_patient(folder: str) -> bool:
    """Whether the name is that of a patient: patient 7, sub-012, BraTS20_1, 0012, 002_S_0295."""
    words = words_of(folder)
    is_named = folder.casefold().startswith(_COHORTS) or bool(_PATIENTS & set(words))
    is_numbered = re.fullmatch(r"\d{3,}|\d+(?:[-_]\d+){2,}|\d+_[sS]_\d+", folder) is not None
    return is_numbered or (is_named and any(word.isdecimal() for word in words))


@functools.lru_cache(_REMEMBERED)
def patient_rank(name: str) -> int | None:
    """How clearly a column of that name says whom images belong to, 0 the most; None: not at all.

    >>> patient_rank("Patient ID (anon.)"), patient_rank("Case #"), patient_rank("patient_age")
    (0, 16, None)
    """
    found = _PATIENT_COLUMN.fullmatch(re.sub(r"[\W_]+", "", plain_letters(name)).casefold())
    return None if found is None else found.lastindex - 1 if found.lastindex else 0


def patient_pattern(paths: Sequence[str], labels: Collection[str]) -> str | None:
    """A regular expression that seems to find the patient in most paths; None where none does.

    That is one by which most images have a patient, and some patients several in one folder; or
    a level of folders with numbers, more than there are classes.
    labels: of the images, once or more.

    >>> patient_pattern(["a/pt01_1.png", "a/pt01_2.png", "b/Pt02.png"], "ab")
    '(?i)(?<![a-z])pt[-_ ]?[0-9]+'
    >>> patient_pattern(["a/pt01.png", "b/pt01.png", "b/pt02.png"], "ab")  # numbers of pictures
    >>> patient_pattern(["a/01/1.png", "a/02/1.png", "b/03/1.png", "b/03/2.png"], "ab")
    '([^/]+)/[^/]+$'
    """
    some = paths[:: max(1, len(paths) // _LOOKED_AT)]
    for pattern in (*_IN_PATHS, *_FOLDERS):
        is_folder = pattern in _FOLDERS
        found = _found_by(pattern, some, is_folder)
        if len(found) < _MOST * len(some):
            continue  # 7,000 paths and ten patterns take a second
        found = _found_by(pattern, paths, is_folder)
        count = len({name for _, name in found})
        is_more = count > (len(set(labels)) if is_folder else 1)
        if is_more and len(found) >= _MOST * len(paths) and len(set(found)) < len(found):
            return pattern
    return None


def _found_by(pattern: str, paths: Sequence[str], is_folder: bool) -> list[tuple[str, str]]:
    """Of each path in which it finds a patient: the folder, and what it finds."""
    matches = ((path, re.search(pattern, path)) for path in paths)
    found = [(path.rpartition("/")[0], m[m.re.groups].casefold()) for path, m in matches if m]
    return [(f, name) for f, name in found if not is_folder or _may_be_patient(name)]


@functools.lru_cache(_REMEMBERED)
def _may_be_patient(folder: str) -> bool:
    words = words_of(folder)
    is_numbered = any(map(str.isdecimal, words)) and not _YEAR.fullmatch(folder)
    return is_numbered and _NO_PATIENTS.isdisjoint(words) and split_of(folder) is None


def patient_named(text: str) -> str | None:
    """The patient as a table has it; None where the cell says that it is not known."""
    is_none = is_unknown(text) or text.strip().casefold() in _NO_PATIENT
    return None if is_none else without_decimals(text)


def patient_key(name: str) -> str:
    """The same of one patient as two people write him.

    >>> patient_key("P007 "), patient_key("p7"), patient_key("P 7_1")
    ('p7', 'p7', 'p-7-1')
    """
    return re.sub(r"[\s_-]+", "-", re.sub(r"(?<!\d)0+(?=\d)", "", name.strip().casefold()))
