"""Whose folder it is: a command writes only where nothing was or what is its own, one at a time.

A folder of ours carries a mark, the file MARKER: what it holds and who writes there. It is locked
while it is written; the lock is the kernel's, and ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from braintumor.config import first_of
from braintumor.errors import CheckpointError, ConfigError, DataError
from braintumor.files import MARKER, read_json, remove_if_empty
from braintumor.privacy import without_names
from braintumor.runs.commands import resume_command
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import EVALUATION, RUN, STATES, SWEEP, Kind
from braintumor.runs.leftovers import sweep

log = logging.getLogger(__name__)

Existing = Literal["refuse", "replace", "continue"]

_MARKER_BYTES = 4096  # written in one piece, so that no reader sees half of it
_PART = re.compile(r"seed_-?\d+(_fold_\d+)?|fold_\d+")  # as Trial of workflows names them


def check(folder: Path, kind: Kind, existing: Existing = "refuse") -> None:
    """Raise the ConfigError that `hold` would, before the work begins; touches nothing."""
    if kind is EVALUATION and folder.is_mount():
        raise ConfigError(
            f"{folder} is where a disk is mounted, and an evaluation replaces its folder as a "
            f"whole; name one inside it, such as {kind.key}={folder / 'evaluation'}"
        )
    refuse_place(folder, kind)
    _refuse_others(folder, kind, existing)
    if (folder / MARKER).is_file():
        with _locked(folder):
            _refuse_own(folder, kind, existing)


@contextmanager
def hold(folder: Path, kind: Kind, existing: Existing = "refuse") -> Iterator[None]:
    """Within the block, and no longer than this process lives, nobody else writes there.

    An absent folder is made, and removed again where nothing was written into it.
    existing: whether the same kind of work may be there already. refuse: no, but for a run that
    failed before its first checkpoint; replace: yes, and the caller removes it with `remove_own`;
    continue: yes, and it stays.
    Raises ConfigError when the folder holds anything else, or another process writes there.
    """
    check(folder, kind, existing)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder) as descriptor:
        _refuse_others(folder, kind, existing)  # what came since
        _refuse_own(folder, kind, existing)
        sweep(folder, kind)
        os.pwrite(descriptor, _content(kind), 0)
        try:
            yield
        finally:
            _leave(folder, made)


@contextmanager
def hold_new(folder: Path, kind: Kind) -> Iterator[Path]:
    """As `hold`, for a new folder: this one or, where it exists, the first free of folder_2, ….

    Gives its path. Two commands that ask at once get two folders.
    """
    refuse_place(folder.parent, kind)
    for number in itertools.count(1):
        path = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        made = [parent for parent in path.parents if not parent.exists()]
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        try:
            with hold(path, kind):
                yield path
        finally:
            _leave(path, [path, *made])
        return


def remove_own(folder: Path, kind: Kind) -> None:
    """Remove what a command of that kind wrote, and folders that are then empty; no more.

    Of a run, also its folds, seeds and evaluations, where they are marked as such. The marker
    stays. Nothing behind a link is touched.
    Raises ConfigError when one of those is being written.
    """
    for path, own in _inside(folder, kind):
        with _locked(path):
            remove_own(path, own)
            _leave(path, [path, path.parent])
    parents: set[Path] = set()
    for path in [path for pattern in kind.files for path in folder.glob(pattern)]:
        inside = [parent for parent in path.parents if folder in parent.parents]
        is_behind_link = any(parent.is_symlink() for parent in inside)
        if not is_behind_link and (path.is_symlink() or path.is_file()):
            path.unlink()
            parents.update(inside)
    for path in sorted(parents, reverse=True):  # what lies inside before what holds it
        remove_if_empty(path)


def _inside(folder: Path, kind: Kind) -> list[tuple[Path, Kind]]:
    """Folders of ours in a run, by their places and marks; what a file says of them is no proof."""
    if kind is not RUN or not folder.is_dir():
        return []
    parts = [(path, RUN) for path in folder.iterdir() if _PART.fullmatch(path.name)]
    return [
        (path, own)
        for path, own in [*parts, *((path, EVALUATION) for path in folder.glob("eval/*"))]
        if not path.is_symlink() and _read_marker(path).get("holds") == own.name
    ]


def _leave(folder: Path, made: Sequence[Path]) -> None:
    """Take the marker off a folder in which there is nothing else, and `made` where empty."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {MARKER}:
        (folder / MARKER).unlink(missing_ok=True)
        for path in made:
            remove_if_empty(path)


