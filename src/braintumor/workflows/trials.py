"""One worker of a search: trainings with settings that the study suggests, judged on validation.

As a program, `python -m braintumor.workflows.trials SEARCH`, it works until there are enough trials
or until its standard input ends, which it does with the command that started it.
"""

from __future__ import annotations

import _thread
import dataclasses
import hashlib
import json
import logging
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
import torch

from braintumor.config import typed
from braintumor.data.dataset import Dataset
from braintumor.errors import BraintumorError, DataError, MachineError, TrainingError
from braintumor.runtime import configure_process
from braintumor.training.loop import fit
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.tuning.space import Parameter, TuneSettings, read_space, suggest
from braintumor.tuning.study import (
    EPOCHS,
    SECONDS,
    WHY,
    WORDS,
    Worker,
    begin_work,
    name_worker,
    next_trials,
    open_study,
    put_back,
)
from braintumor.workflows.arguments import Request
from braintumor.workflows.compose import compose
from braintumor.workflows.console import log, log_to_console
from braintumor.workflows.data import read_data
from braintumor.workflows.setup import Experiment, setup

_IMAGES = "images"  # attribute of the study
_MOST_DATA = 2  # data sets that a worker keeps, such as one of each picture size
_LOWER_IS_BETTER = "val_loss"


@dataclass(frozen=True)
class Search:
    """All that a worker has to know; the rest is in the study.

    words: of bt-train, for all trials.  tune: the section of the settings, its space as it is read.
    metric: of validation, which early stopping watches.  deadline: in seconds of time.time().
    """

    words: tuple[str, ...]
    tune: Mapping[str, Any]
    storage: str
    name: str
    metric: str
    seed: int
    deadline: float

    @property
    def settings(self) -> TuneSettings:
        return typed(TuneSettings, self.tune, "tune")

    @property
    def space(self) -> tuple[Parameter, ...]:
        return read_space(self.tune["space"])

    @property
    def direction(self) -> str:
        """Of the metric, in Optuna's words."""
        return "minimize" if self.metric == _LOWER_IS_BETTER else "maximize"

    def open(self) -> optuna.Study:
        """The study, begun where there is none."""
        return open_study(self.storage, self.name, self.direction)

    def request(self, words: list[str]) -> Request:
        """The settings of one training."""
        return compose("train", [*self.words, *words], {})


class Images:
    """Data sets, read and audited once and kept for the next trials."""

    def __init__(self) -> None:
        self._kept: dict[str, Dataset] = {}

    def __call__(self, settings: Mapping[str, Any], size: int, label: str) -> Dataset:
        asked = [settings[key] for key in ("data", "split", "seed", "fold", "folds")]
        key = json.dumps([asked, size], sort_keys=True)
        if key not in self._kept:
            while len(self._kept) >= _MOST_DATA:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = read_data(settings, size, label)
        return self._kept[key]


def work(search: Search, images: Images, number: int = 0) -> None:
    """Do trials until the study has enough of them. number: of this process, from 0."""
    study, space, tuning = search.open(), search.space, search.settings
    with begin_work(search.storage, number) as worker:
        for _ in next_trials(study, worker, tuning, search.seed, search.deadline):
            trial = _Trial(study, worker, search, space, images)
            # a mistake of the settings ends their trial and not the search
            study.optimize(trial.run, n_trials=1, catch=(BraintumorError,))
            log.info("%s", describe(study, study.get_trials(deepcopy=False)[trial.number]))


