"""A zip or tar file of a folder of images, read without trusting the names of its members."""

from __future__ import annotations

import os
import re
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from braintumor.data.images import is_image_name
from braintumor.data.sources import DAMAGED, Item, Source, why_unreadable
from braintumor.data.sources._choice import Choice, Names
from braintumor.data.sources._layout import LAYOUTS, read_layout
from braintumor.errors import DataError, MachineError

# Far above any data set of slices, far below what an archive bomb unpacks to.
MAX_MEMBERS = 1_000_000
MAX_FILE_BYTES = 256 << 20
MAX_TOTAL_BYTES = 64 << 30

_UNPACK = "unpack it yourself and give the folder, if you trust it"
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")


@dataclass(frozen=True)
class Archive:
    """The members of a zip or tar file, as posix paths, and how one is read.

    `read` may be called by several threads; it raises DataError when the file is damaged there.
    """

    files: Collection[str]
    folders: Sequence[str]
    read: Callable[[str], bytes]


@dataclass(frozen=True)
class ArchiveSource:
    """Images that are read out of a zip or tar file one by one."""

    archive: Archive
    items: tuple[Item, ...]
    ignored: Mapping[str, int]

    def read(self, item: Item) -> bytes:
        return self.archive.read(item.path)


def is_archive_name(name: str) -> bool:
    """Whether a file name ends as those of zip and tar files do."""
    return name.lower().endswith(_SUFFIXES)


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
    layout = read_layout(archive.files, archive.folders, str(root), choice, is_folder=False)
    return ArchiveSource(archive, layout.items, layout.ignored)


def open_archive(root: Path) -> Archive:
    """All members of the zip or tar file.

    Raises DataError when it is damaged, or a member is a link or device, leads out of the archive,
    or is larger than an image can be.
    """
    try:
        return _open_zip(root) if zipfile.is_zipfile(root) else _open_tar(root)
    except DAMAGED as error:
        why = why_unreadable(root, error, "zip or tar file")
        raise DataError(f"{why}, or unpack it yourself and give the folder") from error


def _open_zip(root: Path) -> Archive:
    file = zipfile.ZipFile(root)
    found = _Members(root)
    for entry in file.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        is_plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
        if entry.flag_bits & 1:
            raise found.refused(entry.filename, "is encrypted")
        found.add(entry.filename, entry, entry.file_size, is_plain, entry.is_dir())

    def read(name: str) -> bytes:
        try:
            return file.read(found.files[name])
        except DAMAGED as error:
            raise DataError(f"cannot be unpacked ({error or type(error).__name__})") from error

    return Archive(found.files, found.folders, read)


def _open_tar(root: Path) -> Archive:
    """Images are copied into one file without a name, since a tar is not read in any order.

    It is gone when nobody reads it any more, however this process ends.
    """
    found, places = _Members(root), dict[int, tuple[int, int]]()
    copy = _unnamed_file()
    with tarfile.open(root) as file:
        for number, entry in enumerate(file):
            is_plain = entry.isreg() or entry.isdir()
            name = found.add(entry.name, number, entry.size, is_plain, entry.isdir())
            content = file.extractfile(entry) if name and is_image_name(name) else None
            if content is not None:
                image = content.read()
                places[number] = (copy.tell(), len(image))
                with _room_for_copies():
                    copy.write(image)
    with _room_for_copies():
        copy.flush()

    def read(name: str) -> bytes:
        start, size = places[found.files[name]]
        return os.pread(copy.fileno(), size, start)

    return Archive(found.files, found.folders, read)


def _unnamed_file() -> BinaryIO:
    with _room_for_copies():
        return cast(BinaryIO, tempfile.TemporaryFile())


@contextmanager
def _room_for_copies() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # of the disk, and not of the archive, which is not damaged
        place = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 (named, not used)
        raise MachineError(
            f"images of a tar file are copied to {place} first, and that failed "
            f"({error.strerror}); name a folder with room: TMPDIR=FOLDER before the command, or "
            "unpack the file yourself and give its folder"
        ) from error


class _Members:
    """The members of an archive, each let in only when it can do no harm.

    files: name, a relative posix path -> what finds the member again.  Sizes are as declared;
    both formats read no more than that.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, Any] = {}
        self.folders: list[str] = []
        self._count = self._total_bytes = 0

    def add(self, name: str, member: object, size: int, is_plain: bool, is_folder: bool) -> str:
        """The name of a file, "" of a folder; raises DataError for any other member."""
        self._count += 1
        if self._count > MAX_MEMBERS:
            raise DataError(f"{self.root} has more than {MAX_MEMBERS:,} members; {_UNPACK}")
        posix = name.replace("\\", "/")
        if posix.startswith("/") or re.match(r"[A-Za-z]:", posix) or ".." in posix.split("/"):
            raise self.refused(name, "leads out of the archive")
        posix = "/".join(part for part in posix.split("/") if part not in ("", "."))
        if not is_plain:
            raise self.refused(posix, "is a link or device")
        if is_folder:
            self.folders.append(posix)
            return ""
        if size > MAX_FILE_BYTES:
            raise self.refused(posix, f"unpacks to {size:,} bytes, over {MAX_FILE_BYTES:,}")
        self._total_bytes += size
        if self._total_bytes > MAX_TOTAL_BYTES:
            raise DataError(
                f"{self.root} unpacks to more than {MAX_TOTAL_BYTES:,} bytes; {_UNPACK}"
            )
        if posix in self.files:
            raise self.refused(posix, "is there twice")
        self.files[posix] = member
        return posix

    def refused(self, name: str, why: str) -> DataError:
        return DataError(f"the member {name!r} of {self.root} {why}; {_UNPACK}")
