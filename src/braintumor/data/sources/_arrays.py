"""Arrays out of .npy and .npz files, which ask for no more than their files hold; as pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from braintumor import limits
from braintumor.data.images import is_deep, on_black, stretch_to_uint8, to_uint8
from braintumor.data.sources import why_unreadable
from braintumor.errors import DataError, some
from braintumor.machine import memory_bytes

Read = Callable[[], np.ndarray]

_PICKLED = (
    "Python objects, which would run code when read; save it again as numbers: "
    "np.savez(file, X=np.stack(images), Y=np.array(labels, dtype=str))"
)
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def npy_reader(path: Path) -> Read:
    """Of a .npy file, whose pixels stay on disk until they are used."""

    def load() -> Any:
        _check_regular(path, "NumPy array")
        with path.open("rb") as file:
            _check_header(file, path.stat().st_size)
        return np.load(path, mmap_mode="r", allow_pickle=False)

    return lambda: _read(load, str(path), path)


def npz_readers(path: Path) -> dict[str, Read]:
    """Of each array of a .npz file, by name. Nothing is read yet."""
    _check_regular(path, "NumPy archive (.npz)")
    try:
        file: Any = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise DataError(f"{path} holds one array and is no .npz file; name it {path.stem}.npy")
        packed: Any = file.zip
        members = {name.removesuffix(".npy"): name for name in packed.namelist()}
        sizes = {part.filename: part.file_size for part in packed.infolist()}
    except DataError:
        raise
    except Exception as error:  # the parsers of zip and npy raise nearly every kind on damage
        with path.open("rb") as start:
            first = start.read(1)
        if first == b"\x80":  # of a pickle
            raise DataError(f"{path} holds {_PICKLED}") from error
        raise DataError(why_unreadable(path, error, "NumPy archive (.npz)")) from error
    most = limits.unpacked_bytes(path.stat().st_size)
    if sum(sizes.values()) > most:
        raise DataError(f"{path} unpacks to more than {most:,} bytes; use fewer images")

    def reader(key: str) -> Read:
        def load() -> Any:
            with packed.open(members[key]) as member:
                _check_header(member, sizes[members[key]])
            return file[key]

        return lambda: _read(load, f"{key} in {path}", path)

    return {key: reader(key) for key in members}


def _check_regular(path: Path, kind: str) -> None:
    """Else opening a pipe, or what the kernel calls an empty file, may wait for ever."""
    if not path.is_file() or not path.stat().st_size:
        raise DataError(why_unreadable(path, ValueError("empty"), kind))


def _check_header(file: IO[bytes], size_bytes: int) -> None:
    """Whether an array of that header fits into a file of that size, and into memory.

    What needs unpickling is left to numpy to refuse.
    """
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"its format {version[0]}.{version[1]} is not one of numbers or text")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        return
    count = math.prod(shape)
    if min(shape, default=0) < 0 or (count and not dtype.itemsize):
        raise ValueError(f"its header says {dtype} of shape {shape}")
    if count * dtype.itemsize > size_bytes:
        raise ValueError(
            f"its header says {count * dtype.itemsize:,} bytes, and it has {size_bytes:,}"
        )
    if size_bytes > memory_bytes():
        raise MemoryError(f"{size_bytes:,} bytes")


def _read(load: Callable[[], Any], where: str, path: Path) -> np.ndarray:
    """One array; never a pickle."""
    try:
        array = load()
    except MemoryError as error:
        raise DataError(
            f"{where} needs more memory than there is ({error}); save it again as uint8, "
            "or fewer images"
        ) from error
    except DataError:
        raise
    except Exception as error:  # as above: TokenError and SystemError are among them
        if "allow_pickle" in str(error):
            raise DataError(f"{where} holds {_PICKLED}") from error
        raise DataError(why_unreadable(path, error, "NumPy array")) from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{where} is not a NumPy array")
    return array


def as_pixels(values: np.ndarray, where: str) -> np.ndarray:
    """uint8 (N, h, w) or (N, h, w, 1 or 3); raises DataError where the values are no pictures."""
    shape = values.shape
    if len(shape) == 4 and shape[3] not in (1, 3) and shape[1] in (1, 3):
        values = np.moveaxis(values, 1, 3)  # channels first, as torch has them
        shape = values.shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3, 4)) or 0 in shape:
        raise DataError(
            f"{where} has shape {shape}; it should be (images, height, width) with "
            "1, 3, 4 (with transparency) or no channels, last or after the images"
        )
    if is_deep(values):
        return np.stack([stretch_to_uint8(picture) for picture in values])
    _refuse_two_scales(values, where)
    try:
        pixels = to_uint8(values)
    except DataError as error:
        raise DataError(f"{where} cannot be read as pictures: {error}") from error
    return on_black(pixels) if shape[3:] == (4,) else pixels


def _refuse_two_scales(values: np.ndarray, where: str) -> None:
    """Pictures of 0-1 among those of 0-255, which would come out black."""
    if values.dtype.kind != "f":
        return
    highest = values.reshape(len(values), -1).max(axis=1)
    is_small = (highest > 0.5) & (highest <= 1)  # of 0-255, that is black
    if is_small.any() and highest.max() > 1:
        count = int(is_small.sum())
        raise DataError(
            f"{where} has {some(count, 'picture')} of 0-1 among those of 0-255; scale all alike"
        )
