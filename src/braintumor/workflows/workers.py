"""The workers of a search on this computer, a process each with a share of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from braintumor.jobs.slots import Slot
from braintumor.workflows.console import log
from braintumor.workflows.search import Search, as_argument

_END_S = 60  # for a worker to put its trial back


@contextmanager
def start_workers(search: Search, slots: Sequence[Slot]) -> Iterator[list[subprocess.Popen[str]]]:
    """A process on each slot that does trials, whose lines are ours; they end with us, however
    we end.
    """
    command = [sys.executable, "-m", "braintumor.workflows.trials"]
    processes: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []
    try:
        for slot in slots:
            process = subprocess.Popen(  # noqa: S603 (ourselves)
                [*command, as_argument(search, slot.number)],
                env=slot.environment(),
                stdin=subprocess.PIPE,  # which ends with us, where we are killed
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C comes to us alone, who pass it on
            )
            processes.append(process)
            readers.append(threading.Thread(target=_pass_on, args=(process,)))
            readers[-1].start()
        yield processes
    finally:
        for process in processes:
            process.terminate()  # at once where it has not yet begun, else once its trial is back
        for process in processes:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdin.close()  # type: ignore[union-attr]
        for reader in readers:
            reader.join()


def _pass_on(process: subprocess.Popen[str]) -> None:
    for line in process.stdout:  # type: ignore[union-attr]
        log.info("%s", line.rstrip())
