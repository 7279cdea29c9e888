"""A queue: every job a process of its own, on the first slot that is free.

A job that fails or is killed ends nothing but itself. Whatever ends the queue ends its jobs, which
can then be resumed: on Ctrl-C or SIGTERM they are told, and where the queue itself is killed they
notice that their standard input has closed (cli/job.py).
"""

from __future__ import annotations

import csv
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from braintumor.files import read_table, write_rows
from braintumor.interrupts import listening
from braintumor.jobs.ends import known_status, record_end
from braintumor.jobs.slots import Slot
from braintumor.jobs.view import View
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import JOBS

log = logging.getLogger("braintumor")

_POLL_S = 0.05
_GRACE_S = 30.0  # for a job to write that it was interrupted
# what does a job; it reads the order from its standard input
_CHILD = (sys.executable, "-P", "-c", "from braintumor.cli.job import main; main()")


@dataclass(frozen=True)
class Job:
    """One run to be done. words: what tells it from the others.  order: for cli/job.py."""

    run: RunFolder
    words: str
    order: str

    @property
    def name(self) -> str:
        return self.run.path.name


@dataclass
class _Attempt:
    """A row of jobs.csv. ended is empty while it runs, and for good where the queue was killed."""

    job: str
    slot: int
    gpu: str
    process: int
    started: str
    ended: str = ""
    result: str = ""


@dataclass
class _Running:
    job: Job
    slot: Slot
    process: subprocess.Popen[bytes]
    stdin: int
    output: IO[bytes]
    attempt: _Attempt
    started: float
    before: Mapping[str, Any]  # its status then


class Queue:
    """Jobs on slots; folder: of all of them, where jobs.csv says what ran where and when."""

    def __init__(self, jobs: Sequence[Job], slots: Sequence[Slot], folder: Path) -> None:
        self._waiting, self._free = deque(jobs), deque(slots)
        self._running: list[_Running] = []
        self._table = folder / JOBS
        self._attempts = _read_attempts(self._table)
        self._view = View(len(jobs), len(slots))

    def run(self) -> None:
        """Until all have ended. Raises KeyboardInterrupt once all have been ended, on Ctrl-C."""
        with ExitStack() as stack:
            stack.enter_context(listening())
            stack.enter_context(self._view)
            stack.callback(self._end_all)
            while self._waiting or self._running:
                while self._waiting and self._free:
                    self._start(self._waiting.popleft(), self._free.popleft())
                time.sleep(_POLL_S)
                for each in [r for r in self._running if r.process.poll() is not None]:
                    self._collect(each)
                running = [(r.job.run, r.slot, r.started, r.job.words) for r in self._running]
                self._view.show(len(self._waiting), running)

    def _start(self, job: Job, slot: Slot) -> None:
        before, _ = known_status(job.run)
        output = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the job has ended)
        order, stdin = os.pipe()
        process = subprocess.Popen(  # noqa: S603
            _CHILD, env=slot.environment(), stdin=order, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,  # Ctrl-C reaches it through us alone
        )  # fmt: skip
        os.close(order)
        attempt = _Attempt(job.name, slot.number, slot.gpu or "", process.pid, _now())
        self._attempts.append(attempt)
        self._running.append(
            _Running(job, slot, process, stdin, output, attempt, time.perf_counter(), before)
        )
        self._write()
        log.info("job %s on %s%s", job.name, slot, f": {job.words}" if job.words else "")
        try:  # and stays open: its end would mean that we are no more
            content = job.order.encode() + b"\n"
            while content:
                content = content[os.write(stdin, content) :]
        except BrokenPipeError:
            log.debug("job %s ended before it had read what to do", job.name)

    def _collect(self, ended: _Running, *, is_interrupt: bool = False) -> None:
        """Record how a job ended, and free its slot."""
        self._running.remove(ended)
        self._free.append(ended.slot)
        os.close(ended.stdin)
        state, why = record_end(
            ended.job.run, ended.output, ended.before, ended.process.returncode,
            is_interrupt=is_interrupt,
        )  # fmt: skip
        ended.attempt.ended = _now()
        ended.attempt.result = state
        self._write()
        self._view.tell(ended.job.run, state, why, time.perf_counter() - ended.started)

    def _end_all(self) -> None:
        """Tell what still runs to stop; kill what does not."""
        for each in self._running:
            each.process.terminate()  # and not SIGINT, which children of a shell's `&` ignore
        until = time.monotonic() + _GRACE_S
        for each in list(self._running):
            try:
                each.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.process.wait()
            self._collect(each, is_interrupt=True)

    def _write(self) -> None:
        write_rows(self._table, [asdict(attempt) for attempt in self._attempts])


def _now() -> str:
    return f"{datetime.now():%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _read_attempts(table: Path) -> list[_Attempt]:
    """Of queues before this one; what is damaged tells nothing that a job would need."""
    if not table.is_file():
        return []
    try:
        rows = csv.DictReader(read_table(table).getvalue().decode().splitlines())
        return [_Attempt(**row) for row in rows]  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        log.warning("%s is damaged (%s), and begun anew", table, error)
        return []