@dataclass
class _Trial:
    """One training of the study. number: once it runs."""

    study: optuna.Study
    worker: Worker
    search: Search
    space: tuple[Parameter, ...]
    images: Images
    number: int = -1

    def run(self, trial: optuna.Trial) -> float:
        """The best value of the metric on validation. Raises TrialPruned when it is given up."""
        self.number, started = trial.number, time.perf_counter()
        name_worker(trial, self.worker)
        words = suggest(trial, self.space)
        trial.set_user_attr(WORDS, words)
        try:
            return self._fit(trial, self.search.request(words))
        except KeyboardInterrupt:
            put_back(self.study, trial.number)
            raise
        except TrainingError as error:  # the loss diverged: as bad as a trial can be
            trial.set_user_attr(WHY, str(error))
            raise optuna.TrialPruned from error
        except torch.OutOfMemoryError as error:
            trial.set_user_attr(WHY, "the device is out of memory")
            raise MachineError("the device is out of memory") from error
        except BraintumorError as error:
            trial.set_user_attr(WHY, str(error))
            raise
        finally:
            trial.set_user_attr(SECONDS, round(time.perf_counter() - started, 1))

    def _fit(self, trial: optuna.Trial, request: Request) -> float:
        with quiet():
            experiment = setup(request.settings, request.choices["data"], read=self.images)
        same_images(self.study, experiment)
        recipe = experiment.recipe
        state = FitState(experiment.model, BestCheckpoint(recipe.train.early_stopping))
        # of the images in memory only these two splits are ever taken: test stays untouched
        train, val = experiment.images("train"), experiment.images("val")
        sign = 1 if self.study.direction.name == "MINIMIZE" else -1
        for record in fit(state, train, val, recipe, experiment.augment, progress=True):
            trial.set_user_attr(EPOCHS, record.epoch)
            value = sign * state.best.cost
            trial.report(value, record.epoch)
            if record.epoch < recipe.total_epochs and trial.should_prune():
                raise optuna.TrialPruned
        if not math.isfinite(value):
            raise TrainingError(f"{self.search.metric} is not a finite number")
        return value


def describe(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> str:
    """One line on a trial that has ended."""
    known = trial.user_attrs
    if trial.state.name == "FAIL":
        return f"trial {trial.number + 1} failed: {known.get(WHY, 'see above')}"
    epochs = known.get(EPOCHS, 0)
    how = f"{epochs} epochs" if trial.state.name == "COMPLETE" else f"cut short after {epochs}"
    if WHY in known:
        how = "diverged"
    best = _best(study)
    value = f"{trial.value:.4f}" if trial.value is not None else "–"
    mark = "*" if best is not None and best.number == trial.number else " "
    words = " ".join(known.get(WORDS, []))
    return f"trial {trial.number + 1:3d}  {value}{mark} {how:18s} {known[SECONDS]:6.1f} s  {words}"


def _best(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    try:
        return study.best_trial
    except ValueError:  # none is complete
        return None


def same_images(study: optuna.Study, experiment: Experiment) -> None:
    """All trials, on whatever machine, learn from and are judged on the same images.

    Raises DataError.
    """
    splits = {}
    for name in ("train", "val"):
        hashes = experiment.data.manifest["sha256"].iloc[experiment.rows(name)]
        splits[name] = hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()
    kept = study.user_attrs.get(_IMAGES)
    if kept is None:
        study.set_user_attr(_IMAGES, splits)
    elif kept != splits:
        raise DataError(
            "the images are not those that the study was begun with, and trials on others cannot "
            "be compared; restore them, or begin a new study: another run_dir or tune.storage"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Within, only warnings: a search says of each trial one line."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def _interrupt_at_end_of_input() -> None:
    sys.stdin.read()
    _thread.interrupt_main()


def main() -> None:
    """Entry point of a worker; prints a line a trial."""
    log_to_console()
    configure_process()
    given = json.loads(sys.argv[1])
    number = given.pop("number")
    threading.Thread(target=_interrupt_at_end_of_input, daemon=True).start()
    try:
        with quiet():
            images = Images()
        work(Search(**given | {"words": tuple(given["words"])}), images, number)
    except KeyboardInterrupt:
        sys.exit(130)
    except BraintumorError as error:
        print(f"error: {error}", flush=True)
        sys.exit(error.exit_code)


def as_argument(search: Search, number: int) -> str:
    """For `main`."""
    return json.dumps(dataclasses.asdict(search) | {"number": number})


if __name__ == "__main__":
    main()
