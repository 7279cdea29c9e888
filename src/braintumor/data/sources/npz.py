"""NumPy arrays: images and labels in .npz or .npy files, of all images or of each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from braintumor import limits
from braintumor.config import first_of
from braintumor.data.names import (
    LABEL_NAMES,
    SPLIT_WORDS,
    is_unlabelled,
    split_in,
    split_of,
    words_of_key,
)
from braintumor.data.patients import patient_named, patient_rank
from braintumor.data.sources import Item, Source, require_root
from braintumor.data.sources._arrays import Read, as_pixels, npy_reader, npz_readers
from braintumor.data.sources._columns import find_columns, may_say_split, why_unused
from braintumor.errors import DataError, some
from braintumor.files import natural_key

# N images, h, w their height and width, K classes

_ROLES = {
    name: role
    for role, names in {
        "images": ("x", "image", "images", "img", "imgs", "pixels", "data", "arr_0"),
        "labels": (*LABEL_NAMES, "arr_1"),
    }.items()
    for name in names
}
_LARGEST = 2**53  # of a label, so that a float of it is exact
_NAMED = 5  # arrays in a message


@dataclass(frozen=True)
class NpzSource:
    """Pixels in memory as uint8, one array a part; `places` tells part and row of a path."""

    arrays: Sequence[np.ndarray]
    places: Mapping[str, tuple[int, int]]
    items: tuple[Item, ...]
    ignored: Mapping[str, int]

    def read(self, item: Item) -> np.ndarray:
        part, row = self.places[item.path]
        return np.asarray(self.arrays[part][row])


@dataclass(frozen=True)
class _Part:
    """What belongs together: role -> key, and key -> how its array is read.

    beside: keys of arrays that may say of each image its split, as columns of a table do.
    """

    name: str  # first part of the images' paths
    split: str | None
    keys: Mapping[str, str]
    beside: Sequence[str]
    reads: Mapping[str, Read]

    def read(self, role: str) -> np.ndarray:
        return self.reads[self.keys[role]]()


def build(root: Path | None) -> Source:
    """The images of the .npz file `root`, or of the .npz or .npy files in the folder `root`.

    Arrays: X (N, h, w), (N, h, w, 1 or 3) or (N, 1 or 3, h, w), of uint8, whole numbers or floats
    in 0-1 or 0-255, or deeper than 8 bits, where each picture is stretched as a 16-bit file is;
    Y: whole numbers, one-hot or text; if known patient and split, one value an image. Or the same
    per split, as x_train and y_train. Other usual names are known; other arrays are ignored.
    Raises DataError when a file is missing, damaged, pickled, or its values do not fit.
    """
    arrays: list[np.ndarray] = []
    places: dict[str, tuple[int, int]] = {}
    items: list[Item] = []
    ignored: Counter[str] = Counter()
    for part in _parts_in(root, ignored):
        labels = _names(part.read("labels"), part.keys["labels"])
        if len(labels) > limits.MEMBERS:
            raise DataError(f"{part.name} has over {limits.MEMBERS:,} labels; use fewer images")
        images = part.read("images")
        _refuse_last(images, len(labels), part)
        pixels = as_pixels(images, part.keys["images"])
        if len(pixels) != len(labels):
            raise DataError(
                f"{part.name} has {some(len(pixels), 'image')} and {some(len(labels), 'label')}; "
                "save both from the same list"
            )
        told = _told(part, labels, ignored)
        patients, splits = told.get("patient"), told.get("split")
        for row, label in enumerate(labels):
            path = f"{part.name}#{row}"
            split = split_of(splits[row]) if splits else part.split
            if splits and split is None:
                raise DataError(f"{path} has split {splits[row]!r}; use train, val or test")
            if is_unlabelled(label):
                raise DataError(f"{path} has label {label!r}, which is none; leave such images out")
            patient = patient_named(patients[row]) if patients else None
            places[path] = (len(arrays), row)
            items.append(Item(path, label, split, patient))
        arrays.append(pixels)
    items.sort(key=lambda item: natural_key(item.path))
    return NpzSource(arrays, places, tuple(items), ignored)


def _parts_in(root: Path | None, ignored: Counter[str]) -> Iterator[_Part]:
    if root is None:
        raise DataError("data=npz needs data.root=FILE.npz, or a folder with .npz or .npy files")
    require_root(root)
    if root.suffix.lower() == ".npy":
        raise DataError(f"{root} holds images or labels, not both; give the folder: data.root=DIR")
    if not root.is_dir() and not root.is_file():
        raise DataError(f"data.root={root} is no regular file; give a .npz file or a folder")
    single = sorted(path for path in root.rglob("*.npy") if path.is_file())
    if single:
        reads = {path.relative_to(root).with_suffix("").as_posix(): path for path in single}
        yield from _parts({key: npy_reader(path) for key, path in reads.items()}, root, ignored)
        return
    for path, split in _files(root):
        for part in _parts(npz_readers(path), path, ignored):
            yield replace(part, split=part.split or split)


def _files(root: Path) -> list[tuple[Path, str | None]]:
    """The .npz files to read, each with the split that its name tells."""
    if root.is_file():
        return [(root, None)]
    found = sorted(path for path in root.iterdir() if path.suffix.lower() == ".npz")
    if len(found) == 1:
        return [(found[0], None)]
    splits = [(path, split_in(path.stem)) for path in found]
    kinds = [split for _, split in splits]
    if not found or None in kinds or len(set(kinds)) < len(kinds):
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(
            f"{root} should hold one .npz file, or one each whose name has train, val or test "
            f"in it, or .npy files of images and labels; found {names}"
        )
    return splits


def _roles_of(key: str) -> tuple[str | None, str | None]:
    """What the name of an array says that it holds, as a whole, and by its last word.

    "brain_images" are images by the last word; "label_names" are nothing.
    """
    name = _last(key)
    words = [
        word for word in words_of_key(name) if word not in SPLIT_WORDS and not word.isdecimal()
    ]
    plain = "".join(words)
    role = _ROLES.get(name) or _ROLES.get(plain)
    role = role or ("patient" if patient_rank(plain) is not None else None)
    return role, _ROLES.get(words[-1]) if words else None


def _parts(reads: Mapping[str, Read], root: Path, ignored: Counter[str]) -> list[_Part]:
    """The arrays that belong together: all, or those of each split that keys name."""
    found: dict[str | None, dict[str, str]] = {}
    unused: dict[str, str | None] = {}
    for key in sorted(reads, key=lambda key: _roles_of(key)[0] is None):  # whole names first
        split, (role, last) = split_in(key), _roles_of(key)
        keys = found.setdefault(split, {}) if role or last else {}
        if role in keys:
            raise DataError(f"{root} has both {keys[role]} and {key}; keep one")
        role = role or (None if last in keys else last)
        if role:
            keys[role] = key
        else:
            unused[key] = split
    for split, keys in found.items():  # pictures under any name, where one array alone can be them
        if "images" in keys:
            continue
        named = [k for k in unused if unused[k] == split and reads[k]().ndim in (3, 4)]
        if len(named) == 1:
            keys["images"] = named[0]
            del unused[named[0]]
    is_whole = all({"images", "labels"} <= keys.keys() for keys in found.values())
    if not found or not is_whole or (None in found and len(found) > 1):
        raise DataError(
            f"{root} holds {first_of(reads, _NAMED) or 'nothing'}; it should hold X and Y, x and "
            "y, or images and labels (or x_train, y_train, x_test, y_test)"
        )
    whole = None in found
    beside = [key for key in unused if whole and may_say_split(_last(key))]
    ignored.update(f"array {key}{why_unused(_last(key))}" for key in unused if key not in beside)
    return [
        _Part(root.name if whole else f"{root.name}/{keys['images']}", split, keys, beside, reads)
        for split, keys in found.items()
    ]


def _last(key: str) -> str:
    """The name of an array without the folders that it lies in."""
    return key.rpartition("/")[2]


def _refuse_last(images: np.ndarray, count: int, part: _Part) -> None:
    """Pictures along the last axis, as MATLAB has them."""
    shape = images.shape
    if len(shape) > 2 and shape[0] != count == shape[-1]:
        key = part.keys["images"]
        raise DataError(
            f"{key} in {part.name} has shape {shape}, with the {count} images last; save it with "
            f"them first: np.moveaxis({key}, -1, 0)"
        )


def _told(part: _Part, labels: Sequence[str], ignored: Counter[str]) -> dict[str, list[str]]:
    """What arrays say of each image, as text, read as columns of a table are: patient, split."""
    patient = part.keys.get("patient")
    columns = [["path", *labels], ["label", *labels]]
    for key in filter(None, (patient, *part.beside)):
        name = "patient" if key == patient else _last(key)
        values = _texts(np.ravel(part.reads[key]()))
        if len(values) == len(labels):
            columns.append([name, *values])
        elif name in ("patient", "split", "subset"):
            raise DataError(
                f"{key} in {part.name} has {some(len(values), 'value')} for "
                f"{some(len(labels), 'image')}; save one for each"
            )
        else:
            ignored[f"array {key}{why_unused(name)}"] += 1
    header, *rows = map(list, zip(*columns, strict=True))
    places, _ = find_columns(header, rows, Path(part.name))
    unused = [name for place, name in enumerate(header) if place not in places.values()]
    ignored.update(f"array {name}{why_unused(name)}" for name in unused)
    return {role: [row[place] for row in rows] for role, place in places.items()}


def _names(labels: np.ndarray, where: str) -> list[str]:
    """Class names of labels: whole numbers (N,) or (N, 1), one-hot (N, K), or text."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind in "US" and labels.ndim == 1:
        return _texts(labels)
    is_number = labels.dtype.kind in "iufb" and labels.size > 0 and labels.max() < _LARGEST
    if is_number and labels.ndim == 2 and np.isin(labels, (0, 1)).all():
        if not (labels.sum(axis=1) == 1).all():
            raise DataError(f"{where} has rows with no class or several; one is needed")
        labels = labels.argmax(axis=1)
    if not is_number or labels.ndim != 1 or (labels != np.floor(labels)).any() or labels.min() < 0:
        kinds = "whole numbers from 0, one-hot rows, or text"
        raise DataError(f"{where} is {labels.dtype} {labels.shape}; labels should be {kinds}")
    return [f"class_{int(label)}" for label in labels]


def _texts(values: np.ndarray) -> list[str]:
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]
