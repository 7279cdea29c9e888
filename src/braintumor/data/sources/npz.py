"""NumPy archives: images and labels in one .npz file, or in a train and a test file."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braintumor.data.labels import SPLIT_NAMES
from braintumor.data.sources import Item, Source
from braintumor.errors import DataError
from braintumor.files import natural_key

# N images, h, w their height and width, K classes

MAX_TOTAL_BYTES = 64 << 30  # that a file unpacks to; what a damaged or hostile one may ask for

_IMAGE_KEYS = ("x", "image", "images")
_LABEL_KEYS = ("y", "label", "labels")
_BLOCK = 256  # images that become 8-bit at once: floats take eight times as much memory
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError),
    ValueError,  # of numpy, when an array is shorter than its header says
)


@dataclass(frozen=True)
class NpzSource:
    """Pixels in memory as uint8, one array a part; `places` tells part and row of a path."""

    arrays: Sequence[np.ndarray]
    places: Mapping[str, tuple[int, int]]
    items: tuple[Item, ...]
    ignored: Mapping[str, int]

    def read(self, item: Item) -> np.ndarray:
        part, row = self.places[item.path]
        picture: np.ndarray = self.arrays[part][row]
        return picture


def build(root: Path | None, class_names: None | list[str]) -> Source:  # noqa: RUF036
    """The images of the .npz file `root`, or of train*.npz, val*.npz and test*.npz in it.

    A file holds X (N, h, w[, 1 or 3]), uint8 or 0-1, and Y: whole numbers, one-hot or text; or
    the same per split, as x_train and y_train. Also x, images, image; y, labels, label.
    class_names: of the labels 0, 1, …; without it they are called class_0, class_1, …
    Raises DataError when a file is missing, damaged, pickled, or its values do not fit.
    """
    arrays: list[np.ndarray] = []
    places: dict[str, tuple[int, int]] = {}
    items: list[Item] = []
    ignored: Counter[str] = Counter()
    for path, file_split in _files(root):
        with _opened(path) as file:
            for split, x_key, y_key in _parts(file.files, path, ignored):
                pixels = _to_uint8(_read(file, x_key, path), f"{x_key} in {path}")
                where = f"{y_key} in {path}"
                labels = _names(_read(file, y_key, path), class_names, where)
                if len(pixels) != len(labels):
                    raise DataError(
                        f"{path} has {len(pixels)} images and {len(labels)} labels; "
                        "save both from the same list"
                    )
                stem = path.name if split is None else f"{path.name}/{x_key}"
                for row, label in enumerate(labels):
                    places[f"{stem}#{row}"] = (len(arrays), row)
                    items.append(Item(f"{stem}#{row}", label, split or file_split, None))
                arrays.append(pixels)
    items.sort(key=lambda item: natural_key(item.path))
    return NpzSource(arrays, places, tuple(items), ignored)


def _files(root: Path | None) -> list[tuple[Path, str | None]]:
    """The files to read, each with the split that its name tells."""
    if root is None:
        raise DataError("data=npz needs data.root=FILE.npz, or a folder with train and test .npz")
    if root.is_file():
        return [(root, None)]
    if not root.is_dir():
        raise DataError(f"data.root={root} does not exist (looked from {Path.cwd()})")
    found = sorted(path for path in root.iterdir() if path.suffix.lower() == ".npz")
    if len(found) == 1:
        return [(found[0], None)]
    splits = [(path, _split_in(path.stem)) for path in found]
    kinds = [split for _, split in splits]
    if not found or None in kinds or len(set(kinds)) < len(kinds):
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(
            f"{root} should hold one .npz file, or one each whose name has train, val or test "
            f"in it; found {names}"
        )
    return splits


def _split_in(name: str) -> str | None:
    """The split that a word of the name tells: "train_data" -> "train"."""
    words = re.split(r"[\W_]+", name.lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def _opened(path: Path) -> np.lib.npyio.NpzFile:
    """The file, whose arrays are not read yet."""
    try:
        with zipfile.ZipFile(path) as file:
            if sum(part.file_size for part in file.infolist()) > MAX_TOTAL_BYTES:
                raise DataError(
                    f"{path} unpacks to more than {MAX_TOTAL_BYTES:,} bytes; use fewer images"
                )
        opened: np.lib.npyio.NpzFile = np.load(path, allow_pickle=False)
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    return opened


def _read(file: np.lib.npyio.NpzFile, key: str, path: Path) -> np.ndarray:
    """One array; never a pickle."""
    try:
        array: Any = file[key]
    except MemoryError as error:
        raise DataError(
            f"{key} in {path} needs more memory than there is ({error}); save it again as uint8, "
            "or fewer images"
        ) from error
    except _DAMAGED as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{key} in {path} holds Python objects, which would run code when read; save it "
                "again as numbers: np.savez(file, X=np.stack(images).astype('uint8'), Y=labels)"
            ) from error
        raise _damaged(path, error) from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{key} in {path} is not a NumPy array")
    return array


def _damaged(path: Path, error: Exception) -> DataError:
    head = path.read_bytes()[:512].lstrip().lower() if path.is_file() else b""
    why = str(error) if head else "it is empty"
    if head.startswith((b"<!doctype html", b"<html")):
        why = "it is a web page: the download failed"
    return DataError(f"{path} is damaged or no .npz file ({why}); get it again")


def _parts(
    keys: Sequence[str], path: Path, ignored: Counter[str]
) -> list[tuple[str | None, str, str]]:
    """(split, key of images, key of labels) for each pair in a file."""
    images: dict[str | None, str] = {}
    labels: dict[str | None, str] = {}
    for key in keys:
        words = re.split(r"[\W_]+", key.lower())
        split = _split_in(key)
        rest = "_".join(word for word in words if word not in SPLIT_NAMES)
        role = images if rest in _IMAGE_KEYS else labels if rest in _LABEL_KEYS else None
        if role is None:
            ignored[f"array {key}"] += 1
        elif split in role:
            raise DataError(f"{path} has both {role[split]} and {key}; keep one")
        else:
            role[split] = key
    if not images or set(images) != set(labels) or (None in images and len(images) > 1):
        raise DataError(
            f"{path} holds {', '.join(keys) or 'nothing'}; it should hold X and Y, x and y, or "
            "images and labels (or x_train, y_train, x_test, y_test)"
        )
    return [(split, images[split], labels[split]) for split in images]


def _to_uint8(values: np.ndarray, where: str) -> np.ndarray:
    """uint8 (N, h, w) or (N, h, w, 1 or 3); floats in 0-1 become 0-255."""
    shape = values.shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or 0 in shape:
        raise DataError(
            f"{where} has shape {shape}; it should be (images, height, width) with "
            "1, 3 or no channels last"
        )
    if values.dtype == np.uint8:
        return values
    is_float, is_whole = values.dtype.kind == "f", values.dtype.kind in "iu"
    low, high = (values.min(), values.max()) if is_float or is_whole else (0, 0)
    if is_whole and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    if is_float and low >= 0 and high <= 1:  # NaN fails both
        pixels = np.empty(shape, np.uint8)
        for start in range(0, len(values), _BLOCK):
            block = slice(start, start + _BLOCK)
            pixels[block] = np.rint(values[block] * values.dtype.type(255))
        return pixels
    raise DataError(
        f"{where} is {values.dtype} with values from {low:g} to {high:g}; it should be "
        "whole numbers in 0-255 or floats in 0-1: scale it and save it again"
    )


def _names(labels: np.ndarray, names: list[str] | None, where: str) -> list[str]:
    """Class names of labels: whole numbers (N,) or (N, 1), one-hot (N, K), or text."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind in "US" and labels.ndim == 1:
        if names is not None:
            raise DataError(f"{where} is text already; leave out data.class_names")
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in labels]
    is_number = labels.dtype.kind in "iufb" and labels.size > 0
    if is_number and labels.ndim == 2 and np.isin(labels, (0, 1)).all():
        if not (labels.sum(axis=1) == 1).all():
            raise DataError(f"{where} has rows with no class or several; one is needed")
        labels = labels.argmax(axis=1)
    if not is_number or labels.ndim != 1 or (labels != np.floor(labels)).any() or labels.min() < 0:
        raise DataError(
            f"{where} is {labels.dtype} {labels.shape}; labels should be whole numbers "
            "from 0, one-hot rows, or text"
        )
    if names is None:
        return [f"class_{int(label)}" for label in labels]
    if labels.max() >= len(names):
        raise DataError(
            f"{where} has label {int(labels.max())}, but data.class_names names only "
            f"{len(names)} classes; name them all, from label 0"
        )
    return [names[int(label)] for label in labels]
