"""Several runs at a time on the slots of this machine: jobs of a sweep, or folds and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from braintumor.errors import BraintumorError, ConfigError
from braintumor.jobs.queue import Job, Queue
from braintumor.jobs.slots import Slot, find_gpus, make_slots
from braintumor.runs.folder import RunFolder
from braintumor.workflows.arguments import Request, Settings
from braintumor.workflows.console import log
from braintumor.workflows.data import read_data

_OF_ALL = ("resume=", "run_dir=", "overwrite=", "slots=", "device=")


def run_requests(
    requests: Sequence[Request], folder: Path, slots: int | None, slots_per_gpu: int = 1
) -> None:
    """Do what the requests ask, each in a process of its own; how each ended is in its folder.

    folder: of all of them, for jobs.csv.  slots, slots_per_gpu: see `make_slots`.
    Raises ConfigError before any has begun, KeyboardInterrupt when all have been ended.
    """
    device = requests[0].settings.get("device", "auto")
    places = make_slots(slots, slots_per_gpu, device=device)
    left = [request for request in requests if not _is_complete(request)]
    if len(left) < len(requests):
        log.info("%d of %d jobs are complete", len(requests) - len(left), len(requests))
    if not left:
        return
    common = set(left[0].overrides).intersection(*(request.overrides for request in left))
    jobs = [_job(request, common) for request in left]
    _read_first(left)
    _describe(places)
    Queue(jobs, places, folder).run()


def slots_for_parts(settings: Settings) -> int:
    """How many folds or seeds are to run at a time."""
    if (wanted := settings.get("slots")) is not None:
        return int(wanted)
    return max(1, len(find_gpus())) if settings["device"] in ("auto", "cuda") else 1


def _is_complete(request: Request) -> bool:
    is_job = request.sweep_folder is not None and "resume" in request.settings
    return is_job and RunFolder(_folder(request)).read_status().get("status") == "completed"


def _job(request: Request, common: set[str]) -> Job:
    words = [w for w in request.overrides if w not in common and not w.startswith(_OF_ALL)]
    return Job(RunFolder(_folder(request)), " ".join(words), request.to_json())


def _folder(request: Request) -> Path:
    if request.folder is None:
        raise ConfigError("a job needs a folder of its own; give run_dir=FOLDER")
    return request.folder


def _read_first(requests: Sequence[Request]) -> None:
    """Decode and audit each data set once, into the cache, before jobs race to do it."""
    seen = set()
    for request in requests:
        settings = request.settings
        if "model" not in settings:
            return  # no training
        own = settings["data"].get("image_size")
        size = settings["model"]["backbone"]["image_size"] if own is None else own
        key = repr((size, sorted(settings["data"].items(), key=repr)))
        if key in seen:
            continue
        seen.add(key)
        try:
            read_data(settings, size, request.choices.get("data", "data"))
        except (BraintumorError, OSError) as error:
            log.debug("each job that needs it will say so: %s", error)


def _describe(slots: Sequence[Slot]) -> None:
    gpus = [slot.gpu for slot in slots if slot.gpu is not None]
    where = f"GPU {', '.join(dict.fromkeys(gpus))}" if gpus else "the CPU"
    log.info(
        "%d at a time on %s, %d threads each", len(slots), where, min(s.threads for s in slots)
    )
