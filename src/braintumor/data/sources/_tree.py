"""A tree of image files as paths, without what is no part of the data set; and what names say.

Of a folder: that it is a split, a class, neither, or a patient.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from braintumor.config import did_you_mean
from braintumor.data.images import is_image_name
from braintumor.data.labels import CANONICAL, harmonise, words_of
from braintumor.errors import DataError

Path = tuple[str, ...]  # the parts of a relative path

_NOISE = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")
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


@dataclass(frozen=True)
class Tree:
    """Images and folders below `base`, the folders around all images.

    where: the name of the tree in messages.
    outer: base as it was before data.ignore was applied; paths in data.ignore begin there.
    images: paths below base, without those of nested copies and ignored folders.
    folders: all folders below base that are no noise, filled: those that hold an image.
    ignored: what was passed over, name -> count.
    """

    where: str
    outer: Path
    base: Path
    images: list[Path]
    folders: list[Path]
    filled: set[Path]
    ignored: Counter[str]


def grow_tree(
    files: Iterable[str], folders: Iterable[str], where: str, ignore: Sequence[str]
) -> Tree:
    """The tree of those files; without an image where there is none.

    files, folders: posix paths.  ignore: paths of folders to leave out, from where the classes or
    splits are, in any case.
    Raises DataError when a folder to leave out is not there.
    """
    ignored: Counter[str] = Counter()
    images = _images(files, ignored)
    paths = [tuple(name.rstrip("/").split("/")) for name in folders]
    paths = [path for path in paths if not _noise_in(path)]
    outer, filled = wrapping_folder(images), _holding(images)
    known = {path[len(outer) :] for path in (*filled, *paths) if path[: len(outer)] == outer}
    for name in ignore:
        left_out = (*outer, *_folder_named(name, known - {()}, "/".join((where, *outer))))
        count = len(images)
        images = [path for path in images if path[: len(left_out)] != left_out]
        paths = [path for path in paths if path[: len(left_out)] != left_out]
        ignored[f"{'/'.join(left_out)}/ (data.ignore)"] += count - len(images)
    emptied = filled - _holding(images)  # what held nothing else is left out with it
    paths = [path for path in paths if path not in emptied]
    base = wrapping_folder(images)
    below = [path[len(base) :] for path in images]
    return Tree(
        where=where,
        outer=outer,
        base=base,
        images=_without_nested_copies(below, ignored),
        folders=[path[len(base) :] for path in paths if path[: len(base)] == base],
        filled=_holding(below),
        ignored=ignored,
    )


def wrapping_folder(images: Collection[Path]) -> Path:
    """The folders around all images that are neither a split nor a class, such as archive/."""
    base: Path = ()
    while images:
        tops = {path[len(base)] for path in images}
        top = min(tops)
        if len(tops) > 1 or split_of(top) or any(len(path) <= len(base) + 2 for path in images):
            break  # it holds images itself, or is one
        if is_known_class(top):
            break
        base = (*base, top)
    return base


def _noise_in(path: Path) -> str | None:
    """The name under which a path is counted as noise, if it is."""
    for part in path:
        if part.startswith("._"):
            return "._*"
        if part.startswith(".") or part.casefold() in _NOISE:
            return part
    return None


def _images(files: Iterable[str], ignored: Counter[str]) -> list[Path]:
    images = []
    for name in files:
        path = tuple(name.split("/"))
        if noise := _noise_in(path):
            ignored[noise] += 1
        elif not is_image_name(path[-1]):
            _, dot, suffix = path[-1].rpartition(".")
            ignored[f"*.{suffix.lower()}" if dot else "files without a suffix"] += 1
        else:
            images.append(path)
    return images


def _holding(images: Iterable[Path]) -> set[Path]:
    """Folders that hold an image, at any depth."""
    return {path[:level] for path in images for level in range(1, len(path))}


def _folder_named(name: str, folders: Collection[Path], where: str) -> Path:
    """The one of the folders that a path in data.ignore means."""
    known = {"/".join(path): path for path in sorted(folders)}
    wanted = "/".join(part for part in name.split("/") if part not in ("", "."))
    found = [text for text in known if text == wanted]
    found += [text for text in known if text.casefold() == wanted.casefold()]
    if not found:
        raise DataError(f"data.ignore: no folder {name} is in {where}; {nearest(name, known)}")
    return known[found[0]]


def _without_nested_copies(images: list[Path], ignored: Counter[str]) -> list[Path]:
    """Images without those of a top folder that repeats, name for name, what is beside it.

    Navoneel's set comes with yes/, no/ and brain_tumor_dataset/{yes,no}/ of the same files.
    """
    known = set(images)
    for top in sorted({path[0] for path in images if len(path) > 2}):
        nested = [path for path in images if path[0] == top]
        if all(path[1:] in known for path in nested):
            ignored[f"{top}/ (a second copy of the folders beside it)"] += len(nested)
            known.difference_update(nested)
    return [path for path in images if path in known]


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


def nearest(name: str, known: Collection[str]) -> str:
    """As did_you_mean, of the folders that are most like the name."""
    near = difflib.get_close_matches(name, known, n=6, cutoff=0.4)
    return did_you_mean(name, near or sorted(known)[:12])
