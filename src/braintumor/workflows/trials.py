"""One worker of a search: trainings with settings that the study suggests, judged on validation.

As a program, `python -m braintumor.workflows.trials SEARCH`, it works until there are enough trials
or until its standard input ends, which it does with the command that started it.
"""

from __future__ import annotations

import _thread
import json
import math
import sys
import threading
import time
from dataclasses import dataclass

import optuna
import torch

from braintumor.errors import BraintumorError, MachineError, TrainingError, some
from braintumor.interrupts import INTERRUPTED, listening
from braintumor.privacy import without_names
from braintumor.runtime import configure_process
from braintumor.training.loop import fit
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.tuning.space import Parameter, suggest
from braintumor.tuning.study import begin, next_trials, put_back
from braintumor.tuning.trials import (
    EPOCHS,
    SECONDS,
    WHY,
    WORDS,
    Withdrawn,
    best_trial,
    numbers,
    why,
)
from braintumor.tuning.worker import Worker, begin_work
from braintumor.workflows.arguments import Request
from braintumor.workflows.console import log, log_to_console
from braintumor.workflows.search import Images, Search, quiet, same_images
from braintumor.workflows.setup import setup


def work(search: Search, images: Images, number: int = 0) -> None:
    """Do trials until the study has enough of them. number: of this process, from 0."""
    study, space = search.open(), search.space
    with begin_work(search.storage, number) as worker:
        for _ in next_trials(study, worker, search.settings.trials, search.deadline):
            trial = Trial(study, worker, search, space, images)
            # a mistake of the settings ends their trial and not the search
            try:
                study.optimize(trial.run, n_trials=1, catch=(BraintumorError, Withdrawn))
            except AssertionError:
                if trial.failure is None:
                    raise
                raise trial.failure from None  # the study itself could not be written
            if trial.is_begun:
                log.info("%s", describe(study, study.get_trials(deepcopy=False)[trial.number]))


@dataclass
class Trial:
    """One training of the study. number: Optuna's, once it runs.  is_begun: it is not surplus."""

    study: optuna.Study
    worker: Worker
    search: Search
    space: tuple[Parameter, ...]
    images: Images
    number: int = -1
    is_begun: bool = False
    failure: OSError | None = None

    def run(self, trial: optuna.Trial) -> float:
        """The best value of the metric on validation. Raises TrialPruned when it is given up."""
        try:
            return self._run(trial)
        except OSError as error:
            self.failure = error
            raise

    def _run(self, trial: optuna.Trial) -> float:
        begin(self.study, self.worker, trial, self.search.settings.trials)
        self.number, self.is_begun, started = trial.number, True, time.perf_counter()
        try:
            words = suggest(trial, self.space)
            trial.set_user_attr(WORDS, without_names(words))
            return self._fit(trial, self.search.request(words))
        except KeyboardInterrupt:
            put_back(self.study, trial.number)
            raise
        except TrainingError as error:  # the loss diverged: as bad as a trial can be
            trial.set_user_attr(WHY, without_names(str(error)))
            raise optuna.TrialPruned from error
        except torch.OutOfMemoryError as error:
            trial.set_user_attr(WHY, "the device is out of memory")
            raise MachineError("the device is out of memory") from error
        except optuna.TrialPruned:
            raise
        except Exception as error:  # what is not one of ours is a bug, which ends this worker
            is_ours = isinstance(error, BraintumorError)
            reason = str(error) if is_ours else f"{type(error).__name__}: {error}"
            trial.set_user_attr(WHY, without_names(reason))
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
    known, number = trial.user_attrs, numbers(study)[trial.number]
    if trial.state.name == "FAIL":
        return f"trial {number} failed: {why(trial)}"
    epochs = known.get(EPOCHS, 0)
    how = f"cut short after {epochs}"
    if trial.state.name == "COMPLETE":
        how = some(epochs, "epoch")
    elif WHY in known:
        how = "diverged"
    best = best_trial(study)
    value = f"{trial.value:.4f}" if trial.value is not None else "–"
    mark = "*" if best is not None and best.number == trial.number else " "
    words = " ".join(known.get(WORDS, []))
    return f"trial {number:3d}  {value}{mark} {how:18s} {known[SECONDS]:6.1f} s  {words}"


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
        with listening():
            work(Search(**given | {"words": tuple(given["words"])}), Images(), number)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BraintumorError as error:
        print(f"error: {error}", flush=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
