"""A process that ends before the others would leave them waiting: the first one notices it.

torchrun then ends the others with the signal that a user or a batch system sends too. So who gets
it lives on for some seconds, and who was gone before it has ended by itself.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener, wait
from typing import cast

import torch.distributed as dist

from braintumor.errors import BraintumorError, MachineError, first_line
from braintumor.interrupts import ASKING
from braintumor.training.distributed import Team, begin, end

_NOTICE_S = 2.0  # in which the end of another process is known everywhere
_LINGER_S = 5.0  # that the others live on after a signal
_GRACE_S = 10.0  # in which the first one has to come out of a step that waits for who is gone
_GOODBYE = ""


@contextmanager
def joined() -> Iterator[Team]:
    """Within, this process trains with the others that torchrun started.

    Raises MachineError in the first process when another one ends, or cannot be reached.
    """
    team = begin()
    with _watching(team) if team.rank == 0 else _watched(team):
        yield team
    end()  # not after an error: it would wait for who is gone


class Watch:
    """Of the first process: hears whether the others still live.

    at_loss: called with the error when another has ended and the step does not come back; then this
    process ends.
    """

    def __init__(self, connections: dict[Connection, str]) -> None:
        self.at_loss: Callable[[MachineError], None] = lambda _: None
        self._open, self._is_closed = connections, False
        self._error: MachineError | None = None
        self._is_found = threading.Event()
        threading.Thread(target=self._listen, name="watch", daemon=True).start()

    @contextmanager
    def telling(self) -> Iterator[None]:
        """What went wrong because another process had ended is raised as that."""
        try:
            yield
        except (KeyboardInterrupt, RuntimeError) as error:
            if self._is_found.wait(_NOTICE_S):
                raise self._error or AssertionError from error
            if _is_of_network(error):
                reason = first_line(error)
                raise MachineError(f"the processes have lost each other ({reason})") from error
            raise

    def close(self) -> None:
        """From now on the others may end."""
        self._is_closed = True

    def _listen(self) -> None:
        while self._open:
            for connection in cast(list[Connection], wait(list(self._open))):
                who, said = self._open.pop(connection), None
                with suppress(EOFError, OSError):
                    said = connection.recv()
                if said != _GOODBYE and not (self._is_found.is_set() or self._is_closed):
                    why = said or "it was killed, or its machine was lost or out of memory"
                    self._error = MachineError(f"{who} has ended: {why}")
                    self._is_found.set()
                    threading.Thread(target=self._end_if_stuck, daemon=True).start()

    def _end_if_stuck(self) -> None:
        time.sleep(_GRACE_S)
        if self._error and not self._is_closed:
            self.at_loss(self._error)
            print(f"error: {self._error}", file=sys.stderr, flush=True)
            os._exit(self._error.exit_code)


_watch: list[Watch] = []  # of this process, while it is the first of several


def watch() -> Watch | None:
    """Of the first of several processes."""
    return _watch[0] if _watch else None


@contextmanager
def _watching(team: Team) -> Iterator[None]:
    key = secrets.token_bytes(16)
    with Listener(("", 0), authkey=key) as listener, _sigterm_as_interrupt():
        team.tell((listener.address[1], key))
        connections = {}
        for _ in range(1, team.size):
            connection = listener.accept()
            connections[connection] = connection.recv()
        _watch.append(Watch(connections))
        try:
            with _watch[0].telling():
                yield
        finally:
            _watch.pop().close()


@contextmanager
def _watched(team: Team) -> Iterator[None]:
    _live_on_after_signals()
    port, key = team.tell()
    with Client((os.environ["MASTER_ADDR"], port), authkey=key) as first:
        first.send(f"process {team.rank} of {team.size} (from 0), on {socket.gethostname()},")
        said = None
        try:
            yield
            said = _GOODBYE
        except RuntimeError as error:
            if not _is_of_network(error):
                said = f"{type(error).__name__}: {error}"
                raise
            time.sleep(_LINGER_S)  # the first one is to hear of who is gone before
            raise MachineError("another process has ended") from error
        except Exception as error:
            said = str(error) if isinstance(error, BraintumorError) else repr(error)
            raise
        finally:
            if said is not None:
                with suppress(OSError):
                    first.send(said)


def _is_of_network(error: BaseException) -> bool:
    """Whether the other processes could not be reached; gloo has no type of error for it."""
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Also after Ctrl-C, which torchrun follows by SIGTERM: no second wish to end at once."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _live_on_after_signals() -> None:
    """Also where the main thread waits in a library; until then it goes on with its work."""
    heard, written = socket.socketpair()
    written.setblocking(False)
    signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    for number in ASKING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)

    def end_later() -> None:
        number = heard.recv(1)[0]
        time.sleep(_LINGER_S)
        written.close()
        os._exit(128 + number)

    threading.Thread(target=end_later, daemon=True).start()
