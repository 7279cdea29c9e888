"""Work in a process of its own, which may take so much memory and time and no more."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from braintumor.errors import BraintumorError

MIB = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """answer: the error's sentence, "accepted", "a bug: …", or "killed by N"."""

    answer: str
    seconds: float
    peak_bytes: int  # beyond what the process had before

    @property
    def is_refused(self) -> bool:
        return self.answer.startswith("refused: ")


def answer_to(work: Callable[[], object]) -> str:
    try:
        work()
    except BraintumorError as error:
        return f"refused: {error}"
    except Exception as error:  # whatever it is, it is none of ours
        return f"a bug: {type(error).__name__}: {error}"
    return "accepted"


def run_limited(
    work: Callable[[], object], most_bytes: int = 400 * MIB, most_s: int = 5
) -> Outcome:
    """What comes of the work where it may take that much more memory, and seconds of the CPU."""
    reading, writing = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        had = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (had + most_bytes,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (most_s, most_s))
        signal.alarm(20 * most_s)  # waiting takes no time of the CPU
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = answer_to(work)
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        os.write(writing, f"{peak} {answer}".encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read().decode()
    _, status = os.waitpid(child, 0)
    peak, _, answer = said.partition(" ")
    if os.WIFSIGNALED(status):
        answer = f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return Outcome(answer, time.perf_counter() - began, int(peak or 0))
