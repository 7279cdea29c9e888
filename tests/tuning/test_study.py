"""Workers share a study: a trial whose process is killed is taken up, one that runs is not."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna")

from optuna.trial import TrialState  # noqa: E402

from braintumor.errors import ConfigError, TrainingError  # noqa: E402
from braintumor.tuning import study as studies  # noqa: E402
from braintumor.tuning import trials as states  # noqa: E402
from braintumor.tuning.space import TuneSettings  # noqa: E402
from braintumor.tuning.study import (  # noqa: E402
    agree,
    begin,
    next_trials,
    open_study,
    put_back,
    search_by,
    take_up,
)
from braintumor.tuning.trials import WHY, Withdrawn, done, numbers, why  # noqa: E402
from braintumor.tuning.worker import WORKER, begin_work  # noqa: E402

TUNING = TuneSettings(
    space=None, trials=4, minutes=None, storage=None, workers=1, sampler="tpe", pruner="halving",
    min_epochs=1, reduction=3, final=False,
)  # fmt: skip

# a worker that begins a trial and does not come to its end
BUSY = """
import sys, time
from braintumor.tuning.study import open_study
from braintumor.tuning.worker import WORKER, begin_work
study = open_study(sys.argv[1], "s", "minimize")
with begin_work(sys.argv[1], 0) as worker:
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr(WORKER, worker.number)
    print("busy", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return str(tmp_path / "study.journal")


@pytest.fixture
def busy(storage: str) -> Iterator[Callable[[], subprocess.Popen]]:
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        command = [sys.executable, "-c", BUSY, storage]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "busy\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_trial_is_taken_up_when_its_process_is_killed_and_not_before(
    storage: str, busy: Callable[[], subprocess.Popen]
) -> None:
    process = busy()
    study = open_study(storage, "s", "minimize")
    with begin_work(storage, 0) as worker:
        assert worker.number == 1  # 0 is theirs
        take_up(study, worker)
        assert [trial.state for trial in study.trials] == [TrialState.RUNNING]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        take_up(study, worker)
        take_up(study, worker)  # once is enough
        dead, anew = study.trials
        assert (dead.state, anew.state) == (TrialState.FAIL, TrialState.WAITING)
        assert study.ask().suggest_float("x", 0, 1) == dead.params["x"]
        assert not done(study)  # a trial that was lost does not count


def test_who_takes_the_lock_of_a_dead_worker_takes_up_its_trial(
    storage: str, busy: Callable[[], subprocess.Popen]
) -> None:
    process = busy()
    process.kill()
    process.wait()
    study = open_study(storage, "s", "minimize")
    with begin_work(storage, 0) as worker:
        assert worker.number == 0
        take_up(study, worker)
        assert study.trials[-1].state is TrialState.WAITING


def test_a_trial_that_kills_every_process_is_given_up(storage: str) -> None:
    study = open_study(storage, "s", "minimize")
    with begin_work(storage, 0) as worker:
        for _ in range(20):
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            trial.set_user_attr(WORKER, worker.number)
            take_up(study, worker)
            if study.trials[-1].state is not TrialState.WAITING:
                break
        assert len(study.trials) == states._MOST_KILLS
        (given_up,) = done(study)  # and counts, or others would be begun in its place for ever
        assert "none of the 6 processes" in why(given_up)
        assert numbers(study)[given_up.number] == 1


def test_a_trial_that_is_interrupted_often_is_not_given_up(storage: str) -> None:
    study = open_study(storage, "s", "minimize")
    for _ in range(2 * states._MOST_KILLS):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        put_back(study, trial.number)
        study.tell(trial.number, state=TrialState.FAIL)
    assert study.trials[-1].state is TrialState.WAITING
    assert study.ask().suggest_float("x", 0, 1) == x


def test_a_trial_that_is_begun_anew_keeps_its_number(storage: str) -> None:
    study = open_study(storage, "s", "minimize")
    lost = study.ask()
    lost.suggest_float("x", 0, 1)
    put_back(study, lost.number)
    study.tell(lost.number, state=TrialState.FAIL)
    study.ask(), study.ask()  # the lost one again, and the second
    put_back(study, 1)  # lost once more
    study.tell(1, state=TrialState.FAIL)
    study.tell(2, 2.0)
    study.tell(study.ask().number, 1.0)
    assert [(numbers(study)[t.number], t.value) for t in done(study)] == [(1, 1.0), (2, 2.0)]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
