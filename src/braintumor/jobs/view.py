"""What a person sees of a queue: a table that stays below the lines, and a line a job."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from braintumor.jobs.slots import Slot
from braintumor.progress import bar
from braintumor.runs.folder import RunFolder, State

log = logging.getLogger("braintumor")

_EVERY_S = 1.0  # files are read for it


class View:
    """On a terminal a line for each slot under a line for all; nothing elsewhere."""

    def __init__(self, jobs: int, slots: int) -> None:
        self._jobs, self._slots = jobs, slots
        self._ended: Counter[State] = Counter()
        self._last = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> None:
        self._lines = [
            self._stack.enter_context(bar("", bar_format="{desc}", position=n))
            for n in range(self._slots + 1)
        ]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.close()

    def show(self, queued: int, running: Sequence[tuple[RunFolder, Slot, float]]) -> None:
        """How it stands now; cheap to call often. running: each with when it was started."""
        if self._lines[0].disable or time.monotonic() < self._last + _EVERY_S:
            return
        self._last = time.monotonic()
        ended, now = self._ended, time.perf_counter()
        cut_off = f", {ended['interrupted']} interrupted" if ended["interrupted"] else ""
        self._lines[0].set_description_str(
            f"{self._jobs} jobs: {queued} queued, {len(running)} running, "
            f"{ended['completed']} done, {ended['failed']} failed{cut_off}"
        )
        rows = [
            (str(slot), f"job {run.path.name}", f"{now - started:.0f} s", progress_of(run))
            for run, slot, started in sorted(running, key=lambda each: each[1].number)
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        shown = [
            f"  {slot:<{widths[0]}}  {job:<{widths[1]}}  {time_s:>{widths[2]}}  "
            f"{reached or 'before its first epoch'}"
            for slot, job, time_s, reached in rows
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
    if parts := run.read_status().get("parts"):
        states = [RunFolder(run.path / part).read_status().get("status") for part in parts]
        return f"{states.count('completed')} of {len(parts)} parts"
    if not (rows := run.read_rows()):
        return ""
    best = next((row for row in reversed(rows) if row["is_best"] == "True"), rows[-1])
    figures = f"val loss {float(best['val_loss']):.3f} f1 {float(best['val_macro_f1']):.3f}"
    return f"epoch {rows[-1]['epoch']}, best {figures} (epoch {best['epoch']})"
