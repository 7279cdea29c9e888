"""The mark of a folder of ours: what it holds, who writes there, and the lock of the writer.

The lock is the kernel's, on the file MARKER: it ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from braintumor.errors import ConfigError
from braintumor.files import MARKER
from braintumor.runs.kinds import RUN, Kind

log = logging.getLogger(__name__)

_MARKER_BYTES = 4096  # written in one piece, so that no reader sees half of it


def mark(folder: Path, kind: Kind) -> None:
    """Say in a new folder whose it is; for one that takes the place of a held one."""
    descriptor = _open(folder / MARKER)
    try:
        write_marker(descriptor, kind)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """The marker, open and locked; made where there is none.

    Raises ConfigError when another process has it.
    """
    path = folder / MARKER
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(_in_use(folder)) from error
        except OSError as error:  # a network disk without locks
            log.warning("%s cannot be locked (%s): see that nobody else writes there", path, error)
        if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise ConfigError(_in_use(folder))  # who had it has just taken it away
        yield descriptor
    finally:
        os.close(descriptor)


def _open(marker: Path) -> int:
    """A descriptor of the marker, which is made where there is none."""
    if marker.is_symlink() or (marker.exists() and not marker.is_file()):
        raise ConfigError(f"{marker} is a link or no file, and not of braintumor; remove it")
    return os.open(marker, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)


def _in_use(folder: Path) -> str:
    who = {"process": "?", "host": "?", "since": "?", "command": "?"} | read_marker(folder)
    then = f" and go on with bt-train resume={folder}" if who.get("holds") == RUN.name else ""
    return (
        f"{folder} is in use: process {who['process']} on {who['host']} has been writing there "
        f"since {who['since']} ({who['command']}); wait until it ends, or end it (kill "
        f"{who['process']}){then}"
    )


def write_marker(descriptor: int, kind: Kind) -> None:
    who = {
        "holds": kind.name,
        "process": os.getpid(),
        "host": socket.gethostname()[:64],
        "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:300],
    }
    content = json.dumps(who).encode()
    os.pwrite(descriptor, content.ljust(_MARKER_BYTES), 0)


def read_marker(folder: Path) -> dict[str, Any]:
    """What the marker says; empty where there is none, or where its writer had no time for it."""
    try:
        content = json.loads((folder / MARKER).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
