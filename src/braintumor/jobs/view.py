"""What a person sees of a queue: a table that stays below the lines, and a line a job."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from braintumor.jobs.slots import Slot
from braintumor.progress import bar
from braintumor.runs.folder import RunFolder

log = logging.getLogger("braintumor")

_EVERY_S = 1.0  # files are read for it


class View:
    """On a terminal a line for each slot under a line for all; nothing elsewhere."""

    def __init__(self, jobs: int, slots: int) -> None:
        self._jobs, self._slots = jobs, slots
        self._ended: dict[str, int] = {"completed": 0, "failed": 0, "interrupted": 0}
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

    def show(self, queued: int, running: Sequence[tuple[RunFolder, Slot]]) -> None:
        """How it stands now; cheap to call often."""
        if self._lines[0].disable or time.monotonic() < self._last + _EVERY_S:
            return
        self._last = time.monotonic()
        ended = self._ended
        self._lines[0].set_description_str(
            f"{self._jobs} jobs: {queued} queued, {len(running)} running, "
            f"{ended['completed']} done, {ended['failed']} failed"
        )
        shown = [f"  {slot}: job {run.path.name}, {progress_of(run)}" for run, slot in running]
        shown += [""] * (self._slots - len(shown))
        for line, text in zip(self._lines[1:], shown, strict=True):
            line.set_description_str(text)

    def tell(self, name: str, run: RunFolder, seconds: float) -> None:
        """The line of a job that has ended."""
        status = run.read_status()
        state = status.get("status", "failed")
        self._ended[state] = self._ended.get(state, 0) + 1
        if state == "completed":
            log.info("job %s done in %.0f s: %s", name, seconds, progress_of(run))
        elif state == "failed":
            log.error("job %s failed: %s; see %s", name, status.get("why"), run.log)
        else:
            log.warning("job %s %s: %s", name, state, progress_of(run))


def progress_of(run: RunFolder) -> str:
    """The epoch that a run has reached, and its best so far; of several parts how many are done."""
    if parts := run.read_status().get("parts"):
        states = [RunFolder(run.path / part).read_status().get("status") for part in parts]
        return f"{states.count('completed')} of {len(parts)} parts"
    rows = run.read_rows()
    if not rows:
        return "before its first epoch"
    best = next((row for row in reversed(rows) if row["is_best"] == "True"), rows[-1])
    figures = f"val loss {float(best['val_loss']):.3f} f1 {float(best['val_macro_f1']):.3f}"
    return f"epoch {rows[-1]['epoch']}, best {figures} (epoch {best['epoch']})"
