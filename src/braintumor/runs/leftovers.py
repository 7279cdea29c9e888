"""What killed commands left part-written in a folder: removed by the next one that holds it."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from braintumor.files import MARKER, remove_if_empty
from braintumor.runs.kinds import Kind

_PART_WRITTEN = re.compile(r"\.(.+)\.[0-9a-f]{8}")  # as braintumor/files.py names them


def sweep(folder: Path, kind: Kind) -> None:
    """Remove files of ours that were never finished there, and folders that were to replace it.

    folder: held, so that no living process writes there.  Only names that a command of that kind
    gives; nothing behind a link.
    """
    _sweep_files(folder, kind)
    for path in folder.parent.glob(".*") if folder.name else ():
        found = _PART_WRITTEN.fullmatch(path.name)
        if found and found[1] == folder.name and path.is_dir() and not path.is_symlink():
            _remove_folder(path, kind)


def _sweep_files(folder: Path, kind: Kind) -> None:
    for place in {PurePosixPath(pattern).parent for pattern in kind.files}:
        inside = folder / place
        if not inside.is_dir() or inside.is_symlink():
            continue
        names = [PurePosixPath(p).name for p in kind.files if PurePosixPath(p).parent == place]
        for path in inside.iterdir():
            found = _PART_WRITTEN.fullmatch(path.name)
            is_ours = found and any(fnmatchcase(found[1], name) for name in names)
            if is_ours and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)


def _remove_folder(folder: Path, kind: Kind) -> None:
    """Of a folder that was to be put in the place of another; what is not ours stays."""
    _sweep_files(folder, kind)
    for pattern in (*kind.files, MARKER):
        for path in folder.glob(pattern):
            if path.is_file() and not any(p.is_symlink() for p in (path, path.parent)):
                path.unlink(missing_ok=True)
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        remove_if_empty(path)
