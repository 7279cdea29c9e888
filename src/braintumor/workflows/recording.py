"""How a run ended, in status.json and train.log."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from braintumor.errors import BraintumorError, ConfigError
from braintumor.files import write_atomic
from braintumor.runs.folder import RUN, RunFolder
from braintumor.runs.ownership import hold
from braintumor.workflows.console import log, log_to_file


@contextmanager
def recorded(run: RunFolder, started: float) -> Iterator[None]:
    """status.json tells how it ended, whatever happens inside."""
    handler = log_to_file(run.log)
    # a batch system ends jobs with SIGTERM; treated as Ctrl-C, the run can be resumed
    is_main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
    log.info("run folder: %s", run.path)
    try:
        run.set_status("running")
        yield
    except KeyboardInterrupt:
        run.set_status("interrupted")
        log.warning("interrupted; go on with: bt-train resume=%s", run.path)
        raise
    except BaseException as error:
        _tell_failure(run, error)
        raise
    else:
        run.set_status("completed", seconds=round(time.perf_counter() - started, 1))
    finally:
        if previous is not None:  # SIG_DFL is 0
            signal.signal(signal.SIGTERM, previous)
        log.removeHandler(handler)
        handler.close()


def record_failure(run: RunFolder, error: Exception, **facts: Any) -> None:
    """status.json of a run that failed before it began; nothing where the folder is not its own.

    One that failed later has told it by itself.
    """
    try:
        with hold(run.path, RUN):
            _tell_failure(run, error, **facts)
    except ConfigError as reason:
        log.debug("not recorded: %s", reason)


def _tell_failure(run: RunFolder, error: BaseException, **facts: Any) -> None:
    """Why in status.json and, of a bug of ours, where in traceback.txt."""
    run.set_status("failed", why=f"{type(error).__name__}: {error}", **facts)
    if not isinstance(error, BraintumorError):
        write_atomic(run.path / "traceback.txt", "".join(traceback.format_exception(error)))
