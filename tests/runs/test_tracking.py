"""A run tells a tracker its settings and figures, no picture, and outlives it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from braintumor.errors import ConfigError
from braintumor.records import EpochRecord
from braintumor.runs import tracking
from braintumor.runs.folder import RunFolder
from braintumor.runs.tracking import check_tracker, final_figures, open_trackers

METRICS = {
    "split": "test",
    "all": {"accuracy": 0.9, "accuracy_ci": [0.8, 0.95], "auroc": float("nan"), "auroc_ci": None},
    "clean": {"accuracy": 0.85, "accuracy_ci": [0.7, 0.93]},
}
FIGURES = {
    "test/accuracy": 0.9, "test/accuracy_low": 0.8, "test/accuracy_high": 0.95,
    "test/clean/accuracy": 0.85, "test/clean/accuracy_low": 0.7, "test/clean/accuracy_high": 0.93,
}  # fmt: skip


def settings(name: str, **more: Any) -> dict[str, Any]:
    train = {"tensorboard": False, "phases": [{"epochs": 2, "trainable": "all"}]}
    return {"tracker": {"name": name, **more}, "train": train, "seed": 3, "init": None}


def record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch, 1, 0.1, 2.0 / epoch, 0.5, 1.5, 0.4, 0.4, 0.4, 0.5, 100.0, 1.0, True)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs/tiny")
    folder.path.mkdir(parents=True)
    folder.set_status("running")
    return folder


def go(run: RunFolder, asked: dict[str, Any]) -> None:
    """Two epochs, a cut, the second epoch again, an epoch of a refit, the end."""
    with pytest.raises(KeyboardInterrupt), open_trackers(run, asked) as trackers:
        trackers.epoch(record(1))
        trackers.epoch(record(2))
        raise KeyboardInterrupt
    with open_trackers(run, asked) as trackers:
        trackers.epoch(record(2))
        trackers.epoch(record(1), part="refit")
        trackers.final(METRICS, "/x/report.html")


def test_figures_have_their_intervals_beside_them() -> None:
    assert final_figures(METRICS) == FIGURES


def test_tensorboard_has_settings_epochs_and_final_figures(run: RunFolder) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    go(run, settings("tensorboard"))
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("loss/train")] == [1, 2]  # and none of them twice
    assert events.Scalars("test/accuracy_low")[0].value == pytest.approx(0.8)
    assert {"settings/text_summary", "report/text_summary"} <= set(events.Tags()["tensors"])
    assert not events.Tags()["images"]
    refit = EventAccumulator(str(run.path / "refit/tensorboard")).Reload()
    assert [e.step for e in refit.Scalars("loss/train")] == [1]


@pytest.mark.parametrize("both", [True, False])
def test_train_tensorboard_is_one_and_not_a_second(run: RunFolder, both: bool) -> None:
    asked = settings("tensorboard" if both else "none")
    asked["train"]["tensorboard"] = True
    with open_trackers(run, asked) as trackers:
        trackers.epoch(record(1))
        assert list(trackers.working) == ["tensorboard"]
    assert len(list(run.path.glob("tensorboard/events.out.tfevents.*"))) == 1


def test_mlflow_goes_on_with_the_same_run(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="pip install 'braintumor[mlflow]'")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    go(run, settings("mlflow", project="mine"))
    client = mlflow.MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", "runs/tiny")
    assert found.data.params["train.phases"] == "[{'epochs': 2, 'trainable': 'all'}]"
    assert FIGURES.items() <= found.data.metrics.items()
    assert found.data.tags["report"] == "/x/report.html"
    losses = client.get_metric_history(found.info.run_id, "loss/train")
    assert {m.step: m.value for m in losses} == {1: 2.0, 2: 1.0}
    assert client.get_metric_history(found.info.run_id, "refit/loss/train")[0].step == 1
    assert not client.list_artifacts(found.info.run_id)


def test_trackio_goes_on_with_the_same_run(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trackio", reason="pip install 'braintumor[trackio]'")
    from trackio import utils
    from trackio.sqlite_storage import SQLiteStorage

    for module in ("trackio.utils", "trackio.sqlite_storage"):
        monkeypatch.setattr(f"{module}.TRACKIO_DIR", tmp_path / "trackio")
    assert tmp_path / "trackio" == utils.TRACKIO_DIR
    go(run, settings("trackio", project="mine"))
    (name,) = SQLiteStorage.get_runs("mine")
    rows = SQLiteStorage.get_logs("mine", name)
    assert [r["step"] for r in rows if "loss/train" in r] == [1, 2, 2]
    assert any(r.get("test/accuracy_high") == 0.95 for r in rows)
    assert any(r.get("report") == "/x/report.html" for r in rows)


def test_wandb_gets_it_too(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="pip install 'braintumor[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    go(run, settings("wandb"))
    wandb.teardown()  # its process writes what is left
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("run-*.wandb"))
    for word in (b"loss/train", b"test/accuracy_low", b"refit/loss/train", b"/x/report.html"):
        assert word in written
    assert not list(tmp_path.rglob("*.png"))


def test_what_is_not_installed_is_refused_with_the_command() -> None:
    check_tracker(None)  # of a run that was made before there were trackers
    check_tracker({"name": "tensorboard"})
    with pytest.raises(ConfigError, match="tracker"):
        check_tracker({"name": "no_such"})
    missing = [n for n in ("wandb", "trackio", "mlflow") if tracking.find_spec(n) is None]
    if not missing:
        pytest.skip("all trackers are installed")
    command = rf"pip install 'braintumor\[{missing[0]}\]', or leave it out: tracker=none"
    with pytest.raises(ConfigError, match=command):
        check_tracker({"name": missing[0]})


class Broken:
    """A tracker whose server is gone."""

    calls = 0

    def __init__(self, *given: Any) -> None: ...

    def epoch(self, *given: Any) -> None:
        Broken.calls += 1
        raise ConnectionError("no route\nto host")

    final = end = epoch


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("braintumor").addHandler(handler)
    yield lines
    logging.getLogger("braintumor").removeHandler(handler)


@pytest.mark.parametrize("opens", [True, False])
def test_a_tracker_that_fails_is_one_line_and_no_end(
    run: RunFolder, opens: bool, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tracking.ADAPTERS, "mlflow", Broken if opens else Broken.epoch)
    asked = settings("mlflow")
    asked["train"]["tensorboard"] = True
    with open_trackers(run, asked) as trackers:
        for epoch in (1, 2):
            trackers.epoch(record(epoch))
        trackers.final(METRICS, "/x/report.html")
    line = "tracker mlflow has failed (no route to host); the run goes on without it"
    assert said == [line]
    assert list(run.path.glob("tensorboard/*"))  # the other goes on
    assert "tracker" not in json.loads(run.status.read_text())


def test_no_setting_says_where_a_tracker_sends() -> None:
    """A run folder may be a stranger's, and its run be resumed here."""
    with pytest.raises(ConfigError, match="uri"):
        check_tracker({"name": "tensorboard", "uri": "http://stranger"})


def test_a_thread_of_a_tracker_prints_no_traceback(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tensorboard's does on a full disk; who calls the tracker next is told."""
    told: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda failed: told.append(failed.thread.name))

    def fail() -> None:
        raise OSError(28, "No space left on device")

    theirs = type("Writer", (threading.Thread,), {"__module__": "tensorboard.summary"})
    with open_trackers(run, settings("none")):
        for kind, name in ((theirs, "theirs"), (threading.Thread, "ours")):
            thread = kind(target=fail, name=name)
            thread.start()
            thread.join()
    assert told == ["ours"]
