"""last.ckpt: all that a run needs to go on; the one before it stays as previous.ckpt."""

from __future__ import annotations

import io
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.errors import CheckpointError
from braintumor.files import write_atomic
from braintumor.runs.folder import RunFolder
from braintumor.runs.seal import is_sealed_state, seal_state

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_UNREADABLE = (
    *(RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(OSError, ImportError, pickle.UnpicklingError),
)


def save_state(run: RunFolder, state: Mapping[str, Any]) -> None:
    """Write last.ckpt; whenever this is cut off, one whole state at least is on the disk."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    newest, last, previous = _files(run)
    write_atomic(newest, seal_state(buffer.getvalue()))
    if last.exists():
        last.replace(previous)
    newest.replace(last)


def has_state(run: RunFolder) -> bool:
    """Whether there is a state to resume from, readable or not."""
    return any(path.is_file() for path in _files(run))


def load_state(run: RunFolder, device: torch.device) -> dict[str, Any]:
    """The newest state that is whole; of a damaged one the name is said, and it is removed.

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
    import torch

    content = path.read_bytes()
    if not is_sealed_state(content):
        return None
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except _UNREADABLE:
        return None
    return state if isinstance(state, dict) else None
