"""Several runs at a time on the slots of this machine: jobs of a sweep, or folds and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from braintumor.errors import BraintumorError, some
from braintumor.jobs.queue import Job, Queue
from braintumor.jobs.slots import Slot, make_slots
from braintumor.runs.folder import RunFolder
from braintumor.workflows.arguments import Request, Settings
from braintumor.workflows.console import log
from braintumor.workflows.data import read_data, size_of

_OF_ALL = ("resume=", "run_dir=", "overwrite=", "slots=", "device=")


def run_requests(
    requests: Sequence[Request], folder: Path, slots: Sequence[Slot], *, is_read: bool = False
) -> None:
    """Do what the requests ask, each in a process of its own; how each ended is in its folder.

    folder: of all of them, for jobs.csv.  is_read: their data are in the cache already.
    Raises KeyboardInterrupt when all have been ended.
    """
    left = [request for request in requests if not _is_over(request)]
    if done := len(requests) - len(left):
        log.info("%d of %s are complete", done, some(len(requests), "job"))
    if not left:
        return
    common = set(left[0].overrides).intersection(*(request.overrides for request in left))
    jobs = []
    for request in left:
        words = [w for w in request.overrides if w not in common and not w.startswith(_OF_ALL)]
        jobs.append(Job(RunFolder(request.folder), " ".join(words), request.to_json()))
    if not is_read:
        _read_first(left)
    gpus = [slot.gpu for slot in slots if slot.gpu is not None]
    where = f"GPU {', '.join(dict.fromkeys(gpus))}" if gpus else "the CPU"
    threads = min(slot.threads for slot in slots)
    log.info("%d at a time on %s, %s each", len(slots), where, some(threads, "thread"))
    Queue(jobs, slots, folder).run()


def slots_for_parts(settings: Settings) -> list[Slot]:
    """Where folds and seeds run: as many as `slots` says, on whatever GPUs there are.

    Raises ConfigError, see `make_slots`.
    """
    wanted, device = settings.get("slots"), settings["device"]
    if wanted is None and device not in ("auto", "cuda"):
        wanted = 1
    return make_slots(wanted, None, device=device)


def _is_over(request: Request) -> bool:
    is_job = request.sweep_folder is not None and "resume" in request.settings
    return is_job and RunFolder(request.folder).is_over


def _read_first(requests: Sequence[Request]) -> None:
    """Decode and audit each data set once, into the cache, before jobs race to do it."""
    seen = set()
    for request in requests:
        settings = request.settings
        if "model" not in settings:
            return  # no training
        size = size_of(settings)
        key = repr((size, sorted(settings["data"].items(), key=repr)))
        if key in seen:
            continue
        seen.add(key)
        try:
            read_data(settings, size, request.choices.get("data", "data"))
        except (BraintumorError, OSError) as error:
            log.debug("each job that needs it will say so: %s", error)
