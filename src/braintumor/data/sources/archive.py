"""A zip or tar file of a folder of images, read without trusting the names of its members."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import re
import shlex
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from braintumor import limits
from braintumor.data.images import is_image_name
from braintumor.data.sources import FileSource, Source, why_unreadable
from braintumor.data.sources._layout import read_layout
from braintumor.data.sources._look import LAYOUTS, Choice, Names
from braintumor.data.sources._members import Members
from braintumor.errors import BraintumorError, DataError, MachineError
from braintumor.quoting import pasteable

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")


@dataclass(frozen=True)
class Archive:
    """The members of a zip or tar file, as posix paths, and how one is read.

    `read` may be called by several threads; it raises DataError when the file is damaged there.
    """

    files: Collection[str]
    folders: Sequence[str]
    read: Callable[[str], bytes]


def is_archive_name(name: str) -> bool:
    """Whether a file name ends as those of zip and tar files do."""
    return name.lower().endswith(_SUFFIXES)


def unpack_line(path: Path, place: Path) -> str:
    """The command that unpacks it into a folder of its name in another."""
    module = "zipfile" if path.suffix.lower() == ".zip" else "tarfile"
    folder = place / re.sub(r"(\.tar)?\.\w+$", "", path.name)
    return f"python3 -m {module} -e {shlex.join([str(path), str(folder)])}"


def build(
    root: Path | None, classes: Names = None, ignore: Names = None, patient_regex: str | None = None
) -> Source:
    """The images in the zip or tar file `root`.

    classes, ignore, patient_regex: as in folder.build.
    Raises DataError when it is missing or damaged, holds no image in a known layout, or when
    a member is a link or device, leads out of the archive, or is larger than an image can be.
    """
    if root is None:
        raise DataError(f"data=archive needs data.root=FILE.zip or .tar.gz with {LAYOUTS}")
    if not root.is_file():
        raise DataError(f"data.root={root} is not a file (looked from {Path.cwd()})")
    choice = Choice.given(classes, ignore, patient_regex)
    archive = open_archive(root)
    if not any(map(is_image_name, archive.files)) and any(map(is_archive_name, archive.files)):
        place = root.with_name("unpacked")
        name = pasteable("data.root", str(place))
        line = unpack_line(root, place)
        raise DataError(f"{root} holds no image, but archives; unpack it: {line}; then use {name}")
    found = read_layout(archive.files, archive.folders, str(root), choice, is_folder=False)
    return FileSource(*found, archive.read)


def open_archive(root: Path) -> Archive:
    """All members of the zip or tar file.

    Raises DataError when it is damaged, or a member is a link or device, leads out of the archive,
    or is larger than an image can be.
    """
    try:
        return _open_zip(root) if zipfile.is_zipfile(root) else _open_tar(root)
    except MemoryError as error:  # of xz, whose header says how much it takes
        raise Members(root).too_large("takes more memory to unpack than there is") from error
    except BraintumorError:
        raise
    except Exception as error:  # their parsers raise nearly every kind on damaged files
        why = why_unreadable(root, error, "zip or tar file")
        raise DataError(f"{why}, or unpack it yourself and give the folder") from error


def _open_zip(root: Path) -> Archive:
    file = zipfile.ZipFile(root)
    found = Members(root)
    for entry in file.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        is_plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
        if entry.flag_bits & 1:
            raise found.refused(entry.filename, "is encrypted")
        is_folder = entry.filename.endswith(("/", "\\"))  # as some programs of Windows write it
        found.add(entry.filename, entry, entry.file_size, is_plain, is_folder)

    def read(name: str) -> bytes:
        try:
            return file.read(found.files[name])
        except Exception as error:  # as above
            raise DataError(f"cannot be unpacked ({error or type(error).__name__})") from error

    return Archive(found.files, found.folders, read)


def _open_tar(root: Path) -> Archive:
    """Images are copied into one file without a name, since a tar is not read in any order.

    It is gone when nobody reads it any more, however this process ends.
    """
    found, places = Members(root), dict[int, tuple[int, int]]()
    with _room_for(root):
        copy: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (closed with its last reader)
    with _unpacked(root) as packed:
        stream: Any = _Stream(packed, found)
        with tarfile.open(fileobj=stream, mode="r:") as file:
            for number, entry in enumerate(file):
                is_plain = (entry.isreg() and not entry.issparse()) or entry.isdir()
                name = found.add(entry.name, number, entry.size, is_plain, entry.isdir())
                content = file.extractfile(entry) if name and is_image_name(name) else None
                if content is not None:
                    places[number] = (copy.tell(), entry.size)
                    _copy(content, copy, entry.size, root)
    with _room_for(root):
        copy.flush()

    def read(name: str) -> bytes:
        start, size = places[found.files[name]]
        return os.pread(copy.fileno(), size, start)

    return Archive(found.files, found.folders, read)


def _unpacked(root: Path) -> BinaryIO:
    with root.open("rb") as start:
        head = start.read(6)
    kinds: dict[bytes, Any] = {
        b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open
    }  # fmt: skip
    opened = next((kind for magic, kind in kinds.items() if head.startswith(magic)), open)
    file: BinaryIO = opened(root, "rb")
    return file


def _copy(content: IO[bytes], copy: BinaryIO, size: int, root: Path) -> None:
    """A member to the disk, where there is room for it."""
    with _room_for(root):
        if size > shutil.disk_usage(tempfile.gettempdir()).free * (1 - limits.SPARE_SHARE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    while part := content.read(limits.HEADER_BYTES):
        with _room_for(root):
            copy.write(part)


@contextmanager
def _room_for(root: Path) -> Iterator[None]:
    """What fails within is the disk's fault, and not the archive's, which is not damaged."""
    try:
        yield
    except OSError as error:
        place = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 (named, not used)
        raise MachineError(
            f"there is no room in {place} to unpack {root} ({error.strerror}); name a folder on a "
            "larger disk with TMPDIR=FOLDER, or unpack it yourself and give the folder"
        ) from error


class _Stream:
    """The unpacked bytes of a tar file as tarfile reads them, within the caps."""

    def __init__(self, file: BinaryIO, found: Members) -> None:
        self._file, self._found = file, found
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= limits.HEADER_BYTES:  # a header: contents are read in smaller parts
            raise self._found.too_large(f"has a header of {size:,} bytes")
        self._within(self._file.tell() + size)
        return self._file.read(size)

    def seek(self, place: int) -> int:
        self._within(place)
        return self._file.seek(place)

    def _within(self, place: int) -> None:
        # the first header and the padding at the end come beside what is counted of the members
        if place > 2 * self._found.most_bytes:
            raise self._found.too_large(f"unpacks to more than {self._found.most_bytes:,} bytes")