@pytest.mark.parametrize("is_url", [False, True])
def test_workers_that_begin_at_once_draw_different_settings_and_none_too_many(
    is_url: bool, tmp_path: Path
) -> None:
    storage = f"sqlite:///{tmp_path}/study.db" if is_url else str(tmp_path / "study.journal")
    tuning = dataclasses.replace(TUNING, trials=2)
    drawn, withdrawn = [], 0
    # three computers, on each of which the worker has the number 0, and all see an empty study
    studies_there = [open_study(storage, "s", "minimize") for _ in range(3)]
    for study in studies_there:
        search_by(study, tuning, seed=0)
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(begin_work(storage, 0)) for _ in range(3)]
        for study, worker in zip(studies_there, workers, strict=True):
            trial = study.ask()
            try:
                begin(study, worker, trial, tuning.trials)
            except Withdrawn:
                withdrawn += 1
                study.tell(trial, state=TrialState.FAIL)
            else:
                drawn.append(trial.suggest_float("x", 0, 1))
                study.tell(trial, 1.0)
    assert withdrawn == 1
    assert len(set(drawn)) == 2
    assert len(done(studies_there[0])) == 2
    assert sorted(numbers(studies_there[0]).values()) == [1, 2]


def test_a_trial_that_is_taken_up_is_judged_anew(storage: str) -> None:
    study = open_study(storage, "s", "minimize")
    study.pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    trial = study.ask()
    trial.report(1.0, 1)
    assert not trial.should_prune()
    assert any(key.startswith("completed_rung") for key in study.trials[0].system_attrs)
    put_back(study, 0)
    anew = study.trials[1]
    assert not any(key.startswith("completed_rung") for key in anew.system_attrs)
    assert not anew.intermediate_values


def test_a_study_ends_with_as_many_trials_as_asked_and_goes_on_for_more(storage: str) -> None:
    study = open_study(storage, "s", "minimize")

    def search(trials: int) -> None:
        search_by(study, dataclasses.replace(TUNING, trials=trials), seed=0)
        with begin_work(storage, 0) as worker:

            def draw(trial: optuna.Trial) -> float:
                begin(study, worker, trial, trials)
                return float(trial.suggest_float("x", 0, 1))

            for _ in next_trials(study, worker, trials, time.time() + 60):
                study.optimize(draw, n_trials=1)

    search(4)
    assert len(study.trials) == 4
    search(4)
    assert len(study.trials) == 4
    search(6)
    values = [trial.params["x"] for trial in study.trials]
    assert len(values) == len(set(values)) == 6  # none drawn twice


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_study_that_goes_on_draws_what_it_would_have_drawn(sampler: str, tmp_path: Path) -> None:
    """The first trial of a process was drawn by a sampler that nobody had chosen or seeded."""
    tuning = dataclasses.replace(TUNING, trials=14, sampler=sampler)

    def search(name: str, trials: int) -> list[float]:
        study = open_study(str(tmp_path / name), "s", "minimize")
        search_by(study, tuning, seed=0)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
        return [trial.params["x"] for trial in study.trials]

    search("cut", 12)
    assert search("cut", 2) == search("whole", 14)


def test_nothing_begins_after_the_deadline(storage: str) -> None:
    study = open_study(storage, "s", "minimize")
    with begin_work(storage, 0) as worker:
        assert list(next_trials(study, worker, 4, time.time() - 1)) == []


def test_where_every_trial_fails_the_search_ends(storage: str) -> None:
    study = open_study(storage, "s", "minimize")

    def fail(trial: optuna.Trial) -> float:
        trial.set_user_attr(WHY, "no such thing")
        raise ConfigError("no such thing")

    with (
        begin_work(storage, 0) as worker,
        pytest.raises(TrainingError, match="first 3 trials failed; the first: no such thing"),
    ):
        for _ in next_trials(study, worker, 4, time.time() + 60):
            study.optimize(fail, n_trials=1, catch=(ConfigError,))


def test_a_study_takes_no_trials_of_other_settings(storage: str) -> None:
    study = open_study(storage, "s", "minimize")
    agree(study, {"train.batch_size": 8, "seed": 0}, storage)
    agree(study, {"train.batch_size": 8, "seed": 0}, storage)
    with pytest.raises(ConfigError, match=r"train.batch_size: 8 there, 16 here"):
        agree(study, {"train.batch_size": 16, "seed": 0}, storage)


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_database_finds_dead_workers_by_their_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.setattr(studies, "_HEARTBEAT_S", 1)
    url = f"sqlite:///{tmp_path}/study.db"
    study = open_study(url, "s", "minimize")
    trial = study.ask()
    x = trial.suggest_float("x", 0, 1)
    study._storage.record_heartbeat(trial._trial_id)  # and then no more
    with begin_work(url, 0) as worker:
        take_up(study, worker)
        assert study.trials[0].state is TrialState.RUNNING
        limit = time.time() + 10
        while study.trials[0].state is TrialState.RUNNING and time.time() < limit:
            time.sleep(0.2)
            take_up(study, worker)
    assert study.trials[0].state is TrialState.FAIL
    assert study.ask().suggest_float("x", 0, 1) == x


def test_a_storage_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tune\.storage=nothing://x cannot be opened"):
        open_study("nothing://x", "s", "minimize")
