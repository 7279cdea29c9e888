"""What the name of a folder says: a split, a class, neither, or a patient."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from braintumor.config import did_you_mean
from braintumor.data.labels import CANONICAL, harmonise, words_of
from braintumor.errors import DataError

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# words that a name may hold beside the one that matters
_FILLERS = frozenset((
    "data", "dataset", "datasets", "set", "sets", "image", "images", "img", "imgs", "picture",
    "pictures", "file", "files", "folder", "folders", "split", "splits", "scan", "scans", "slice",
    "slices", "sample", "samples", "mri",
))  # fmt: skip
_GLUED = {f"{word}{filler}": s for word, s in SPLIT_NAMES.items() for filler in _FILLERS}
# what the field puts beside its classes: answers of a model, outlines, pictures without an answer
_NEVER_CLASSES = frozenset((
    "pred", "preds", "predict", "predicted", "prediction", "predictions", "mask", "masks", "label",
    "labels", "annotation", "annotations", "segmentation", "segmentations", "seg", "groundtruth",
    "unlabeled", "unlabelled", "unknown",
))  # fmt: skip
_PATIENTS = frozenset(("patient", "patients", "pat", "pt", "subject", "sub", "subj", "case", "id"))


def split_of(folder: str) -> str | None:
    """train, val or test when the name says that and nothing else, as in Train_Data or testing."""
    words = [word for word in words_of(folder) if word not in _FILLERS]
    if len(words) != 1:
        return None
    return SPLIT_NAMES.get(words[0]) or _GLUED.get(words[0])


def is_never_class(folder: str) -> bool:
    """Whether the name is one that the field gives to no class, such as pred, masks or test_1."""
    words = [word for word in words_of(folder) if word not in _FILLERS and not word.isdecimal()]
    known = _NEVER_CLASSES | SPLIT_NAMES.keys()
    return bool(words) and ("".join(words) in known or known.issuperset(words))


def is_patient(folder: str) -> bool:
    """Whether the name is that of a patient: patient 7, sub-012, case3."""
    words = words_of(folder)
    return bool(_PATIENTS & set(words)) and any(word.isdecimal() for word in words)


def label_of(folder: str) -> str:
    """The class of a folder's name; the name itself, in lower case, where it has no letter."""
    try:
        return harmonise(folder)
    except DataError:
        return folder.casefold()


def is_known_class(folder: str) -> bool:
    """Whether the whole name is one of a known class."""
    return label_of(folder) in CANONICAL


def same_name(folder: str, wanted: str) -> bool:
    """Whether they are one name in any case."""
    return folder.casefold() == wanted.casefold()


def nearest(name: str, known: Collection[str]) -> str:
    """As did_you_mean, of the folders that are most like the name."""
    near = difflib.get_close_matches(name, known, n=6, cutoff=0.4)
    return did_you_mean(name, near or sorted(known)[:12])