def refuse_place(folder: Path, kind: Kind) -> None:
    """Raise ConfigError where nothing can be made or written, which the end would find."""
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if nearest != folder and not nearest.is_dir():
        raise ConfigError(f"{nearest} is not a folder; name another place with {kind.key}=…")
    if nearest.is_dir() and not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(
            f"nothing may be written in {nearest}; name another folder with {kind.key}=…, or ask "
            "its owner for the right to write there"
        )


def _refuse_others(folder: Path, kind: Kind, existing: Existing) -> None:
    """Refuse a folder without a mark in which something is, and links to somebody else's."""
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; name another with {kind.key}=…")
    for name in ("plots", "eval", "refit", "tensorboard", "cam", "wrong"):
        if (folder / name).is_symlink():
            raise ConfigError(
                f"{folder / name} is a link, and what lies behind it may not be ours; remove the "
                f"link, or name another folder with {kind.key}=…"
            )
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    # a run that was copied without its mark can go on, too
    is_run = {"config.yaml", "status.json"} <= set(names)
    is_ours = _read_marker(folder) or (existing == "continue" and is_run)
    if is_ours or not set(names) - {MARKER}:
        return
    never = "; overwrite=true replaces only what it made" if existing == "replace" else ""
    raise ConfigError(
        f"{folder} is not empty, and carries no mark of braintumor ({first_of(names, 3)}){never}; "
        f"nothing was changed there: name a new or empty folder with {kind.key}=…"
    )


def _refuse_own(folder: Path, kind: Kind, existing: Existing) -> None:
    """Refuse a folder that holds another kind of work, or work that may not be replaced."""
    holds = _read_marker(folder).get("holds") or kind.name
    if holds != kind.name:
        raise ConfigError(
            f"{folder} holds {holds}, and this command makes {kind.name}; name another folder with "
            f"{kind.key}=…"
        )
    state = _state(folder, kind) if existing == "refuse" else None
    if state is None:
        return
    if kind is SWEEP:  # of trainings, of which some have not ended
        has_runs = any(folder.glob("*/status.json"))
        can_go_on = has_runs and not (folder / "comparison.html").is_file()
    else:
        can_go_on = kind is RUN and state != "completed" and (folder / "config.yaml").is_file()
    first = f"go on with it: {resume_command(folder)}, " if can_go_on else ""
    last = "" if kind is SWEEP else ", or replace it with overwrite=true"
    raise ConfigError(
        f"{folder} holds {kind.name} ({state}); {first}name another folder with {kind.key}=…{last}"
    )


def _state(folder: Path, kind: Kind) -> str | None:
    """What is there, for a message; None where there is nothing to lose."""
    if kind is not RUN:
        names = sorted(path.name for path in folder.iterdir() if path.name != MARKER)
        return first_of(names, 3) or None
    try:
        known = RunFolder(folder).read_status()
        state = str(known["status"]) if known else None
    except (CheckpointError, LookupError):
        state = "its status.json is damaged"
    has_weights = any((folder / name).exists() for name in (*STATES, "best.safetensors"))
    if state in (None, "failed") and not has_weights and not any(folder.glob("*/status.json")):
        return None
    return state or "without a status"


def mark(folder: Path, kind: Kind) -> None:
    """Write our mark into a new folder that will take the place of a held one."""
    (folder / MARKER).write_bytes(_content(kind))


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """The marker, open and locked; made where there is none.

    Raises ConfigError when another process has it.
    """
    path = folder / MARKER
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ConfigError(f"{path} is a link or no file, and not of braintumor; remove it")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
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


def _in_use(folder: Path) -> str:
    who = {"process": "?", "host": "?", "since": "?", "command": "?"} | _read_marker(folder)
    then = f" and go on with {resume_command(folder)}" if who.get("holds") == RUN.name else ""
    return (
        f"{folder} is in use: process {who['process']} on {who['host']} has been writing there "
        f"since {who['since']} ({who['command']}); wait until it ends, or end it (kill "
        f"{who['process']}){then}"
    )


def _content(kind: Kind) -> bytes:
    """Of the marker, in one length: it is written over an older one."""
    who = {
        "holds": kind.name,
        "process": os.getpid(),
        "host": socket.gethostname()[:64],
        "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        "command": without_names(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))[:300],
    }
    return json.dumps(who).encode().ljust(_MARKER_BYTES)


def _read_marker(folder: Path) -> dict[str, Any]:
    """What the marker says; empty where there is none, or where its writer had no time for it."""
    try:
        return read_json(folder / MARKER)
    except (OSError, DataError):
        return {}
