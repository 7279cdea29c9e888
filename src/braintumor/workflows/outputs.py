"""The folder that a command writes into, by user, sweep or time; and how a run in it ended."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from braintumor.errors import BraintumorError, ConfigError, DiskError, MachineError
from braintumor.files import write_atomic
from braintumor.interrupts import ToldInterrupt, before_leaving, deferred, listening, tell
from braintumor.runs.commands import how_to_go_on
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import RUN, TUNING, Kind
from braintumor.runs.ownership import Existing, check, hold, hold_new, refuse_place
from braintumor.workflows.arguments import Request
from braintumor.workflows.console import log, log_to_file


def check_output(request: Request, kind: Kind, default: str | Path) -> None:
    """Raises the ConfigError that `held_output` would, before the work begins.

    default: where folders are made that the user does not name.
    """
    if (folder := named_folder(request)) is not None:
        check(folder, kind, _existing(request))
    else:
        refuse_place(Path(default), kind)


@contextmanager
def held_output(request: Request, kind: Kind, default: Path) -> Iterator[Path]:
    """The folder to write into, for this command alone; see `ownership.hold`.

    default: where the user names none. It is never used twice: the next is default_2.
    Raises ConfigError when the named one holds something else, or work of the kind that
    overwrite=true does not allow to replace.
    """
    if (folder := named_folder(request)) is None:
        with hold_new(default, kind) as folder:
            yield folder
    else:
        with hold(folder, kind, _existing(request)):
            try:
                yield folder
            except KeyboardInterrupt as error:
                if kind not in (RUN, TUNING) and len(list(folder.iterdir())) > 1:  # the mark
                    error.add_note("overwrite=true")  # what the command needs to be given again
                raise


def named_folder(request: Request) -> Path | None:
    """The folder that run_dir= names, or the job's of a sweep."""
    named = request.settings["run_dir"]
    folder = Path(named).expanduser() if named else request.sweep_folder
    # a link is followed once and for all, or replacing the folder would replace the link
    return folder.resolve() if folder is not None and folder.is_symlink() else folder


def _existing(request: Request) -> Existing:
    return "replace" if request.settings["overwrite"] else "refuse"


def of_now(parent: str) -> Path:
    """parent/<date>_<time>."""
    return Path(parent) / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"


@contextmanager
def recorded(run: RunFolder, started: float) -> Iterator[None]:
    """status.json tells how it ended, whatever happens inside."""
    handler = log_to_file(run.log)
    log.info("run folder: %s", run.path)

    def leaving() -> None:
        run.set_status("interrupted")
        if how := how_to_go_on(run):
            tell(f"interrupted{how}")

    try:
        with listening(), before_leaving(leaving):
            run.set_status("running")
            yield
    # the second is how submitit ends it to begin it again
    except (KeyboardInterrupt, SystemExit) as error:
        _tell_interrupted(run)
        if isinstance(error, KeyboardInterrupt):
            raise ToldInterrupt from error
        raise
    except BaseException as error:
        with suppress(MachineError, OSError):  # the disk may be what failed
            tell_failure(run, error)
        if isinstance(error, DiskError):  # which resume= outlives, where it can
            raise DiskError(f"{error}{how_to_go_on(run)}") from error
        raise
    else:
        with told(run), deferred():
            run.set_status("completed", seconds=round(time.perf_counter() - started, 1))
    finally:
        log.removeHandler(handler)
        handler.close()


@contextmanager
def told(run: RunFolder) -> Iterator[None]:
    """After an interrupt within, before the work was `recorded` or once that has ended, too."""
    try:
        yield
    except KeyboardInterrupt as error:
        if isinstance(error, ToldInterrupt) or not run.status.is_file():
            raise
        if run.is_complete:
            log.warning("interrupted, but %s is complete", run.path)
        else:
            _tell_interrupted(run)
        raise ToldInterrupt from error


def _tell_interrupted(run: RunFolder) -> None:
    run.set_status("interrupted")
    if run not in RunFolder(run.path.parent).parts:  # which is told for all of them
        log.warning("interrupted%s", how_to_go_on(run))


def record_failure(run: RunFolder, error: Exception, **facts: Any) -> None:
    """status.json of a run that failed before it began; nothing where the folder is not its own.

    One that failed later has told it by itself.
    """
    try:
        # the disk may be what failed
        with suppress(MachineError, OSError), hold(run.path, RUN):
            tell_failure(run, error, **facts)
    except ConfigError as reason:
        log.debug("not recorded: %s", reason)


def tell_failure(run: RunFolder, error: BaseException, **facts: Any) -> None:
    """Why in status.json and, of a bug of ours, where in traceback.txt."""
    run.set_status("failed", why=f"{type(error).__name__}: {error}", **facts)
    if not isinstance(error, BraintumorError):
        write_atomic(run.path / "traceback.txt", "".join(traceback.format_exception(error)))
