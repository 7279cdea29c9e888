"""last.ckpt: all that a run needs to go on; the one before it stays as previous.ckpt.

The file is what torch.save writes, a zip, and anybody's torch reads it; its SHA-256 stands in the
comment of the zip, so that one that was cut, torn or flipped is never taken.
"""

from __future__ import annotations

import io
import logging
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.errors import CheckpointError
from braintumor.files import sha256_of, write_atomic
from braintumor.runs.folder import RunFolder

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_UNREADABLE = (
    *(RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(OSError, ImportError, pickle.UnpicklingError),
)


def save_state(run: RunFolder, state: Mapping[str, Any]) -> None:
    """Write last.ckpt; whenever this is cut off, one whole state at least is on the disk."""
    import torch  # whether there is a state is known without torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    newest, last, previous = _files(run)
    write_atomic(newest, _seal(buffer.getvalue()))
    if last.exists():
        last.replace(previous)
    newest.replace(last)


def has_state(run: RunFolder) -> bool:
    """Whether there is a state to resume from, readable or not."""
    return any(path.is_file() for path in _files(run))


def load_state(run: RunFolder, device: torch.device) -> dict[str, Any]:
    """The newest state that is whole; damaged ones are named in the log, and removed.

    Raises CheckpointError when there is none.
    """
    damaged = []
    for path in _files(run):
        if not path.is_file():
            continue
        state = _read(path, device)
        if state is None:
            damaged.append(path)
            continue
        for other in damaged:
            log.warning("%s is damaged; going on from the one before it, %s", other, path.name)
            other.unlink()  # or it would take the place of the one before
        return state
    if damaged:
        names = " and ".join(path.name for path in damaged)
        raise CheckpointError(
            f"{names} in {run.path} {'is' if len(damaged) == 1 else 'are'} damaged, and there is "
            "no other state to resume from; start again with `bt-train` and its settings"
        )
    raise CheckpointError(
        f"{run.path} has no last.ckpt to resume from; start again with `bt-train` and its settings"
    )


def _files(run: RunFolder) -> tuple[Path, Path, Path]:
    """Where states are, the newest first; next.ckpt is there between the two renames alone."""
    return run.path / "next.ckpt", run.last, run.path / "previous.ckpt"


def _read(path: Path, device: torch.device) -> dict[str, Any] | None:
    import torch  # as above

    content = path.read_bytes()
    if content[-64:] != _digest(content[:-64]):
        return None
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except _UNREADABLE:
        return None
    return state if isinstance(state, dict) else None


def _seal(content: bytes) -> bytes:
    """What torch.save wrote, with its SHA-256 as the comment of the zip."""
    if content[-22:-18] != b"PK\x05\x06" or content[-2:] != b"\0\0":  # the last record of a zip
        raise AssertionError("torch.save gave a zip file with a comment")
    content = content[:-2] + struct.pack("<H", 64)  # the length of the comment
    return content + _digest(content)


def _digest(content: bytes) -> bytes:
    return sha256_of(content).encode()
