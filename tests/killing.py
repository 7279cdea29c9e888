"""A process that runs commands and kills them inside their writes; tests/test_kills.py drives it.

It imports once what a command needs and forks for each: a start costs no seconds. A line of JSON
on standard input says what to run (`Order`), a line on standard output the exit code, or -9.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warm import import_all

MODES = ("torn", "before", "after")


Ask = Callable[["Order"], int]


@dataclass(frozen=True)
class Order:
    """Run a command with these arguments; kill it at its `at`-th rename, or after some seconds.

    signal: what is sent after those seconds.  environment: None takes a variable away.
    file_bytes, memory_bytes: as `ulimit -f` and, beyond what is there already, `ulimit -v`.
    user: without a name and rights.  may_connect: else every try is refused, with a line in
    connects.txt.

    mode: torn: half of the new file is on the disk; before: all of it, but not in its place;
    after: in its place, and nothing else has happened since.
    """

    cwd: str
    arguments: list[str]
    cache: str
    at: int | None = None
    mode: str = "torn"
    after_s: float | None = None
    signal: int = signal.SIGKILL
    command: str = "train"
    environment: dict[str, str | None] = dataclasses.field(default_factory=dict)
    file_bytes: int | None = None
    memory_bytes: int | None = None
    user: int | None = None
    may_connect: bool = True


class Killer:
    """An audit hook: every write of ours ends in a rename, which it counts.

    writes.txt in the folder of the command then has a line for each: where it led to.
    """

    def __init__(self, order: Order) -> None:
        self.order, self.count, self.is_due = order, 0, False
        self.log = os.open("writes.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_due and event != "os.kill":  # which is an event of its own
            os.kill(os.getpid(), signal.SIGKILL)
        if event != "os.rename":
            return
        self.count += 1
        os.write(self.log, os.fsencode(arguments[1]) + b"\n")
        if self.count != self.order.at:
            return
        if self.order.mode == "after":
            self.is_due = True  # this event comes before the rename, the next one after it
            return
        source = Path(os.fsdecode(arguments[0]))
        if self.order.mode == "torn" and source.is_file():
            os.truncate(source, source.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)


def serve() -> None:
    import_all()
    for line in sys.stdin:
        order = Order(**json.loads(line))
        child = os.fork()
        if not child:
            _run(order)
        if order.after_s is not None and _is_alive(child, time.monotonic() + order.after_s):
            os.kill(child, order.signal)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _is_alive(child: int, until: float) -> bool:
    """Whether the child still runs at that time; known as soon as it does not."""
    while time.monotonic() < until:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.01)
    return True


def _run(order: Order) -> None:
    """In the child: run the command, leave with its exit code."""
    code = 1
    try:
        os.chdir(order.cwd)
        for name, value in {"BT_CACHE": order.cache, **order.environment}.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        tempfile.tempdir = None  # which it has read from TMPDIR
        log = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = [f"bt-{order.command}", *order.arguments]
        sys.stdout, sys.stderr = (open(fd, "w", buffering=1, closefd=False) for fd in (1, 2))  # noqa: SIM115
        sys.addaudithook(Killer(order))
        main = importlib.import_module(f"braintumor.cli.{order.command}").main
        _limit(order)
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _limit(order: Order) -> None:
    if order.user is not None:
        _become(order.user)
    if order.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_bytes, order.file_bytes))
    if order.memory_bytes is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + order.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if not order.may_connect:
        sys.addaudithook(_refuse_to_connect)


def _become(user: int) -> None:
    """That user, who may read everything, as Python may lie in root's home, and write his own."""
    libc, keep_capabilities, may_read = ctypes.CDLL(None, use_errno=True), 8, 1 << 2
    libc.prctl(keep_capabilities, 1, 0, 0, 0)
    os.setgroups([])
    os.setuid(user)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    rights = (ctypes.c_uint32 * 6)(may_read, may_read)  # effective, permitted
    if libc.capset(header, rights):
        raise OSError(ctypes.get_errno(), "capset")


def _refuse_to_connect(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        with Path("connects.txt").open("a") as file:
            print(event, arguments[1:], file=file)
        raise ConnectionRefusedError(event)


def as_line(order: Order) -> str:
    return json.dumps(dataclasses.asdict(order)) + "\n"


if __name__ == "__main__":
    serve()
