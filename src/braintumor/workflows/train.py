"""bt-train: one run or, of several folds and seeds, an ordinary run each in one folder."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from braintumor import limits
from braintumor.config import checked
from braintumor.errors import CheckpointError, ConfigError, DiskError, some
from braintumor.ranges import Folds
from braintumor.runs.folder import RunFolder, open_run, read_config
from braintumor.runs.kinds import RUN, STATES
from braintumor.runs.ownership import hold
from braintumor.runtime import world_size
from braintumor.training.watch import joined
from braintumor.workflows.arguments import Request, Settings
from braintumor.workflows.console import log
from braintumor.workflows.one_run import new_run, train_one
from braintumor.workflows.outputs import check_output, record_failure, recorded
from braintumor.workflows.parallel import run_requests, slots_for_parts
from braintumor.workflows.results import Run
from braintumor.workflows.resume import downloads, left_of_job, take_over
from braintumor.workflows.setup import Experiment, check_input, setup
from braintumor.workflows.together import check_together, follow


@dataclass(frozen=True)
class Trial:
    """One of several runs. name: fold_0, seed_1 or seed_1_fold_0; fold: None without folds."""

    name: str
    seed: int
    fold: int | None

    def run_in(self, parent: RunFolder) -> RunFolder:
        """Its folder in that of all."""
        return RunFolder(parent.path / self.name)


def train(request: Request) -> Run:
    """Scan, audit, split, train, and evaluate the best checkpoint once on the test split.

    request: the settings of configs/train.yaml; with folds or seeds they stand for several runs in
        one folder, with resume they are those of the interrupted run. A job of a sweep that was
        begun before goes on.
    Raises ConfigError, DataError, CheckpointError, TrainingError, MachineError.
    """
    if request.own_pictures:
        log.info("a demonstration: a small network is trained on generated slices")
        log.info("your own pictures, a folder for each class: %s", request.own_pictures)
    if (job := request.sweep_folder) is not None:
        if (left := left_of_job(request)) is None:
            log.info("job %s is complete", job.name)
            return Run(job)
        request = left
    if world_size() > 1:
        return _train_together(request)
    with downloads(request):
        run = (cross_validate if has_trials(request.settings) else train_one)(request)
    if request.own_pictures:
        log.info(
            "next: open the report in a browser, then train on your own pictures: %s",
            request.own_pictures,
        )
    return run


def _train_together(request: Request) -> Run:
    """One run by all processes of torchrun; what the first of them writes is the run."""
    request = check_together(request, is_several=has_trials(request.settings))
    with joined() as team:
        if team.rank:
            return Run(follow(team).path)
        with downloads(request):
            return train_one(request)


def has_trials(settings: Settings) -> bool:
    """Whether the settings, or the run that `resume=` names, stand for several runs.

    A run that names its fold is one trial, and an ordinary run.
    """
    if settings["resume"]:
        settings = read_config(open_run(settings["resume"]))
    folds, seeds, fold = (settings.get(key) for key in ("folds", "seeds", "fold"))
    return seeds is not None or (folds is not None and fold is None)


def list_trials(settings: Settings) -> list[Trial]:
    """The runs that the settings ask for: each fold of each seed.

    >>> asked = {"seed": 0, "seeds": [3, 4], "folds": 2, "fold": None}
    >>> [trial.name for trial in list_trials(asked)]
    ['seed_3_fold_0', 'seed_3_fold_1', 'seed_4_fold_0', 'seed_4_fold_1']

    Raises ConfigError when folds or seeds are not what they should be.
    """
    folds, seeds = checked(settings["folds"], Folds | None, "folds"), settings["seeds"]
    are_whole = isinstance(seeds, list) and all(type(seed) is int for seed in seeds)
    if seeds is not None and not (are_whole and 0 < len(set(seeds)) == len(seeds) <= limits.FOLDS):
        raise ConfigError(
            f"seeds={seeds!s:.60} should be whole numbers, each once and {limits.FOLDS:,} at most, "
            "such as seeds=[0,1,2]"
        )
    if settings["fold"] is not None:
        raise ConfigError(
            f"fold={settings['fold']} is one run, and seeds={seeds} are several; leave one out"
        )
    trials = []
    for seed in [settings["seed"]] if seeds is None else seeds:
        for fold in [None] if folds is None else range(folds):
            name = "" if seeds is None else f"seed_{seed}_"
            name += "" if fold is None else f"fold_{fold}"
            trials.append(Trial(name.rstrip("_"), seed, fold))
    return trials


def cross_validate(request: Request) -> Run:
    """Run every trial that is not complete, then pool and summarise.

    A trial that fails is recorded and does not end the others, unless the disk is full.
    Raises TrainingError at the end when some failed.
    """
    started = time.perf_counter()
    slots, is_new = slots_for_parts(request.settings), not request.settings["resume"]
    is_parallel = len(slots) > 1
    begun = _begun(request, is_parallel=is_parallel) if is_new else _resumed(request)
    with begun as (parent, settings, prepared), recorded(parent, started):
        trials = list_trials(settings)
        request = dataclasses.replace(request, settings=settings)
        if is_parallel:
            asked = [_request_of(parent, trial, request) for trial in trials]
            left = [each for each in asked if each]
            run_requests(left, parent.path, slots, is_read=is_new)
        else:
            for number, trial in enumerate(trials, start=1):
                log.info("%s, part %d of %d", trial.name, number, len(trials))
                _run_trial(parent, trial, request, prepared)
        # scikit-learn, for which the first step would wait
        from braintumor.workflows.summary import write_results

        write_results(parent, trials, settings)
    return Run(parent.path)


def _settings_of(trial: Trial, settings: Settings) -> Settings:
    own = {"seed": trial.seed, "seeds": None, "fold": trial.fold, "run_dir": None, "resume": None}
    return settings | own


@contextmanager
def _begun(
    request: Request, *, is_parallel: bool
) -> Iterator[tuple[RunFolder, Settings, list[Experiment]]]:
    """The parent folder, held within the block; made once the first trial's input is accepted.

    With the settings, and in a list, which the caller empties, what was read for the first trial;
    nothing where trials run in processes of their own.
    """
    check_output(request, RUN, "runs")
    settings, data_name = request.settings, request.choices["data"]
    trials, seeds, folds = list_trials(settings), settings["seeds"], settings["folds"]
    if seeds is not None and any(o.startswith("seed=") for o in request.overrides):
        raise ConfigError(f"seeds={seeds} leaves seed=… without use; leave it out")
    log.info("checking the input of %s, the first of %s", trials[0].name, some(len(trials), "part"))
    first = _settings_of(trials[0], settings)
    prepared: list[Experiment] = []
    if is_parallel:
        check_input(first, data_name)
    else:
        prepared.append(setup(first, data_name))
    suffix = (f"_{len(seeds)}seeds" if seeds else "") + (f"_{folds}fold" if folds else "")
    facts = {"overrides": list(request.overrides), "parts": [trial.name for trial in trials]}
    with new_run(request, settings, data_name, facts, suffix=suffix) as parent:
        yield parent, settings, prepared


@contextmanager
def _resumed(request: Request) -> Iterator[tuple[RunFolder, Settings, list[Experiment]]]:
    """The parent that `resume=` names, held within the block, and its settings."""
    parent = open_run(request.settings["resume"])
    with hold(parent.path, RUN, "continue"):
        trials = list_trials(read_config(parent))
        if parent.is_complete and not all(trial.run_in(parent).is_over for trial in trials):
            parent.set_status("interrupted", why="a part has been removed since")
        settings, _ = take_over(parent, request)
        _refuse_other_parts(parent, [trial.name for trial in list_trials(settings)])
        yield parent, settings, []


def _refuse_other_parts(parent: RunFolder, wanted: list[str]) -> None:
    """Raises CheckpointError where the folder was begun as one run, or as other parts."""
    status = parent.read_status()
    is_one = any((parent.path / state).is_file() for state in STATES)
    if is_one or (status and status.get("parts") != wanted):
        there = ", ".join(status.get("parts") or ()) or "one run"
        raise CheckpointError(
            f"{parent.config} asks for {', '.join(wanted)} (folds, seeds), and the folder was "
            f"begun as {there}; put them back in config.yaml, or start a new run"
        )


def _request_of(parent: RunFolder, trial: Trial, request: Request) -> Request | None:
    """To train and evaluate one trial, or to go on with it; None when it is complete."""
    is_resumed = bool(request.settings["resume"])  # else what may lie here is no part of this work
    run, begun = trial.run_in(parent), parent.read_status()
    if is_resumed and run.is_over:
        return None
    own = _settings_of(trial, request.settings) | {"run_dir": str(run.path)}
    overrides, choices = request.overrides, request.choices
    if is_resumed and any((run.path / state).is_file() for state in STATES):
        own["resume"] = str(run.path)
    else:  # as the command that made the parent would have begun it
        own["overwrite"] = True  # the parent's, and so ours
        name = request.settings["data"]["name"]  # of a run whose status.json is no more
        choices = {**choices, "data": begun.get("data_name", name)}
        overrides = tuple(begun.get("overrides", ()))
    return Request(own, choices, overrides, command=request.command)


def _run_trial(
    parent: RunFolder, trial: Trial, request: Request, prepared: list[Experiment]
) -> None:
    """Do here and now what is left of it. prepared: holds what has been read for it, or nothing."""
    if (asked := _request_of(parent, trial, request)) is None:
        log.info("  complete")
        return
    try:
        # popped, so that only the trial itself holds data and model
        train_one(asked, prepared.pop() if prepared else None)
    except DiskError:  # there is no room for the others either
        raise
    except Exception as error:
        record_failure(trial.run_in(parent), error)
        log.error("%s failed: %s", trial.name, error)
