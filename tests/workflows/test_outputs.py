"""Where commands write: never over what is not theirs, never over work unless that is said."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import TINY, Command

pytestmark = pytest.mark.usefixtures("no_drawings")

QUICK = ["eval.heatmaps=0", "eval.examples=0"]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of somebody, with files that are called as ours are."""
    names = [
        "plots/thesis.pdf", "plots/curves.png", "eval/test/report.html", "refit/last.ckpt",
        "tensorboard/events.out.tfevents.1", "cam/00000.png", "predictions.csv", "report.html",
        "metrics.csv", "train.log", "last.ckpt", "config.yaml", "manifest.csv", "matrix.csv",
        "comparison.html", "status.json", "leaderboard.tex", "errors.csv",
        "eval/test/errors.csv", "eval/test/wrong/0001_glioma_as_no_tumor.png",
    ]  # fmt: skip
    for name in names:
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (tmp_path / "mine" / "status.json").write_text('{"status": "completed", "parts": [".."]}')
    return tmp_path / "mine"


@pytest.mark.parametrize("overwrite", ["false", "true"])
@pytest.mark.parametrize(
    "command",
    [
        ["train", *TINY],
        ["train", *TINY, "seeds=[0,1]"],
        ["eval", "ckpt=RUN"],
        ["eval", "ckpt=RUN", "on=[phantom]"],
        ["predict", "ckpt=RUN", "input=RUN/plots/samples.png"],
        ["data", "data.patients=12"],
        ["compare", "runs=[RUN]"],
    ],
    ids=["train", "seeds", "eval", "matrix", "predict", "data", "compare"],
)
def test_no_command_touches_a_folder_of_somebody_else(
    bt: Command, trained: Path, mine: Path, command: list[str], overwrite: str
) -> None:
    before = contents(mine)
    words = [word.replace("RUN", str(trained)) for word in command]
    done = bt(*words, "run_dir=mine", f"overwrite={overwrite}", cwd=mine.parent, code=2)
    assert "mine is not empty" in done.stderr and "run_dir=" in done.stderr
    assert contents(mine) == before


def test_a_run_is_replaced_when_that_is_said_and_the_files_of_others_stay(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    others = ["thesis.pdf", "plots/thesis.pdf", "eval/test/cam/mine.png", "eval/mine/report.html"]
    others += ["eval/test/wrong/mine.png"]
    for name in others:
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text("mine")
    (tmp_path / "run" / "eval" / "test_2").mkdir()
    wrong = tmp_path / "run" / "eval" / "test" / "wrong" / "0001_glioma_as_no_tumor.png"
    shutil.copy(tmp_path / "run" / "plots" / "samples.png", wrong)  # of the former run
    before = contents(tmp_path / "run")
    options = [*TINY, *QUICK, "train.max_epochs=1", "seed=7", "run_dir=run"]
    refused = bt("train", *options, cwd=tmp_path, code=2)
    assert "(completed)" in refused.stderr and "overwrite=true" in refused.stderr
    assert contents(tmp_path / "run") == before
    bt("train", *options, "overwrite=true", cwd=tmp_path, code=0)
    after = contents(tmp_path / "run")
    assert all(after[name] == b"mine" for name in others)
    assert json.loads(after["status.json"])["seed"] == 7
    assert len(after["metrics.csv"].splitlines()) == 2
    assert not any(name.startswith("eval/test/cam/0") for name in after)  # of the former run
    assert not wrong.exists()


def test_an_evaluation_in_the_run_is_beside_the_former_one_unless_said(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    report = tmp_path / "run" / "eval" / "test" / "report.html"
    before = report.read_bytes()
    done = bt("eval", "ckpt=run", *QUICK, cwd=tmp_path, code=0)
    assert "eval/test is there and stays" in done.stdout
    assert "report: run/eval/test_2/report.html" in done.stdout
    assert report.read_bytes() == before
    bt("eval", "ckpt=run", *QUICK, "overwrite=true", cwd=tmp_path, code=0)
    assert report.read_bytes() != before
    made = sorted(path.name for path in report.parents[1].glob("*test*"))
    assert made == ["test", "test_2"]  # and nothing half-written


def test_outputs_are_replaced_only_when_that_is_said(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    picture = trained / "plots" / "samples.png"
    words = ["predict", f"ckpt={trained}", f"input={picture}", "run_dir=out"]
    bt(*words, cwd=tmp_path, code=0)
    (tmp_path / "out" / "cam" / "mine.png").write_text("mine")
    assert (tmp_path / "out" / "cam" / "00000.png").is_file()
    refused = bt(*words, "overlays=0", cwd=tmp_path, code=2)
    assert "overwrite=true" in refused.stderr
    bt(*words, "overlays=0", "overwrite=true", cwd=tmp_path, code=0)
    assert [path.name for path in (tmp_path / "out" / "cam").iterdir()] == ["mine.png"]


def test_commands_of_one_second_get_folders_of_their_own(
    bt: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "predictions").mkdir()
    monkeypatch.setattr("braintumor.workflows.outputs.datetime", _Frozen)
    for _ in range(2):
        picture = trained / "plots" / "samples.png"
        bt("predict", f"ckpt={trained}", f"input={picture}", "overlays=0", cwd=tmp_path, code=0)
    names = sorted(path.name for path in (tmp_path / "predictions").iterdir())
    assert names == ["noon", "noon_2"]


class _Frozen:
    @staticmethod
    def now() -> _Frozen:
        return _Frozen()

    def __format__(self, _: str) -> str:
        return "noon"


@pytest.mark.slow
def test_a_running_run_is_neither_replaced_nor_resumed_nor_doubled(
    bt: Command, tmp_path: Path
) -> None:
    endless = [*TINY, "train.max_epochs=null", "train.early_stopping.patience=null", "run_dir=run"]
    endless += ["train.phases=[{epochs: 100000, trainable: all}]"]
    code = "from braintumor.cli.train import main; main()"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *endless], cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "last.ckpt").is_file():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        for words in (
            ["run_dir=run", *TINY],
            ["run_dir=run", "overwrite=true", *TINY],
            ["resume=run"],
        ):
            done = bt("train", *words, cwd=tmp_path, code=2)
            assert f"run is in use: process {process.pid} on " in done.stderr
            assert "since 20" in done.stderr and "bt-train resume=run" in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    done = bt("train", *endless, cwd=tmp_path, code=2)
    assert "(running)" in done.stderr and "bt-train resume=run" in done.stderr
