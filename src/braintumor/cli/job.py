"""One job of a queue, in a process of its own: a line of JSON on standard input says what to do.

Standard input stays open for as long as the queue lives. Where it closes, the queue has been
killed, and so the job ends at once as an interrupted one: what it has saved is whole, and it can be
resumed.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading

from braintumor.cli.shell import run_job
from braintumor.interrupts import INTERRUPTED, leave, listening
from braintumor.workflows.arguments import Request
from braintumor.workflows.console import log_until_file, print_waiting


def main() -> None:
    """Entry point of the processes that braintumor/jobs/queue.py starts."""
    request = Request.from_json(_read_line())
    threading.Thread(target=_end_with_the_queue, daemon=True).start()
    log_until_file()
    sys.argv = list(request.command)
    name = request.command[0].removeprefix("bt-")
    try:
        run = importlib.import_module(f"braintumor.cli.{name}").run
        with listening():
            code = run_job(name, run, request)
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        print_waiting()
    sys.exit(code)


def _read_line() -> str:
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1 << 16) or b"\n"
    return line.decode()


def _end_with_the_queue() -> None:
    os.read(0, 1)
    leave()
