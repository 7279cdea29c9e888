"""Reading within bounds, writing that cannot tear, hashing, and natural order of names."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from braintumor import limits
from braintumor.errors import ConfigError, DataError, DiskError
from braintumor.privacy import without_names

if TYPE_CHECKING:
    import numpy as np

DISK_IS_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than `ulimit -f` allows",
}
MARKER = ".braintumor"  # in a folder that holds work of ours, see runs/ownership.py


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file, as `open_bounded` opens it."""
    with open_bounded(path, most_bytes) as (file, size):
        return file.read(size)


@contextmanager
def open_bounded(path: Path, most_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file and its bytes. Every file that may be a stranger's is opened here.

    Never waits: a pipe, a device or a socket is refused, a file of the kernel (/proc/kmsg, as a
    link in a data set) is as empty as it says.
    Raises OSError, or DataError when it is no regular file or larger than `most_bytes`.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(number, "rb") as file:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            raise DataError("it is no regular file")
        if about.st_size > most_bytes:
            raise DataError(f"it has {about.st_size:,} bytes, over the cap of {most_bytes:,}")
        yield file, about.st_size


def read_table(path: Path) -> io.BytesIO:
    """The content of a CSV file of a run, which may be a stranger's; for pandas and csv.

    Raises OSError, and ValueError, as pandas does of what is no table, when it is no regular file
    or too large.
    """
    try:
        return io.BytesIO(read_bounded(path, limits.TABLE_BYTES))
    except DataError as error:
        raise ValueError(str(error)) from error


def read_json(path: Path) -> dict[str, Any]:
    """The mapping that a JSON file holds. Raises OSError, or DataError when there is none."""
    try:
        content = parse_json(read_bounded(path, limits.JSON_BYTES))
    except ValueError as error:
        raise DataError(f"it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise DataError("it is not a mapping")
    return content


def parse_json(text: bytes | str) -> Any:
    """What a JSON text says, which may be a stranger's: no more values than memory is for.

    Raises ValueError: no JSON, no UTF-8, too deep, or too many values.
    """
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if sum(content.count(sign) for sign in (b",", b":", b"[", b"{")) > limits.JSON_PARTS:
        raise ValueError(f"it has over {limits.JSON_PARTS:,} values")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, which may be a stranger's: plain values, no more than fit a config.

    Raises ConfigError with the reason: too large, too deep, damaged, or with aliases, of which a
    few lines stand for billions of values.
    """
    import yaml  # which a command's help does not need

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster
    depth = 0
    try:
        text = read_bounded(path, limits.YAML_BYTES).decode()
        for event in yaml.parse(text, loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > limits.YAML_DEPTH or isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1
                raise ConfigError(
                    f"{path}, line {line}: nested more than {limits.YAML_DEPTH} deep, or with an "
                    "alias (*name); write it out"
                )
        return yaml.load(text, loader)  # noqa: S506 (it is the safe one)
    except (yaml.YAMLError, ValueError, DataError, LookupError, TypeError) as error:
        # ValueError: no UTF-8, a date that there is not, a number of thousands of digits
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not YAML ({reason}); copy it again") from error


def write_atomic(path: Path, content: bytes | str) -> None:
    """Put content at path whole or not at all; an older file there survives a failure.

    Temporary file in the same folder, fsync, rename, fsync of the folder. In text, bytes of a file
    name that are no UTF-8 (surrogates, in Python) become backslashed, and paths name no people
    (privacy.py), but in tables, whose paths are joined to those of other tables.
    Raises DiskError when the disk is full.
    """
    with atomic_file(path) as file:
        if isinstance(content, str):
            content = content if path.suffix == ".csv" else without_names(content)
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
    with atomic_file(path) as file:
        npy.write_array_header_1_0(file, header)
        for part in parts:
            file.write(part.reshape(-1).view("uint8").data)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that appears at path when the block ends, as with `write_atomic`."""
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
    with suppress(OSError):  # some network disks cannot; the rename has happened all the same
        os.fsync(folder)
    os.close(folder)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write indented JSON; NaN and infinity, which JSON does not have, become null."""
    # surrogates, which write_atomic backslashes, are then what JSON writes for them
    write_atomic(path, json.dumps(_finite(content), indent=2, ensure_ascii=False) + "\n")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV table of one row or more, each with the keys of the first."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


def printable(text: str, encoding: str = "utf-8") -> str:
    """The text as a terminal may show it: what would steer it, and no letter, is backslashed.

    Names of files are strangers': an escape can clear the screen or forge a line, a character for
    right-to-left writing turns a name round.  encoding: of the terminal.

    >>> print(printable("a" + chr(27) + "[2J.png"))
    a\\x1b[2J.png
    """
    text = re.sub(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]",
        lambda found: found[0].encode("unicode_escape").decode(),
        text,
    )
    return text.encode(encoding, "backslashreplace").decode(encoding)


def sha256_of(content: bytes) -> str:
    """SHA-256, as 64 hexadecimal digits."""
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


def remove_if_empty(folder: Path) -> None:
    """Remove a folder in which there is nothing; no link to one."""
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()


def temporary_folder(path: Path) -> Path:
    """A new folder beside `path`, to take its place; with the permissions of any new folder."""
    new = _temporary_name(path)
    new.mkdir()
    return new


def _temporary_name(path: Path) -> Path:
    # not by `tempfile`, which withholds what the umask grants, and nobody can ask for the umask
    # without changing it for all threads
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")
