"""A folder of image files: Training/ and Testing/, train|val|test/, or one folder a class."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from braintumor.data.sources import Item, Source, archive
from braintumor.data.sources._layout import LAYOUTS, Choice, Names, read_layout
from braintumor.errors import DataError

_OTHER_SOURCES = {".npz": "npz", ".csv": "table", ".tsv": "table"}


@dataclass(frozen=True)
class FolderSource:
    """Image files under a root; labels and splits are the names of their folders."""

    root: Path
    items: tuple[Item, ...]
    ignored: Mapping[str, int]

    def read(self, item: Item) -> bytes:
        path = self.root / item.path
        if not path.is_file() and path.exists():
            raise DataError("it is no regular file")  # reading a pipe would wait for ever
        return path.read_bytes()


def build(root: Path | None, classes: Names = None, ignore: Names = None) -> Source:
    """The images under root, which may also be a zip or tar file of such a folder.

    classes: names of the folders that are the classes; what lies beside them is left out.
    ignore: folders to leave out, as paths from where the classes or splits are.
    Raises DataError when root is missing, holds no image, has an empty class folder, or can be
    read in two ways.
    """
    if root is None:
        raise DataError(f"data=folder needs data.root=FOLDER with {LAYOUTS}")
    if not root.exists():
        raise DataError(f"data.root={root} does not exist (looked from {Path.cwd()})")
    if root.is_dir():
        files, folders = _walk(root)
        choice = Choice.given(classes, ignore)
        layout = read_layout(files, folders, str(root), choice, is_folder=True)
        return FolderSource(root, layout.items, layout.ignored)
    if archive.is_archive_name(root.name):
        return archive.build(root, classes, ignore)
    other = _OTHER_SOURCES.get(root.suffix.lower())
    hint = f"use data={other} for it" if other else f"give a folder with {LAYOUTS}"
    raise DataError(f"data.root={root} is a file, and no zip or tar; {hint}")


def _walk(root: Path) -> tuple[list[str], list[str]]:
    """Files and folders below root as relative posix paths; links to folders are followed once."""
    files, folders = [], []
    seen = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_raise):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders.sort()
        inside = Path(folder).relative_to(root)
        if inside.parts:
            folders.append(inside.as_posix())
        files += [(inside / name).as_posix() for name in names]
    return files, folders


def _raise(error: OSError) -> None:
    raise DataError(f"cannot list {error.filename} ({error.strerror}); check its permissions")
