"""Folds and seeds on several slots: what comes out is what comes out one after the other."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from braintumor.data import reading
from braintumor.runs.folder import RunFolder
from braintumor.workflows.compose import compose
from braintumor.workflows.parallel import slots_for_parts
from braintumor.workflows.resume import take_over
from support import QUICK, Command, slowness, train

FOLDS = [*QUICK, "data.image_size=48", "split=grouped", "folds=2", "eval.views=1"]
FOLDS += ["train.max_epochs=6"]


@pytest.fixture(scope="module")
def one(bt: Command, no_drawings: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folds one after the other, in this process."""
    folder = tmp_path_factory.mktemp("one")
    bt("train", *FOLDS, "slots=1", "run_dir=one", cwd=folder, code=0)
    return folder / "one"


def assert_same_parts(one: Path, other: Path) -> None:
    for number in range(2):
        mine, theirs = (folder / f"fold_{number}" for folder in (one, other))
        first, second = (load_file(run / "best.safetensors") for run in (mine, theirs))
        assert first.keys() == second.keys()
        assert all((first[key] == second[key]).all() for key in first)
        for name in ("predictions.csv", "metrics.json"):
            assert (mine / "eval/test" / name).read_bytes() == (
                theirs / "eval/test" / name
            ).read_bytes()
    for name in ("eval/pooled/predictions.csv", "eval/pooled/metrics.json", "summary.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.usefixtures("warm_python", "one_thread", "no_drawings")
def test_folds_on_two_slots_are_the_folds_one_after_the_other(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reading, "_WORTH_KEEPING_S", 0.0)  # as larger sets are kept
    moved: list[Any] = []
    to = torch.nn.Module.to
    with monkeypatch.context() as watched, caplog.at_level("INFO"):
        watched.setattr(
            torch.nn.Module, "to", lambda self, *a, **k: moved.append(a) or to(self, *a, **k)
        )
        train(*FOLDS, "slots=2", "run_dir=two")
    assert not moved, "the parent puts a model on a device, which belongs to its children"
    # read and audited once, before the first of them, and found in the cache by all
    audits = [m for m in caplog.messages if m.startswith("audit")]
    assert len(audits) == 1
    for number in range(2):
        assert "decoded by an earlier run" in Path(f"two/fold_{number}/train.log").read_text()
    jobs = pd.read_csv("two/jobs.csv", parse_dates=["started", "ended"])
    assert list(jobs["result"]) == ["completed"] * 2 and set(jobs["slot"]) == {0, 1}
    assert jobs["started"][1] < jobs["ended"][0]
    assert not (one / "jobs.csv").exists()
    assert_same_parts(one, Path("two"))

    # what was cut off goes on, on as many slots as this command says
    shutil.rmtree("two/fold_0")
    RunFolder(Path("two")).set_status("interrupted")
    asked = compose("train", ["resume=two", "slots=2"], {})
    assert len(slots_for_parts(asked.settings)) == 2
    take_over(RunFolder(Path("two")), asked)


@pytest.mark.usefixtures("warm_python", "one_thread", "no_drawings")
def test_folds_on_slots_that_are_told_to_end_go_on_as_it_is_said(
    bt: Command, one: Path, tmp_path: Path
) -> None:
    is_over, sent = threading.Event(), [0.0]  # a signal that came later would end the tests

    def interrupt() -> None:
        while not is_over.wait(0.005):
            if list(tmp_path.glob("two/fold_*/metrics.csv")):
                sent[0] = time.monotonic()
                os.kill(os.getpid(), signal.SIGTERM)
                break

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        done = bt("train", *FOLDS, "slots=2", "run_dir=two", cwd=tmp_path, code=130)
    finally:
        is_over.set()
        thread.join()
    assert time.monotonic() - sent[0] < 10 * slowness()
    run = RunFolder(tmp_path / "two")
    assert run.state == "interrupted" and "running" not in [part.state for part in run.parts]
    assert "complete; go on with: bt-train resume=two" in done.stdout
    assert "start again" not in done.stderr
    bt("train", "resume=two", "slots=2", cwd=tmp_path, code=0)
    assert_same_parts(one, tmp_path / "two")
