"""The folder that a command writes into: named by the user, by a sweep, or by the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from braintumor.runs.folder import Kind
from braintumor.runs.ownership import Existing, check, hold, hold_new
from braintumor.workflows.arguments import Request


def check_output(request: Request, kind: Kind) -> None:
    """Refuse a named folder that holds something else, before the work begins.

    Raises ConfigError.
    """
    folder = named_folder(request)
    if folder is not None:
        check(folder, kind, existing(request))


@contextmanager
def held_output(request: Request, kind: Kind, default: Path) -> Iterator[Path]:
    """The folder to write into, for this command alone; see `ownership.hold`.

    default: where the user names none. It is never used twice: the next is default_2.
    Raises ConfigError when the named one holds something else, or work of the kind that
    overwrite=true does not allow to replace.
    """
    folder = named_folder(request)
    if folder is None:
        with hold_new(default, kind) as folder:
            yield folder
    else:
        with hold(folder, kind, existing(request)):
            yield folder


def named_folder(request: Request) -> Path | None:
    """The folder that run_dir= names, or the job's of a sweep."""
    named = request.settings["run_dir"]
    folder = Path(named).expanduser() if named else request.sweep_folder
    # a link is followed once and for all, or replacing the folder would replace the link
    return folder.resolve() if folder is not None and folder.is_symlink() else folder


def existing(request: Request) -> Existing:
    """What overwrite= allows."""
    return "replace" if request.settings["overwrite"] else "refuse"


def of_now(parent: str) -> Path:
    """parent/<date>_<time>."""
    return Path(parent) / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
