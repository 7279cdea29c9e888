"""bt-tune: judged on validation alone, goes on where it stood, ends with a command that works."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

optuna = pytest.importorskip("optuna")

import braintumor as bt  # noqa: E402
from braintumor.config import options_of  # noqa: E402
from braintumor.errors import ConfigError, TrainingError  # noqa: E402
from braintumor.interrupts import ToldInterrupt  # noqa: E402
from braintumor.jobs.slots import make_slots  # noqa: E402
from braintumor.runs.kinds import TUNING  # noqa: E402
from braintumor.runs.ownership import hold  # noqa: E402
from braintumor.tuning.space import find_space, read_space  # noqa: E402
from braintumor.tuning.study import open_study  # noqa: E402
from braintumor.tuning.trials import done  # noqa: E402
from braintumor.workflows import search as searches  # noqa: E402
from braintumor.workflows import setup as setups  # noqa: E402
from braintumor.workflows import trials  # noqa: E402
from braintumor.workflows import tune as tunes  # noqa: E402
from braintumor.workflows.compose import compose  # noqa: E402
from braintumor.workflows.search import Images, Search, start_workers  # noqa: E402
from braintumor.workflows.tune import _check_space, _train_best  # noqa: E402
from support import QUICK  # noqa: E402

SMALL = [*QUICK, "data.image_size=32", "data.patients=16", "data.slices_per_patient=2"]
SMALL += ["train.max_epochs=2", "train.early_stopping.metric=val_loss", "eval.views=1"]
SPACE = 'tune.space={optimizer.lr: "log 1e-4..1e-2", augment: [none, light]}'
HOW = [*SMALL, SPACE, "tune.trials=3", "tune.min_epochs=1", "tune.reduction=2"]


class Seen:
    """The images that went to a device."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    """Every image that reaches a network in this module, by its row in the manifest."""
    found, load = Seen(), setups.load_split

    def noted(pixels: Any, labels: Any, paths: Any, rows: np.ndarray, device: Any) -> Any:
        found.rows.append(np.asarray(rows))
        return load(pixels, labels, paths, rows, device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setups, "load_split", noted)
        yield found


@pytest.fixture(scope="module")
def found(seen: Seen, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tune") / "search"
    return bt.tune(*HOW, run_dir=folder)


def test_no_test_image_is_ever_looked_at(seen: Seen, found: Any) -> None:
    splits = bt.read_data(*[w for w in SMALL if w.startswith("data.")], data="phantom").manifest
    # bt.read_data divides as the search does: same data, split and seed
    looked_at = set(splits["split"].iloc[np.unique(np.concatenate(seen.rows))])
    assert len(seen.rows) >= 6
    assert looked_at == {"train", "val"}
    assert not list(found.folder.rglob("predictions.csv"))


def test_it_leaves_the_trials_the_best_and_a_page(found: Any) -> None:
    table = found.trials
    assert len(table) == 3
    complete = table[table["state"] == "complete"]
    assert found.best["value"] == pytest.approx(complete["value"].min())
    assert set(found.best["settings"]) == {"optimizer.lr", "augment"}
    first = table.iloc[0]  # what bt-train does without a search
    default = compose("train", SMALL, {}).settings
    assert first["optimizer.lr"] == default["optimizer"]["lr"]
    page = found.page.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "http://" not in page
    assert 'src="data:image' in page
    assert "also the luckiest" in page
    assert found.run is None


def test_the_same_command_goes_on_and_trains_the_best_once(found: Any) -> None:
    before = found.trials
    more = [*HOW, "tune.trials=4", "tune.final=true"]
    more.remove("tune.trials=3")
    again = bt.tune(*more, run_dir=found.folder)
    assert len(again.trials) == 4
    assert again.trials.iloc[:3].equals(before)
    # the run repeats the trial to the last digit, and the command is that of the run
    assert again.run is not None
    assert again.run.history["val_loss"].min() == again.best["value"]
    command, *words = shlex.split(again.best["command"])
    assert command == "bt-train"
    assert words == again.run.status["overrides"][:-2]  # run_dir, overwrite
    report = again.run.report.stat().st_mtime_ns
    _train_best(search_of("", words=tuple(SMALL), space={}), found.folder)  # nothing is left to do
    assert again.run.report.stat().st_mtime_ns == report


def test_other_settings_are_another_study(found: Any) -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size: 8 there, 4 here"):
        bt.tune(*HOW, "train.batch_size=4", run_dir=found.folder)


@pytest.mark.parametrize("word", ["folds=3", "seeds=[0,1]", "resume=runs/x"])
def test_what_a_search_cannot_do_is_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{word.split('=')[0]}=… is for bt-train"):
        bt.tune(*HOW, word, run_dir=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_space_of_settings_that_do_not_exist_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`optimizer\.rl` is not a setting"):
        bt.tune(*SMALL, 'tune.space={optimizer.rl: "0.1..0.2"}', run_dir=tmp_path / "x")


@pytest.mark.parametrize("experiment", [None, *options_of("experiment")])
def test_every_preset_is_one_of_settings(experiment: str | None) -> None:
    words = (f"experiment={experiment}",) if experiment else ()
    space = find_space(None, experiment)
    assert experiment is None or space != find_space("default", None)
    _check_space(search_of("", words=words, space=space))
    assert len(read_space(space)) >= 3


def test_an_interrupted_trial_is_done_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit, calls = trials.fit, []
    monkeypatch.setattr(logging.getLogger("braintumor"), "handlers", [])  # what was there before

    def interrupted(*args: Any, **more: Any) -> Iterator[Any]:
        calls.append(args)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        yield from fit(*args, **more)

    monkeypatch.setattr(trials, "fit", interrupted)
    with pytest.raises(ToldInterrupt):  # the command says no more
        bt.tune(*HOW, run_dir=tmp_path / "x")
    said = capsys.readouterr().out
    assert "interrupted with 1 of 3 trials done; the same command goes on: bt-tune" in said
    words = shlex.split(said.split("goes on: bt-tune ")[1].splitlines()[0])
    again = bt.tune(*words)
    assert list(again.trials["trial"]) == [1, 2, 3]  # 2 was broken off, and has been done since
    study = open_study(str(tmp_path / "x/study.journal"), "bt-tune", "minimize")
    assert study.trials[1].params == study.trials[2].params


def test_two_searches_are_not_in_one_folder(tmp_path: Path) -> None:
    with hold(tmp_path / "x", TUNING), pytest.raises(ConfigError, match="is in use: process"):
        bt.tune(*HOW, run_dir=tmp_path / "x")


def test_an_interruption_before_the_study_exists_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tunes, "_check_space", lambda search: signal.raise_signal(signal.SIGTERM))
        bt.tune(*HOW, run_dir=tmp_path / "x")
    assert not (tmp_path / "x/study.journal").exists()
    monkeypatch.setattr(tunes, "_work", lambda *given: None)
    with pytest.raises(TrainingError, match="no trial has been trained"):
        bt.tune(*HOW, run_dir=tmp_path / "x")  # it begins


@pytest.mark.parametrize(
    ("gpus", "workers", "seen"),
    [
        ("3,5", None, ["3", "5"]),
        ("3,5", 3, ["3", "5", "3"]),
        ("3,5", 1, ["3"]),
        ("", 2, [None] * 2),
    ],
)  # fmt: skip
def test_workers_share_the_gpus_as_jobs_of_a_sweep_do(
    gpus: str, workers: int | None, seen: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    found = make_slots(workers, None)
    assert [slot.gpu for slot in found] == seen
    assert all(slot.threads >= 1 for slot in found)


def search_of(storage: str, *, words: tuple[str, ...], space: Any, trials: int = 3) -> Search:
    section = compose("tune", [], {}).settings["tune"]
    section |= {"space": space, "trials": trials, "pruner": "none"}
    return Search(words, section, storage, "s", "val_loss", 0, time.time() + 120)


@pytest.mark.slow  # a process that imports torch
def test_a_killed_worker_loses_no_trial(tmp_path: Path) -> None:
    storage = str(tmp_path / "study.journal")
    search = search_of(storage, words=tuple(SMALL), space=find_space({"augment": ["none"]}, None))
    study = search.open()
    with start_workers(search, make_slots(1, None, device="cpu")) as (process,):
        limit = time.time() + 100
        while not any(t.user_attrs.get("epochs") for t in study.get_trials()):
            assert time.time() < limit
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert len(done(study)) < 3
    trials.work(search, Images())
    assert len(done(study)) == 3
    assert json.loads(json.dumps(study.user_attrs["images"]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_workers_end_with_the_search_and_the_same_command_goes_on(
    number: signal.Signals, warm_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes: list[subprocess.Popen[str]] = []

    def started(*given: Any, **how: Any) -> subprocess.Popen[str]:
        processes.append(subprocess.Popen(*given, **how))
        return processes[-1]

    own = SimpleNamespace(**vars(subprocess) | {"Popen": started})
    monkeypatch.setattr(searches, "subprocess", own)
    storage = str(tmp_path / "x/study.journal")

    def interrupt() -> None:
        while not is_over.wait(0.02):
            if len(processes) == 2 and Path(storage).exists():
                study = open_study(storage, "bt-tune", "minimize")
                if {t.user_attrs.get("worker") for t in study.get_trials()} >= {0, 1}:
                    os.kill(os.getpid(), number)
                    break

    how = [word for word in HOW if not word.startswith("tune.trials")]
    how += ["tune.trials=10", "tune.workers=2", "device=cpu"]
    is_over = threading.Event()  # a signal that came later would end the tests
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            bt.tune(*how, run_dir=tmp_path / "x")
    finally:
        is_over.set()
        thread.join()
    assert [process.poll() for process in processes] == [130, 130]
    study = open_study(storage, "bt-tune", "minimize")
    states = [trial.state.name for trial in study.trials]
    assert "RUNNING" not in states
    assert states.count("WAITING") == states.count("FAIL") > 0  # those that were broken off
    again = bt.tune(*how, run_dir=tmp_path / "x")
    assert list(again.trials["trial"]) == [*range(1, 11)]
    assert set(again.trials["state"]) <= {"complete", "cut short"}
