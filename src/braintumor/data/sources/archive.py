"""A zip or tar file of a folder of images, read without trusting the names of its members."""

from __future__ import annotations

import lzma
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from braintumor.data.images import is_image_name
from braintumor.data.sources import Item, Source
from braintumor.data.sources._layout import LAYOUTS, Choice, Names, read_layout
from braintumor.errors import DataError

# Far above any data set of slices, far below what an archive bomb unpacks to.
MAX_MEMBERS = 1_000_000
MAX_FILE_BYTES = 256 << 20
MAX_TOTAL_BYTES = 64 << 30

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, NotImplementedError, RuntimeError, ValueError),
)


@dataclass(frozen=True)
class ZipSource:
    """Images that stay in their zip file; members are read one by one, by several threads."""

    file: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]
    items: tuple[Item, ...]
    ignored: Mapping[str, int]

    def read(self, item: Item) -> bytes:
        try:
            return self.file.read(self.members[item.path])
        except _DAMAGED as error:
            raise DataError(f"cannot be unpacked ({error or type(error).__name__})") from error


@dataclass(frozen=True)
class TarSource:
    """Images copied out of a tar file, which cannot be read in any order, into numbered files."""

    folder: tempfile.TemporaryDirectory[str]  # removed together with this object
    numbers: Mapping[str, int]
    items: tuple[Item, ...]
    ignored: Mapping[str, int]

    def read(self, item: Item) -> bytes:
        return (Path(self.folder.name) / str(self.numbers[item.path])).read_bytes()


def is_archive_name(name: str) -> bool:
    """Whether a file name ends as those of zip and tar files do."""
    return name.lower().endswith(_SUFFIXES)


def build(root: Path | None, classes: Names = None, ignore: Names = None) -> Source:
    """The images in the zip or tar file `root`.

    classes, ignore: folders that are classes and folders to leave out, as in folder.build.
    Raises DataError when it is missing or damaged, holds no image in a known layout, or when
    a member is a link or device, leads out of the archive, or is larger than an image can be.
    """
    if root is None:
        raise DataError(f"data=archive needs data.root=FILE.zip or .tar.gz with {LAYOUTS}")
    if not root.is_file():
        raise DataError(f"data.root={root} is not a file (looked from {Path.cwd()})")
    choice = Choice.given(classes, ignore)
    try:
        if zipfile.is_zipfile(root):
            return _zip_source(root, choice)
        return _tar_source(root, choice)
    except _DAMAGED as error:
        raise DataError(
            f"{root} is damaged or no zip or tar file ({error or type(error).__name__}); "
            "get it again, or unpack it yourself and give the folder as data.root"
        ) from error


def _zip_source(root: Path, choice: Choice) -> ZipSource:
    file = zipfile.ZipFile(root)
    entries = file.infolist()
    _check_count(len(entries), root)
    members: dict[str, zipfile.ZipInfo] = {}
    folders = []
    total = 0
    for entry in entries:
        name = _safe_name(entry.filename, root)
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(root, name, "is a link or device")
        if entry.is_dir():
            folders.append(name)
            continue
        if entry.flag_bits & 1:
            raise _refused(root, name, "is encrypted")
        total = _check_size(name, entry.file_size, total, root)
        _check_new(name, members, root)
        members[name] = entry
    layout = read_layout(members, folders, str(root), choice, is_folder=False)
    return ZipSource(file, members, layout.items, layout.ignored)


def _tar_source(root: Path, choice: Choice) -> TarSource:
    folder = tempfile.TemporaryDirectory(prefix="braintumor-")
    numbers: dict[str, int] = {}
    folders = []
    total = 0
    with tarfile.open(root) as file:
        for number, entry in enumerate(file):
            _check_count(number + 1, root)
            name = _safe_name(entry.name, root)
            if entry.isdir():
                folders.append(name)
                continue
            if not entry.isreg():
                raise _refused(root, name, "is a link or device")
            total = _check_size(name, entry.size, total, root)
            _check_new(name, numbers, root)
            numbers[name] = number
            content = file.extractfile(entry)
            if content is not None and is_image_name(name):
                # the name on disk is a number, so no member can choose where it lands
                (Path(folder.name) / str(number)).write_bytes(content.read())
    layout = read_layout(numbers, folders, str(root), choice, is_folder=False)
    return TarSource(folder, numbers, layout.items, layout.ignored)


def _safe_name(name: str, root: Path) -> str:
    """A member's name as a relative posix path, without a leading "./"."""
    posix = name.replace("\\", "/")
    if posix.startswith("/") or re.match(r"[A-Za-z]:", posix) or ".." in posix.split("/"):
        raise _refused(root, name, "leads out of the archive")
    return "/".join(part for part in posix.split("/") if part not in ("", "."))


def _check_count(count: int, root: Path) -> None:
    if count > MAX_MEMBERS:
        raise DataError(f"{root} has more than {MAX_MEMBERS:,} members; {_UNPACK}")


def _check_size(name: str, size: int, total: int, root: Path) -> int:
    """The total with this member; sizes are declared, and both formats read no more than that."""
    if size > MAX_FILE_BYTES:
        raise _refused(root, name, f"unpacks to {size:,} bytes, over {MAX_FILE_BYTES:,}")
    if total + size > MAX_TOTAL_BYTES:
        raise DataError(f"{root} unpacks to more than {MAX_TOTAL_BYTES:,} bytes; {_UNPACK}")
    return total + size


def _check_new(name: str, known: Mapping[str, object], root: Path) -> None:
    if name in known:
        raise _refused(root, name, "is there twice")


_UNPACK = "unpack it yourself and give the folder as data.root, if you trust it"


def _refused(root: Path, name: str, why: str) -> DataError:
    return DataError(f"the member {name!r} of {root} {why}; {_UNPACK}")
