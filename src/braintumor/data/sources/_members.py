"""The members of a zip or tar file, each let in only when it can do no harm."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from braintumor import limits
from braintumor.errors import DataError

UNPACK = "unpack it yourself and give the folder, if you trust it"
_SHOWN = 200  # characters of a name in a message


class Members:
    """What was let in so far; `add` refuses the rest. The caps are in limits.

    files: name, a relative posix path -> what finds the member again.  Sizes are as declared;
    both formats read no more than that.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.most_bytes = limits.unpacked_bytes(root.stat().st_size)
        self.files: dict[str, Any] = {}
        self.folders: list[str] = []
        self._around: set[str] = set()  # folders of the files
        self._count = self._total_bytes = 0

    def add(self, name: str, member: object, size: int, is_plain: bool, is_folder: bool) -> str:
        """The name of a file, "" of a folder; raises DataError for any other member."""
        self._count += 1
        if self._count > limits.MEMBERS:
            raise self.too_large(f"has more than {limits.MEMBERS:,} members")
        posix = self._safe(name)
        if not is_plain:
            raise self.refused(posix, "is a link or device")
        if is_folder:
            if posix:
                self.folders.append(posix)
            return ""
        if not posix:
            raise self.refused(name, "has no name")
        if size > limits.FILE_BYTES:
            raise self.refused(posix, f"unpacks to {size:,} bytes, over {limits.FILE_BYTES:,}")
        self._total_bytes += size
        if self._total_bytes > self.most_bytes:
            raise self.too_large(f"unpacks to more than {self.most_bytes:,} bytes")
        if posix in self.files:
            raise self.refused(posix, "is there twice")
        self.files[posix] = member
        return posix

    def _safe(self, name: str) -> str:
        """The name as a relative posix path, none of whose folders is above the archive."""
        posix = name.replace("\\", "/")
        if len(name) > limits.PATH_BYTES:
            raise self.refused(name, f"has a name of over {limits.PATH_BYTES:,} characters")
        if posix.startswith("/") or re.match(r"[A-Za-z]:", posix) or ".." in posix.split("/"):
            raise self.refused(name, "leads out of the archive")
        parts = [part for part in posix.split("/") if part not in ("", ".")]
        if len(parts) > limits.PATH_PARTS:
            raise self.refused(name, f"lies in more than {limits.PATH_PARTS} folders")
        posix = "/".join(parts)
        folder = posix.rpartition("/")[0]
        while folder and folder not in self._around:
            self._around.add(folder)
            folder = folder.rpartition("/")[0]
        if len(self._around) > limits.FOLDERS:
            raise self.too_large(f"has more than {limits.FOLDERS:,} folders")
        return posix

    def refused(self, name: str, why: str) -> DataError:
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
        return DataError(f"the member {shown!r} of {self.root} {why}; {UNPACK}")

    def too_large(self, why: str) -> DataError:
        return DataError(f"{self.root} {why}; {UNPACK}")
