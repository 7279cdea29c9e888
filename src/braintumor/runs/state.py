"""last.ckpt: all that a run needs to go on, and the one before it, previous.ckpt.

Anybody's torch reads it. A SHA-256 stands in the comment of the zip that it is, so that a file that
was cut, torn or flipped is never taken.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from braintumor import limits
from braintumor.errors import CheckpointError, DataError
from braintumor.files import atomic_file, open_bounded
from braintumor.runs.commands import repeat_command
from braintumor.runs.folder import RunFolder
from braintumor.runs.items import MisfitError, check_items
from braintumor.runs.kinds import STATES

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_ZIP_END = 22  # bytes of the last record of a zip without a comment

_UNREADABLE = (
    *(RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(OSError, ImportError, pickle.UnpicklingError),
)


class NoStateError(CheckpointError):
    """No state of a run is whole."""


def save_state(run: RunFolder, state: Mapping[str, Any]) -> None:
    """Write last.ckpt; whenever this is cut off, one whole state at least is on the disk."""
    import torch  # as above

    newest, last, previous = _states(run)
    with atomic_file(newest) as file:
        sealed = _Sealed(file)
        try:
            torch.save(dict(state), cast(Any, sealed))
        except RuntimeError as error:  # of torch's writer, which ends what it could not write
            raise sealed.failure or error from None
        sealed.finish()
    if last.exists():
        last.replace(previous)
    newest.replace(last)


class _Sealed:
    """Writes a zip file with its SHA-256 as comment, piece by piece: a state may fill the memory.

    The last record of the zip is held back, for the length of the comment is the end of it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self._held = file, hashlib.sha256(), b""
        self.failure: OSError | None = None

    def write(self, piece: memoryview) -> int:
        """Take the next bytes."""
        end = self._held + bytes(piece[-_ZIP_END:])
        self._pass_on(end[:-_ZIP_END] if len(piece) < _ZIP_END else self._held)
        self._pass_on(piece[:-_ZIP_END])
        self._held = end[-_ZIP_END:]
        return len(piece)

    def flush(self) -> None:
        """Nothing: `atomic_file` does it."""

    def finish(self) -> None:
        """Write what is held back, and the comment."""
        if self._held[:4] != b"PK\x05\x06" or self._held[-2:] != b"\0\0":
            raise AssertionError("torch.save gave a zip file with a comment")
        self._pass_on(self._held[:-2] + struct.pack("<H", 64))
        self._file.write(self._digest.hexdigest().encode())

    def _pass_on(self, piece: bytes | memoryview) -> None:
        self._digest.update(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            self.failure = error
            raise


def load_state(run: RunFolder, device: torch.device) -> dict[str, Any]:
    """The newest state that is whole; damaged ones are named in the log, and removed.

    Raises NoStateError when there is none, and CheckpointError when it has other items (items.py).
    """
    damaged: list[Path] = []
    for path in filter(Path.is_file, _states(run)):
        state = _read_state(path, device)
        if state is None:
            damaged.append(path)
            continue
        for other in damaged:
            log.warning("%s is damaged; going on from the one before it, %s", other, path.name)
            other.unlink()  # or it would take the place of the one before
        with start_again(run):
            check_items(state)
        return state
    fault = f"{run.path} has no last.ckpt to resume from"
    if damaged:
        names, are = " and ".join(path.name for path in damaged), "are" if damaged[1:] else "is"
        fault = f"{names} in {run.path} {are} damaged, and there is no other state to resume from"
    raise NoStateError(f"{fault}; start again with: {repeat_command(run, in_place=True)}")


@contextmanager
def start_again(run: RunFolder) -> Iterator[None]:
    """Within, an error on a state that does not fit says how to train from the start."""
    try:
        yield
    except MisfitError as error:
        command = repeat_command(run, in_place=True)
        raise CheckpointError(f"{run.path}: {error}; start again with: {command}") from error


def _states(run: RunFolder) -> list[Path]:
    """Where states are, the newest first; next.ckpt is there between the two renames alone."""
    return [run.path / name for name in STATES]


def _read_state(path: Path, device: torch.device) -> dict[str, Any] | None:
    import torch  # as above

    try:
        with open_bounded(path, limits.CHECKPOINT_BYTES) as (file, size):
            if not _is_whole(file, size):
                return None
            file.seek(0)
            state = torch.load(file, map_location=device, weights_only=True)
    except (DataError, *_UNREADABLE):
        return None
    return state if isinstance(state, dict) else None


def _is_whole(file: BinaryIO, size: int) -> bool:
    """Whether its last 64 bytes are the checksum of those before; read piece by piece."""
    digest, left = hashlib.sha256(), size - 64
    while left > 0 and (piece := file.read(min(left, 1 << 20))):
        digest.update(piece)
        left -= len(piece)
    return left == 0 and file.read() == digest.hexdigest().encode()
