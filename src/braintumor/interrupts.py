"""Signals that ask this process to end: its work is saved first, and a second one ends it at once.

SIGINT and SIGTERM are Ctrl-C and a batch system's; SIGUSR1, SIGHUP and SIGXCPU are its warning, a
terminal that was closed, and a limit on computing time. All end the work as KeyboardInterrupt.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

INTERRUPTED = 130  # the exit code

_URGENT = (signal.SIGINT, signal.SIGTERM)
ASKING = (*_URGENT, signal.SIGUSR1, signal.SIGHUP, signal.SIGXCPU)
# those by which a batch system may have its own handler called, such as submitit's, which puts the
# job back into its queue and ends the process
_OTHERS = (signal.SIGUSR1, signal.SIGUSR2)
_SAME_S = 0.2  # `timeout` sends its signal to the process and to its group
_AGAIN_S = 0.05  # the destructor that dropped an exception has returned by then


class ToldInterrupt(KeyboardInterrupt):
    """One after which the user has been told how to go on."""


class _Request:
    """Whether and when this process was asked to end. is_due: that has not been raised yet.

    number: of the signal.  deferred: how many blocks are open in which it waits.
    again: sends it once more, where what it raised was dropped.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        self.number, self.is_due, self.deferred = 0, False, 0
        self.before_leaving: list[Callable[[], None]] = []
        self.again: threading.Timer | None = None


_request = _Request()


@contextmanager
def listening() -> Iterator[None]:
    """Within, those signals raise KeyboardInterrupt, or wait for the end of a step (`deferred`).

    Where a signal is ignored, as under nohup, it stays so. Where a batch system listens for its
    warning, its handler is called once the work of the block is saved.
    """
    replaced: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in {*ASKING, *_OTHERS}:
            before = signal.getsignal(number)
            is_free = before in (signal.SIG_DFL, signal.default_int_handler) and number in ASKING
            is_theirs = number in _OTHERS and callable(before) and before is not _note
            if is_free or is_theirs:
                replaced[number] = signal.signal(number, _note)
    dropped_before, sys.unraisablehook = sys.unraisablehook, _raise_again
    try:
        yield
    finally:
        sys.unraisablehook = dropped_before
        if _request.again:
            _request.again.cancel()
            _request.again = None
        for changed, before in replaced.items():
            signal.signal(changed, before)
        if replaced:
            asked, is_asked = _request.number, _request.since is not None
            _request.since, _request.is_due = None, False
            if is_asked and asked in _OTHERS and callable(theirs := replaced.get(asked)):
                theirs(asked, None)


@contextmanager
def deferred() -> Iterator[None]:
    """Within, a signal waits for `check` or for the end of the block."""
    _request.deferred += 1
    try:
        yield
    finally:
        _request.deferred -= 1
    check()


def is_asked() -> bool:
    """Whether a signal has asked this process to end, within `listening`."""
    return _request.since is not None


def check() -> None:
    """Raise the KeyboardInterrupt of a signal that waits; between two steps, where all is whole."""
    if _request.is_due:
        _request.is_due = False
        raise KeyboardInterrupt


@contextmanager
def before_leaving(work: Callable[[], None]) -> Iterator[None]:
    """Within, a second signal does `work` before it ends the process; it has to be short."""
    _request.before_leaving.append(work)
    try:
        yield
    finally:
        _request.before_leaving.remove(work)


def _note(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if number == signal.SIGHUP:
        _close_terminal()
    if _request.again:
        _request.again = None
        if not _request.deferred:
            check()
    elif _request.since is None:
        _request.since, _request.number, _request.is_due = now, number, True
        if not _request.deferred:
            check()
        tell("\nsaving what is done; once more ends it now")
    elif number in _URGENT and now - _request.since > _SAME_S:
        leave()


def _raise_again(dropped: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in a destructor or a weakref's callback, and goes on."""
    if not isinstance(dropped.exc_value, KeyboardInterrupt) or not is_asked():
        sys.__unraisablehook__(dropped)
    else:
        _request.is_due = True
        _request.again = threading.Timer(_AGAIN_S, signal.raise_signal, [_request.number])
        _request.again.daemon = True
        _request.again.start()


def leave() -> None:
    """End the process as it stands: files are whole or not there, whoever is writing them.

    What `before_leaving` asked for is done, from any thread.
    """
    for work in _request.before_leaving:
        with suppress(Exception):
            work()
    os._exit(INTERRUPTED)


def tell(text: str) -> None:
    """Print a line within a signal's handler, where print, which is not reentrant, may not."""
    os.write(2, f"{text}\n".encode("utf-8", "backslashreplace"))


def _close_terminal() -> None:
    """What is printed on a terminal that is no more would fail; train.log has it all the same."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        # the system no longer calls it a terminal (isatty)
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(null, descriptor)
    os.close(null)
