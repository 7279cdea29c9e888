"""What killed commands left part-written in a folder: removed by the next one that holds it."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from braintumor.files import MARKER, remove_if_empty
from braintumor.runs.kinds import Kind

_END = "." + 8 * "[0-9a-f]"  # of what is part-written, behind a dot and the name; see files.py


def sweep(folder: Path, kind: Kind) -> None:
    """Remove files of ours that were never finished there, and folders that were to replace it.

    folder: held, so that no living process writes there.  Only names that a command of that kind
    gives; nothing behind a link.
    """
    unfinished = [str(p.with_name(f".{p.name}{_END}")) for p in map(PurePosixPath, kind.files)]
    _remove(folder, unfinished)
    for new in folder.parent.glob(f".{glob.escape(folder.name)}{_END}") if folder.name else ():
        if new.is_dir() and not new.is_symlink():
            _remove(new, [*unfinished, *kind.files, MARKER])
            for path in [*sorted(new.rglob("*"), reverse=True), new]:  # what is not ours stays
                remove_if_empty(path)


def _remove(folder: Path, patterns: Iterable[str]) -> None:
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        if path.is_file() and not any(p.is_symlink() for p in (path, path.parent)):
            path.unlink(missing_ok=True)
