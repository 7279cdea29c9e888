"""Where pictures without labels are: files, folders, archives, patterns, and memory."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Union

import numpy as np
from PIL import Image

from braintumor import limits
from braintumor.data.images import (
    decode,
    from_pillow,
    is_deep,
    on_black,
    stretch_to_uint8,
    to_uint8,
)
from braintumor.data.sources._pictures import how_to_convert, image_paths
from braintumor.data.sources.archive import is_archive_name, open_archive
from braintumor.data.sources.folder import walk
from braintumor.errors import DataError
from braintumor.files import natural_key, read_bounded
from braintumor.quoting import pasteable

Picture = Union[str, Path, np.ndarray, "Image.Image"]
Read = Callable[[], np.ndarray]  # a picture at its own size, uint8 (h, w[, 3]), decoded anew

_TAKEN = "PNG, JPEG, BMP, TIFF, GIF or WebP, also in a zip or tar file"


def find_pictures(
    pictures: Sequence[Picture], passed_over: Counter[str]
) -> Iterator[tuple[str, Read]]:
    """Name and reader of each picture, in natural order within what was given.

    pictures: as PictureBatches takes them.  passed_over: counts what is none of them, by kind.
    Raises DataError where no picture is.
    """
    for number, picture in enumerate(pictures):
        if not isinstance(picture, str | Path):
            yield f"picture {number}", partial(_of_memory, picture)
            continue
        here: Counter[str] = Counter()
        root, files = _below(Path(picture).expanduser(), here)
        if not files:
            held = f"it holds {counted(here)}" if here else "it is empty"
            packed = [str(path) for path in root.glob("*") if is_archive_name(path.name)]
            if packed and root.is_dir():
                given = pasteable("input", packed[0] if len(packed) == 1 else sorted(packed))
                raise DataError(f"{picture} holds no pictures, but archives; give them: {given}")
            way = how_to_convert(here) or f"they are {_TAKEN}: convert others to PNG first"
            raise DataError(f"{picture} holds no pictures ({held}); {way}")
        passed_over.update(here)
        for name in sorted(files, key=natural_key):
            yield name if len(pictures) == 1 else (root / name).as_posix(), files[name]


def _below(path: Path, passed_over: Counter[str]) -> tuple[Path, dict[str, Read]]:
    """What a path or pattern stands for: a root, and name below it -> reader of the picture."""
    if path.is_dir():
        return path, _in_folder(path, _walked(path, passed_over), passed_over)
    if path.is_file() and is_archive_name(path.name):
        return path, _in_archive(path, passed_over)
    if path.exists():
        return path.parent, {path.name: _of_file(path)}
    if not glob.has_magic(str(path)):
        raise DataError(f"there is no file or folder {path}; check the path")
    plain = [part for part in path.parts if not glob.has_magic(part)]
    root = Path(*path.parts[: next(i for i, part in enumerate(path.parts) if part not in plain)])
    return root, _matching(path, root, passed_over)


def _matching(pattern: Path, root: Path, passed_over: Counter[str]) -> dict[str, Read]:
    """The pictures that a pattern names, and those in the folders and archives that it does."""
    # Path.glob follows no links
    names = glob.glob(str(pattern), recursive=True)  # noqa: PTH207
    matches = sorted(map(Path, names), key=lambda path: len(path.parts))
    if not matches:
        raise DataError(f"nothing is named like {pattern}; check the path")
    files: dict[Path, str] = {}  # one of several names that links give a file
    archives = [path for path in matches if path.is_file() and is_archive_name(path.name)]
    for match in matches:
        inside = [match / name for name in _walked(match, passed_over)] if match.is_dir() else []
        for path in inside if match.is_dir() else [match]:
            files.setdefault(path.resolve(), path.relative_to(root).as_posix())
    opened = {path.relative_to(root).as_posix() for path in archives}
    found = _in_folder(root, set(files.values()) - opened, passed_over)
    for path in archives:
        inner = _in_archive(path, passed_over)
        found |= {f"{path.relative_to(root).as_posix()}/{n}": read for n, read in inner.items()}
    return found


def _walked(folder: Path, passed_over: Counter[str]) -> list[str]:
    files, _, twice = walk(folder)
    for first, again in twice.items():
        passed_over[f"linked folder ({again} is {first})"] += 1
    return files


def _in_folder(root: Path, files: Iterable[str], passed_over: Counter[str]) -> dict[str, Read]:
    names = ["/".join(parts) for parts in image_paths(files, passed_over)]
    return {name: _of_file(root / name) for name in names}


def _in_archive(path: Path, passed_over: Counter[str]) -> dict[str, Read]:
    archive = open_archive(path)
    names = ["/".join(parts) for parts in image_paths(archive.files, passed_over)]
    return {name: partial(_decoded, archive.read, name) for name in names}


def counted(passed_over: Mapping[str, int]) -> str:
    """ "6 DICOM files (*.dcm), 1 file (.DS_Store)"."""
    said = []
    for name, count in passed_over.items():
        kind = name if "files " in name or "folder " in name else f"files ({name})"
        said.append(f"{count:,} {kind.replace('files ', 'file ', 1) if count == 1 else kind}")
    return ", ".join(said)


def _of_file(path: Path) -> Read:
    return partial(_decoded, read_bounded, path, limits.FILE_BYTES)


def _decoded(read: Callable[..., bytes], *where: Any) -> np.ndarray:
    return decode(read(*where)).pixels


def _of_memory(picture: Any) -> np.ndarray:
    if isinstance(picture, Image.Image):
        return from_pillow(picture)
    if hasattr(picture, "__array__"):
        try:
            values = np.asarray(picture)
        except (TypeError, RuntimeError) as error:  # a tensor on a GPU, or one with a gradient
            raise DataError(f"it cannot be read as an array ({error})") from error
        return decode(from_array(values)).pixels
    raise DataError(
        f"{type(picture).__name__} is no picture; give a path, an array or a Pillow image"
    )


def from_array(values: np.ndarray) -> np.ndarray:
    """An array of one picture as uint8 (h, w[, 1 or 3]); what white is is never guessed.

    values: (h, w), (h, w, 1, 3 or 4) or (1 or 3, h, w), as `data.images.to_uint8` takes them:
        uint8, whole numbers or floats in [0, 255], floats in [0, 1]. Of 4 channels the last is
        opacity. Whole numbers beyond 255, such as 16-bit ones, are stretched from the picture's
        lowest to its highest value, as a 16-bit file is.

    >>> from_array(np.array([[0.0, 0.5], [1.0, 0.2]])).tolist()
    [[0, 128], [255, 51]]
    >>> from_array(np.array([[0, 1000], [4000, 2000]], dtype="uint16")).tolist()
    [[0, 64], [255, 128]]

    Raises DataError on other types and on floats of which it is not clear what white is.
    """
    if values.ndim == 3 and values.shape[2] not in (1, 3) and values.shape[0] in (1, 3):
        values = np.moveaxis(values, 0, 2)  # channels first, as torch has them
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)):
        is_last = values.ndim == 3 and values.shape[2] < min(values.shape[:2])
        several = "list(array.transpose(2, 0, 1))" if is_last else "list(array)"
        raise DataError(
            f"an array of shape {values.shape} is no picture of (height, width) or (height, width, "
            "3)" + f"; several are a list: {several}" * (values.ndim in (3, 4))
        )
    if not values.size:
        raise DataError(f"an array of shape {values.shape} holds no pixel")
    if values.dtype.kind in "iu" and values.max() == 1:
        raise DataError(
            "whole numbers of 0 and 1 are an outline, or floats of 0-1 that lost their digits; "
            "give 0-255, or floats"
        )
    if is_deep(values):
        return stretch_to_uint8(values)
    pixels = to_uint8(values)
    return on_black(pixels) if values.shape[2:] == (4,) else pixels
