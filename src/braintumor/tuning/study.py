"""A study that several processes share: no two do the same trial, and none is lost.

A trial whose process was killed stays in the study as running. In a file, each worker holds a lock
that ends with its process, however that ends, and its trials name the lock: a running trial whose
lock is free is taken up by the next worker, from its start and with the same settings. In a
database (a URL) Optuna's heartbeat does the same after some minutes.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from braintumor.config import differences, first_of
from braintumor.errors import ConfigError, TrainingError
from braintumor.files import DISK_IS_FULL
from braintumor.privacy import without_names
from braintumor.runtime import mix_seed
from braintumor.tuning.space import TuneSettings
from braintumor.tuning.trials import begin_anew, is_done, why, withdraw_surplus
from braintumor.tuning.worker import WORKER, Worker, in_file

_SETTINGS = "settings"
_MOST_FAILURES = 3  # before any trial that does not fail
_POLL_S = 0.5
_HEARTBEAT_S = 60
# trials that are drawn by chance before the others learn from them: a quarter, within these limits
_FEWEST_DRAWN, _MOST_DRAWN = 5, 10
Direction = Literal["minimize", "maximize"]


def open_study(storage: str, name: str, direction: Direction) -> Study:
    """The study in a file or database, made where there is none.

    Raises ConfigError where the storage cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(
            storage=_open(storage), study_name=name, direction=direction, load_if_exists=True
        )
    except (OSError, ValueError, ImportError, SQLAlchemyError) as error:
        if isinstance(error, OSError) and error.errno in DISK_IS_FULL:
            raise
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"tune.storage={storage} cannot be opened ({reason:.200}); give a file, or a URL such "
            "as postgresql://USER@HOST/NAME"
        ) from error


def _open(storage: str) -> BaseStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if in_file(storage):
            Path(storage).parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(storage))
        return RDBStorage(
            storage,
            heartbeat_interval=_HEARTBEAT_S,
            grace_period=3 * _HEARTBEAT_S,
            heartbeat_stale_trial_callback=partial(begin_anew, is_killed=True),
        )


def search_by(study: Study, tuning: TuneSettings, seed: int) -> None:
    """How the settings of trials are drawn, and which trials are cut short."""
    # Optuna draws them when a trial begins, and knows only then which it is
    study.sampler = _OneForEach(lambda number: _sampler(tuning, mix_seed(seed, "tune", number)))
    study.pruner = NopPruner()
    if tuning.pruner == "halving":
        study.pruner = SuccessiveHalvingPruner(
            min_resource=tuning.min_epochs, reduction_factor=tuning.reduction
        )


def agree(study: Study, settings: Mapping[str, Any], storage: str) -> None:
    """Keep the settings in a new study; those of one that is there have to be the same.

    settings: key -> value, as JSON has it. Raises ConfigError with the differences.
    """
    wanted = json.loads(json.dumps(without_names(settings)))
    kept = without_names(study.user_attrs.get(_SETTINGS))
    if kept is None:
        study.set_user_attr(_SETTINGS, wanted)
        return
    if found := differences(kept, wanted):
        raise ConfigError(
            f"the study in {storage} was begun with other settings ({first_of(found, 3, '; ')}), "
            "and trials with different ones cannot be compared; give the same, or name another "
            "run_dir or tune.storage"
        )


def space_of(study: Study) -> dict[str, str]:
    """What was searched: key -> range or choices."""
    fixed, start = study.user_attrs.get(_SETTINGS, {}), "tune.space."
    return {key.removeprefix(start): fixed[key] for key in fixed if key.startswith(start)}


def next_trials(study: Study, worker: Worker, count: int, deadline: float) -> Iterator[None]:
    """Yields whenever this worker is to do one trial of the study; ends when there are `count`.

    It waits for the trials of others to end: their processes may be killed.
    deadline: in seconds of time.time(), after which nothing begins.
    Raises TrainingError when nothing but failures comes of it.
    """
    while time.time() < deadline:
        take_up(study, worker)
        trials = study.get_trials(deepcopy=False)
        ended = [trial for trial in trials if is_done(trial)]
        if len(ended) >= _MOST_FAILURES and all(t.state is TrialState.FAIL for t in ended):
            raise TrainingError(
                f"all of the first {len(ended)} trials failed; the first: {why(ended[0])}"
            )
        if len(ended) >= count:
            return
        waiting = sum(trial.state is TrialState.WAITING for trial in trials)
        running = sum(trial.state is TrialState.RUNNING for trial in trials)
        if not waiting and len(ended) + running >= count:
            time.sleep(_POLL_S)
        else:
            yield


def begin(study: Study, worker: Worker, trial: Trial, count: int) -> None:
    """Say in the study who does the trial.

    Raises Withdrawn where others have begun the last of `count` trials at the same moment.
    """
    trial.set_user_attr(WORKER, worker.number)
    withdraw_surplus(study, trial, count, worker.alone())


def put_back(study: Study, number: int) -> None:
    """A trial that is broken off, for the next worker to begin anew. number: Optuna's."""
    begin_anew(study, study.get_trials(deepcopy=False)[number], is_killed=False)


def take_up(study: Study, worker: Worker) -> None:
    """Put back the trials whose processes have ended without a word."""
    if worker.locks is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
        return
    with worker.alone():  # each of them once
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if worker.is_gone(trial):
                with suppress(UpdateFinishedTrialError, ValueError):
                    study.tell(trial.number, state=TrialState.FAIL)
                    begin_anew(study, trial, is_killed=True)


class _OneForEach(BaseSampler):
    """Each trial is drawn by a sampler of its own, seeded by the number of the trial.

    No two workers share a number, wherever they are, and a study that goes on in another process
    draws what it would have drawn in the first.
    """

    def __init__(self, make: Callable[[int], BaseSampler]) -> None:
        self._of = lru_cache(maxsize=1)(make)  # a worker does one trial after the other

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Any:
        return self._of(trial.number).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Any) -> Any:
        return self._of(trial.number).sample_relative(study, trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, *parameter: Any) -> Any:
        return self._of(trial.number).sample_independent(study, trial, *parameter)


def _sampler(tuning: TuneSettings, seed: int) -> BaseSampler:
    seed %= 2**32
    if tuning.sampler == "random":
        return RandomSampler(seed=seed)
    # while others run their trials count as bad, so that workers do not try the same
    startup = max(_FEWEST_DRAWN, min(_MOST_DRAWN, tuning.trials // 4))
    return TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)
