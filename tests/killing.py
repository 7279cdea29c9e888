"""A process that runs commands and kills them inside their writes; tests/test_kills.py drives it.

It imports once what a command needs and forks for each: a start costs no seconds. A line of JSON
on standard input says what to run (`Order`), a line on standard output the exit code, or -9.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warm import import_all

MODES = ("torn", "before", "after")


@dataclass(frozen=True)
class Order:
    """Run bt-train with these arguments; kill it at its `at`-th rename, or after some seconds.

    mode: torn: half of the new file is on the disk; before: all of it, but not in its place;
    after: in its place, and nothing else has happened since.
    """

    cwd: str
    arguments: list[str]
    cache: str
    at: int | None = None
    mode: str = "torn"
    after_s: float | None = None


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
        if order.after_s is not None:
            time.sleep(order.after_s)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(order: Order) -> None:
    """In the child: run the command, leave with its exit code."""
    code = 1
    try:
        os.chdir(order.cwd)
        os.environ["BT_CACHE"] = order.cache
        log = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["bt-train", *order.arguments]
        sys.stdout, sys.stderr = (open(fd, "w", buffering=1, closefd=False) for fd in (1, 2))  # noqa: SIM115
        sys.addaudithook(Killer(order))
        from braintumor.cli.train import main

        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def as_line(order: Order) -> str:
    return json.dumps(dataclasses.asdict(order)) + "\n"


if __name__ == "__main__":
    serve()
