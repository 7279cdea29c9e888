"""The run folder: status, history, names."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from unittest.mock import ANY

import pytest

from braintumor.comparison.read import read_runs
from braintumor.errors import CheckpointError
from braintumor.files import write_rows
from braintumor.records import EpochRecord
from braintumor.runs.folder import RunFolder, open_run, run_around
from braintumor.runs.history import read_history, read_record, set_rows


def record(epoch: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch, phase=1, lr=1e-3, train_loss=1 / epoch, train_accuracy=0.5, val_loss=0.1,
        val_accuracy=0.5, val_balanced_accuracy=0.5, val_macro_f1=0.5, val_auroc=float("nan"),
        images_per_s=10, seconds=1, is_best=epoch == 2,
    )  # fmt: skip


def test_status_keeps_facts_and_replaces_the_state(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.set_status("running", model_name="cnn_se")
    run.set_status("failed", why="no disk")
    status = run.read_status()
    assert (status["status"], status["why"], status["model_name"]) == (
        "failed",
        "no disk",
        "cnn_se",
    )
    run.set_status("completed")
    assert "why" not in run.read_status()


@pytest.mark.parametrize("part", ["../other", "a/b", "", "x" * 101, "f\0", "\x1b[2J"])
def test_a_part_that_is_no_folder_of_the_run_is_damage(part: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.status.write_text(json.dumps({"status": "completed", "parts": ["fold_0", part]}))
    with pytest.raises(CheckpointError, match=r"status\.json is damaged"):
        _ = run.parts


def test_null_is_as_good_as_absent_for_whoever_reads_a_status(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.status.write_text('{"status": "completed", "parts": null, "overrides": null}')
    assert (run.parts, run.read_status()) == ([], {"status": "completed"})
    run.evaluation("test").mkdir(parents=True)
    (run.evaluation("test") / "metrics.json").write_text('{"all": {}}')
    assert [each.folder.path for each in read_runs([tmp_path], "test")] == [tmp_path]


def test_history_comes_back_exactly_and_can_be_cut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(tmp_path)
    all_rows = [dataclasses.asdict(record(epoch)) for epoch in (1, 2, 3)]
    write_rows(run.history, all_rows)
    history = read_history(run.history)
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["train_loss"].tolist() == [1.0, 0.5, 1 / 3]
    assert history["is_best"].tolist() == [False, True, False]
    assert read_record(run.history, 3) == dataclasses.replace(record(3), val_auroc=ANY)
    text = run.history.read_text()
    rows = all_rows[:2]
    set_rows(run.history, rows)
    assert not caplog.messages
    write_rows(run.history, all_rows)
    assert run.history.read_text() == text
    for damaged in ("", text[:150], text.replace("0.5", "0.6", 1), text.replace("0.5", "half")):
        run.history.write_text(damaged)
        caplog.clear()
        set_rows(run.history, rows)
        assert "last.ckpt" in caplog.text
        write_rows(run.history, all_rows)
        assert run.history.read_text() == text
    set_rows(run.history, [])
    assert not run.history.exists()


def test_open_run_refuses_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no run folder"):
        open_run(tmp_path / "nope")
    with pytest.raises(CheckpointError, match=r"no config\.yaml"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    "part", ["last.ckpt", "best.safetensors", "config.yaml", "eval", "eval/test/floors.csv"]
)
def test_a_part_of_a_run_stands_for_the_run_and_nothing_else_does(
    tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "eval" / "run"
    run.mkdir(parents=True)
    assert run_around(run / part) == run / part  # a folder of another kind
    RunFolder(run).set_status("running")
    assert run_around(run / part) == run
    for other in (run, run / "model.pt", run / "fold_9", tmp_path / "last.ckpt"):
        assert run_around(other) == other
    monkeypatch.chdir(run)
    assert run_around(Path(part)) == Path()


def test_a_file_of_a_sweep_stands_for_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "multirun.yaml").touch()
    RunFolder(tmp_path / "0").path.mkdir()
    RunFolder(tmp_path / "0").set_status("running")
    assert run_around(tmp_path / "multirun.yaml") == tmp_path
    assert run_around(tmp_path / "0/last.ckpt") == tmp_path / "0"


def test_a_name_that_no_run_has_names_the_run_around_it(tmp_path: Path) -> None:
    RunFolder(tmp_path).set_status("running")
    with pytest.raises(CheckpointError, match=f"; the run is {tmp_path}$"):
        open_run(tmp_path / "best.pt")
