"""NumPy archives: images and labels in one .npz file, or in a train and a test file."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from braintumor.data.sources import Item, Source
from braintumor.data.sources._folder_names import SPLIT_NAMES
from braintumor.errors import DataError
from braintumor.files import natural_key

# N images, h, w their height and width, K classes

MAX_TOTAL_BYTES = 64 << 30  # of pixels; what a damaged or hostile header may ask for at most

_IMAGE_KEYS = ("x", "image", "images")
_LABEL_KEYS = ("y", "label", "labels")
_CHUNK_BYTES = 64 << 20  # of floats held beside their 8-bit copy
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


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
    ignored: dict[str, int] = {}
    for path, file_split in _files(root):
        try:
            with zipfile.ZipFile(path) as file:
                for split, x_key, y_key in _parts(file, path, ignored):
                    pixels = _read_images(file, x_key, path)
                    labels = _names(_read_array(file, y_key, path), class_names, path, y_key)
                    if len(pixels) != len(labels):
                        raise DataError(
                            f"{path} has {len(pixels)} images and {len(labels)} labels; "
                            "save both from the same list"
                        )
                    stem = path.name if split is None else f"{path.name}/{x_key}"
                    for row, label in enumerate(labels):
                        name = f"{stem}#{row}"
                        places[name] = (len(arrays), row)
                        items.append(Item(name, label, split or file_split, None))
                    arrays.append(pixels)
        except _DAMAGED as error:
            raise DataError(
                f"{path} is damaged or no .npz file ({_what_it_is(path) or error}); get it again"
            ) from error
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


def _parts(
    file: zipfile.ZipFile, path: Path, ignored: dict[str, int]
) -> list[tuple[str | None, str, str]]:
    """(split, key of images, key of labels) for each pair in a file."""
    keys = [name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy")]
    images: dict[str | None, str] = {}
    labels: dict[str | None, str] = {}
    for key in keys:
        words = re.split(r"[\W_]+", key.lower())
        split = _split_in(key)
        rest = "_".join(word for word in words if word not in SPLIT_NAMES)
        role = images if rest in _IMAGE_KEYS else labels if rest in _LABEL_KEYS else None
        if role is None:
            ignored[f"array {key}"] = ignored.get(f"array {key}", 0) + 1
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


def _read_images(file: zipfile.ZipFile, key: str, path: Path) -> np.ndarray:
    """uint8 (N, h, w) or (N, h, w, 3); floats in 0-1 become 0-255, a few images at a time."""
    with file.open(f"{key}.npy") as stream:
        shape, fortran, dtype = _header(stream, key, path)
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or 0 in shape:
            raise DataError(
                f"{key} in {path} has shape {shape}; it should be (images, height, width) with "
                "1, 3 or no channels last"
            )
        row_shape, row_values = shape[1:], int(np.prod(shape[1:], dtype=object))
        if shape[0] * row_values > MAX_TOTAL_BYTES:
            raise DataError(
                f"{key} in {path} has over {MAX_TOTAL_BYTES:,} values; use fewer images"
            )
        if shape[0] * row_values * dtype.itemsize > file.getinfo(f"{key}.npy").file_size:
            raise EOFError(f"{key} is shorter than its header says")
        if fortran:  # rows do not lie one after the other
            return _to_uint8(_read_array(file, key, path), key, path)
        pixels = np.empty(shape, np.uint8)
        step = max(1, _CHUNK_BYTES // (row_values * dtype.itemsize))
        for start in range(0, shape[0], step):
            rows = min(step, shape[0] - start)
            content = stream.read(rows * row_values * dtype.itemsize)
            if len(content) < rows * row_values * dtype.itemsize:
                raise EOFError(f"{key} ends at image {start} of {shape[0]}")
            chunk = np.frombuffer(content, dtype).reshape(rows, *row_shape)
            pixels[start : start + rows] = _to_uint8(chunk, key, path)
    return pixels


def _read_array(file: zipfile.ZipFile, key: str, path: Path) -> np.ndarray:
    with file.open(f"{key}.npy") as stream:
        _header(stream, key, path)
    with file.open(f"{key}.npy") as stream:
        try:
            array: np.ndarray = npy.read_array(stream, allow_pickle=False)
        except ValueError as error:
            raise DataError(f"{key} in {path} is damaged ({error}); get the file again") from error
    return array


def _header(stream: IO[bytes], key: str, path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the order is Fortran's, and type; never a pickle."""
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except ValueError as error:
        raise DataError(f"{key} in {path} is not a NumPy array ({error})") from error
    if dtype.hasobject:
        raise DataError(
            f"{key} in {path} holds Python objects, which would run code when read; save it "
            "again as numbers: np.savez(file, X=np.stack(images).astype('uint8'), Y=labels)"
        )
    return shape, fortran, dtype


def _to_uint8(values: np.ndarray, key: str, path: Path) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    is_float, is_whole = values.dtype.kind == "f", values.dtype.kind in "iu"
    low, high = (values.min(), values.max()) if is_float or is_whole else (0, 0)
    if is_whole and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    if is_float and low >= 0 and high <= 1:  # NaN fails both
        return np.rint(values * values.dtype.type(255)).astype(np.uint8)
    raise DataError(
        f"{key} in {path} is {values.dtype} with values from {low:g} to {high:g}; it should be "
        "whole numbers in 0-255 or floats in 0-1: scale it and save it again"
    )


def _names(labels: np.ndarray, names: list[str] | None, path: Path, key: str) -> list[str]:
    """Class names of labels: whole numbers (N,) or (N, 1), one-hot (N, K), or text."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind in "US" and labels.ndim == 1:
        if names is not None:
            raise DataError(f"{key} in {path} is text already; leave out data.class_names")
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in labels]
    is_number = labels.dtype.kind in "iufb" and labels.size > 0
    if is_number and labels.ndim == 2 and np.isin(labels, (0, 1)).all():
        if not (labels.sum(axis=1) == 1).all():
            raise DataError(f"{key} in {path} has rows with no class or several; one is needed")
        labels = labels.argmax(axis=1)
    if not is_number or labels.ndim != 1 or (labels != np.floor(labels)).any() or labels.min() < 0:
        raise DataError(
            f"{key} in {path} is {labels.dtype} {labels.shape}; labels should be whole numbers "
            "from 0, one-hot rows, or text"
        )
    if names is None:
        return [f"class_{int(label)}" for label in labels]
    if labels.max() >= len(names):
        raise DataError(
            f"{key} in {path} has label {int(labels.max())}, but data.class_names names only "
            f"{len(names)} classes; name them all, from label 0"
        )
    return [names[int(label)] for label in labels]


def _what_it_is(path: Path) -> str | None:
    head = path.read_bytes()[:512].lstrip().lower() if path.is_file() else b""
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is a web page: the download failed"
    return "it is empty" if not head else None
