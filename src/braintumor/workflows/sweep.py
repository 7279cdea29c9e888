"""bt-train, and a sweep of it that was cut off: which of its jobs are left, and to do these."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from braintumor.errors import CheckpointError, ConfigError, device_failure, some
from braintumor.files import read_yaml
from braintumor.privacy import start_of, without_names, words_again
from braintumor.progress import waiting
from braintumor.quoting import key_of
from braintumor.runs.commands import resume_command, sweep_told
from braintumor.runs.folder import RunFolder, open_run
from braintumor.runs.kinds import SWEEP
from braintumor.runs.ownership import hold
from braintumor.workflows.arguments import Request
from braintumor.workflows.compose import compose
from braintumor.workflows.console import log
from braintumor.workflows.outputs import record_failure
from braintumor.workflows.parallel import run_requests, slots_for_parts
from braintumor.workflows.results import Run
from braintumor.workflows.words import quote_paths

_FILE = "multirun.yaml"
_ALLOWED = ("resume", "device", "slots", "privacy.paths")


@dataclass(frozen=True)
class Job:
    """One run of a sweep. words: its settings, as typed."""

    run: RunFolder
    words: tuple[str, ...]

    @property
    def state(self) -> str:
        """completed, failed, interrupted, or not begun; one that was killed counts as cut off."""
        state = self.run.state
        if not self.run.config.is_file():
            return "failed" if state == "failed" else "not begun"
        is_cut = state in (None, "running") or (state == "completed" and not self.run.is_over)
        return "interrupted" if is_cut else str(state)


def holds_sweep(folder: Path) -> bool:
    """Whether a sweep of bt-train wrote there."""
    folder = folder.expanduser()
    return (folder / _FILE).is_file() and not (folder / "config.yaml").is_file()


def list_jobs(folder: Path) -> list[Job]:
    """All jobs of a sweep, in order, as Hydra makes them of the words that were typed.

    Raises CheckpointError where another sweeper than Hydra's own chose them, one after the other.
    """
    return [
        Job(RunFolder(folder / str(n)), words)
        for n, words in enumerate(_words_of_jobs(_typed_words(folder)))
    ]


def check_same(folder: Path, words: list[str]) -> None:
    """The words of a command ask for the sweep that is in the folder.

    Raises ConfigError with what differs, CheckpointError when all of it is complete.
    """
    there, here = _typed_words(folder), [word for word in words if not word.startswith("hydra")]
    both = [
        quote_paths(without_names([word for word in side if key_of(word) not in _ALLOWED]))
        for side in (there, here)
    ]
    if _words_of_jobs(both[0]) != _words_of_jobs(both[1]):
        found = [" ".join(w for w in side if w not in other) for side, other in (both, both[::-1])]
        what = f"{found[0] or 'nothing else'} there, {found[1] or 'nothing else'} here"
        raise ConfigError(
            f"{folder} holds a sweep of other settings ({what if any(found) else 'another order'})"
            f"; go on with that: {resume_command(folder)}, or name another {SWEEP.key}=FOLDER"
        )
    _refuse_complete(folder, list_jobs(folder))


def _refuse_complete(folder: Path, jobs: list[Job]) -> None:
    if all(job.state == "completed" for job in jobs):
        raise CheckpointError(
            f"{folder} is complete ({some(len(jobs), 'job')}), there is nothing to resume; their "
            f"table is {folder / 'comparison.html'}"
        )


def _words_of_jobs(typed: list[str]) -> list[tuple[str, ...]]:
    overrides = OverridesParser.create().parse_overrides(typed)
    batches = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [tuple(words) for batch in batches for words in batch]


def _typed_words(folder: Path) -> list[str]:
    try:
        known = read_yaml(folder / _FILE)["hydra"]
        is_plain = not known["sweeper"]["params"] and known["job"]["config_name"] == "train"
        is_plain &= known["runtime"]["choices"]["hydra/sweeper"] == "basic"
        is_plain &= known["sweep"]["subdir"] == "${hydra.job.num}"
        typed: list[str] = known["overrides"]["task"]
    except (ConfigError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / _FILE} is damaged; {_one_by_one(folder)}") from error
    if not is_plain:
        raise CheckpointError(
            f"{folder} is not a plain sweep over values of bt-train's own settings; "
            f"{_one_by_one(folder)}"
        )
    return quote_paths(words_again(typed, start_of(known["runtime"].get("cwd"), folder)))


def _one_by_one(folder: Path) -> str:
    return f"go on with its jobs one by one, such as {resume_command(folder / '0')}"


def train_or_go_on(request: Request) -> Run:
    """What `train` does; with resume=SWEEP what is left of the sweep, see `go_on`."""
    if resume := request.settings["resume"]:
        if holds_sweep(Path(resume)):
            return Run(go_on(request))
        open_run(resume)
    with waiting("starting"):
        from braintumor.workflows.train import train  # torch, once there is a run to go on with
    return train(request)


def describe_left(folder: Path) -> str:
    """For the end of an interrupted sweep: what is done, what is left, and how to do it."""
    states: dict[str, list[str]] = {}
    for job in list_jobs(folder):
        states.setdefault(job.state, []).append(job.run.path.name)
    listed = ", ".join(f"job {' '.join(n)} {state}" for state, n in sorted(states.items()))
    return f"sweep {folder}: {listed}; go on with: {resume_command(folder)}"


def go_on(request: Request) -> Path:
    """Resume the interrupted jobs, start those not begun, try failed ones again; then compare all.

    A job that fails is recorded and does not end the others. Gives the folder of the sweep.
    Raises CheckpointError when all are complete, TrainingError when some failed.
    """
    folder = Path(request.settings["resume"]).expanduser()
    if foreign := [word for word in request.overrides if key_of(word) not in _ALLOWED]:
        raise ConfigError(
            f"{folder} is a sweep, whose jobs have their settings; leave {' '.join(foreign)} out, "
            "or begin a new sweep with it"
        )
    with hold(folder, SWEEP, "continue"), sweep_told(folder):
        jobs = list_jobs(folder)
        _refuse_complete(folder, jobs)
        left = [job for job in jobs if job.state != "completed"]
        here = [word for word in request.overrides if key_of(word) == "device"]
        slots = slots_for_parts(request.settings)
        try:
            if len(slots) > 1:
                run_requests([_request(job, here) for job in left], folder, slots)
            else:
                for job in left:
                    words = " ".join(job.words)
                    log.info("job %s (%s): %s", job.run.path.name, job.state, words)
                    _run_job(job, here)
        except KeyboardInterrupt:
            log.warning("%s", describe_left(folder))
            raise
    # matplotlib, once the jobs have ended
    from braintumor.workflows.compare import finish_sweep

    finish_sweep(folder)
    return folder


def _run_job(job: Job, here: list[str]) -> None:
    """here: settings of this machine."""
    # torch, once the sweep has been accepted
    from braintumor.workflows.train import train

    try:
        train(_request(job, here))
    except Exception as error:
        record_failure(job.run, error, overrides=list(job.words))
        if device_failure(error):
            raise  # no other job could begin
        log.error("job %s failed: %s", job.run.path.name, error)


def _request(job: Job, here: list[str]) -> Request:
    """What `train` goes on with by itself. here: settings of this machine."""
    asked = compose("train", [*job.words, *here], {})
    settings = asked.settings | {"overwrite": False}  # what the sweep began is not to be replaced
    return dataclasses.replace(asked, settings=settings, sweep_folder=job.run.path)
