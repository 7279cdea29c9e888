"""Writing that cannot tear, hashing, and natural order of names."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from braintumor.errors import DiskError

if TYPE_CHECKING:
    import numpy as np

DISK_IS_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than `ulimit -f` allows",
}
MARKER = ".braintumor"  # in a folder that holds work of ours, see runs/ownership.py


def write_atomic(path: Path, content: bytes | str) -> None:
    """Put content at path whole or not at all; an older file there survives a failure.

    Temporary file in the same folder, fsync, rename, fsync of the folder. In text, bytes of a file
    name that are no UTF-8 (surrogates, in Python) become backslashed.
    Raises DiskError when the disk is full.
    """
    with _atomic_file(path) as file:
        if isinstance(content, str):
            content = content.encode("utf-8", "backslashreplace")
        file.write(content)


def write_array(
    path: Path, shape: tuple[int, ...], dtype: np.dtype, parts: Iterable[np.ndarray]
) -> None:
    """Write a .npy file whole or not at all, part by part: more than memory can hold at once.

    parts: arrays of `dtype` that make one of `shape` when joined along the first axis.
    Raises DiskError when the disk is full.
    """
    from numpy.lib import format as npy  # numpy, which --help does not need

    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with _atomic_file(path) as file:
        npy.write_array_header_1_0(file, header)
        for part in parts:
            file.write(part.reshape(-1).view("uint8").data)


@contextmanager
def _atomic_file(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = _temporary_name(path)
    try:
        with new.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        if error.errno in DISK_IS_FULL:
            raise DiskError(
                f"{DISK_IS_FULL[error.errno]}: {path} was not written, and what stood there is "
                "intact; free some space, or name a folder on another disk"
            ) from error
        raise
    finally:
        new.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    with suppress(
        OSError
    ):  # some network file systems cannot; the rename has happened all the same
        os.fsync(folder)
    os.close(folder)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write indented JSON; NaN and infinity, which JSON does not have, become null."""
    # surrogates, which write_atomic backslashes, are then what JSON writes for them
    write_atomic(path, json.dumps(_finite(content), indent=2, ensure_ascii=False) + "\n")


def sha256_of(content: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def natural_key(name: str) -> tuple[list[tuple[bool, int | str]], str]:
    """Sort key under which Image2 comes before Image10, the same on every file system.

    >>> sorted(["Image10.png", "image2.png"], key=natural_key)
    ['image2.png', 'Image10.png']
    """
    parts = re.split(r"(\d+)", name.casefold())
    return [(not part.isdecimal(), int(part) if part.isdecimal() else part) for part in parts], name


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def temporary_folder(path: Path) -> Path:
    """A new folder beside `path`, to take its place; with the permissions of any new folder."""
    new = _temporary_name(path)
    new.mkdir()
    return new


def _temporary_name(path: Path) -> Path:
    # not by `tempfile`, which withholds what the umask grants, and nobody can ask for the umask
    # without changing it for all threads
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")
