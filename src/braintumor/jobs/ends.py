"""How a job ended: as it said itself, or as its exit code tells where it could say no more."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from typing import IO, Any

from braintumor.errors import BraintumorError, CheckpointError
from braintumor.interrupts import INTERRUPTED
from braintumor.privacy import without_names
from braintumor.runs.folder import RunFolder, State
from braintumor.runs.kinds import RUN
from braintumor.runs.ownership import hold

log = logging.getLogger("braintumor")

# of the job itself
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}
_LONGEST_LINE = 300


def record_end(
    run: RunFolder, output: IO[bytes], before: Mapping[str, Any], code: int, *, is_interrupt: bool
) -> tuple[State, str]:
    """What became of a job, and why; in its status.json, and what it printed in its train.log.

    output: what it printed.  before: its status when it was started.  code: of its process; below
    0 for a signal.  is_interrupt: it was told to stop.
    Nothing is written where the folder is somebody else's.
    """
    output.seek(0)
    printed = output.read()
    output.close()
    status, damage = known_status(run)
    is_told = status != before and status.get("status") not in (None, "running")
    state: State = status["status"] if is_told else _state_of(code, is_interrupt=is_interrupt)
    if state == "completed" and not is_told and (damage or status.get("status") == "running"):
        state = "failed"  # it never came to its end
    why = str(status.get("why") or "") if is_told else damage or _describe(code)
    is_written = not is_told and state != "completed"
    if not (printed or is_written):
        return state, why
    try:
        with hold(run.path, RUN, "continue"):
            with run.log.open("a", encoding="utf-8") as file:
                file.write(str(without_names(printed.decode("utf-8", "backslashreplace"))))
            if is_written:
                why += _last_line(run)
                run.set_status(state, why=why)
    except (BraintumorError, OSError) as reason:  # the disk may be full
        log.warning("%s", reason)
    return state, why


def known_status(run: RunFolder) -> tuple[dict[str, Any], str]:
    """Its status.json, or an empty one and what is wrong with it: the others go on."""
    try:
        return run.read_status(), ""
    except CheckpointError as error:
        return {}, str(error)


def _state_of(code: int, *, is_interrupt: bool) -> State:
    if code and (is_interrupt or code == INTERRUPTED or (code < 0 and -code not in _FAULTS)):
        return "interrupted"
    return "failed" if code else "completed"


def _last_line(run: RunFolder) -> str:
    lines = run.log.read_bytes()[-1 << 16 :].decode("utf-8", "replace").split("\n")
    line = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"; the last line of its log: {line[:_LONGEST_LINE]}" if line else ""


def _describe(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code} and did not say why"
    name = signal.Signals(-code).name
    why = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{why}"
