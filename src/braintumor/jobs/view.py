"""What a person sees of a queue: a table that stays below the lines, and a line a job."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from braintumor.errors import CheckpointError
from braintumor.jobs.slots import Slot
from braintumor.progress import bar
from braintumor.runs.folder import RunFolder, State
from braintumor.runs.history import read_rows

log = logging.getLogger("braintumor")

_EVERY_S = 1.0  # files are read for it


class View(ExitStack):
    """On a terminal a line for each slot under a line for all; nothing elsewhere."""

    def __init__(self, jobs: int, slots: int) -> None:
        super().__init__()
        self._jobs, self._slots = jobs, slots
        self._ended: Counter[State] = Counter()
        self._last = 0.0

    def __enter__(self) -> Self:
        # without a delay, since tqdm leaves on the screen what it closes before that is over
        self._lines = [
            self.enter_context(bar("", bar_format="{desc}", position=n, delay=0))
            for n in range(self._slots + 1)
        ]
        return self

    def show(self, queued: int, running: Sequence[tuple[RunFolder, Slot, float, str]]) -> None:
        """How it stands now; cheap to call often.

        running: each with when it was started, and the words that tell it from the others.
        What a narrow terminal cuts off stands last.
        """
        if self._lines[0].disable or time.monotonic() < self._last + _EVERY_S:
            return
        self._last = time.monotonic()
        ended, now = self._ended, time.perf_counter()
        counts = {
            "failed": ended["failed"], "interrupted": ended["interrupted"],
            "running": len(running), "queued": queued,
        }  # fmt: skip
        listed = "".join(f", {count} {state}" for state, count in counts.items() if count)
        self._lines[0].set_description_str(f"{ended['completed']} of {self._jobs} done{listed}")
        rows = [
            (str(slot), f"job {run.path.name}", progress_of(run) or "before its first epoch",
             f"{now - started:.0f} s", words)
            for run, slot, started, words in sorted(running, key=lambda each: each[1].number)
        ]  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        shown = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        shown += [""] * (self._slots - len(shown))
        for line, text in zip(self._lines[1:], shown, strict=True):
            line.set_description_str(text)

    def tell(self, run: RunFolder, state: State, why: str, seconds: float) -> None:
        """The line of a job that has ended."""
        self._ended[state] += 1
        name, reached = run.path.name, progress_of(run)
        if state == "completed":
            log.info("job %s done in %.0f s%s", name, seconds, f": {reached}" if reached else "")
        elif state == "failed":
            log.error("job %s failed: %s; see %s", name, why, run.log)
        else:
            said = "; ".join(filter(None, [reached, why]))
            log.warning("job %s interrupted%s", name, f": {said}" if said else "")


def progress_of(run: RunFolder) -> str:
    """The epoch that a run has reached, and its best so far; empty before the first.

    Of several parts how many are done.
    """
    try:
        if parts := run.parts:
            return f"{sum(part.is_complete for part in parts)} of {len(parts)} parts"
        rows = read_rows(run.history)
    except CheckpointError:  # a job says by itself what it cannot read, and the others go on
        return "its files are damaged"
    if not rows:
        return ""
    best = next((row for row in reversed(rows) if row["is_best"] == "True"), rows[-1])
    figures = f"f1 {float(best['val_macro_f1']):.3f} val loss {float(best['val_loss']):.3f}"
    return f"epoch {rows[-1]['epoch']}, best {figures} (epoch {best['epoch']})"
