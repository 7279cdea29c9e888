"""Folders of sweeps: one for each, used once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from braintumor.cli.flags import held_sweep
from braintumor.errors import ConfigError
from support import TINY, Command

JOB = [*TINY, "train.max_epochs=1", "eval.heatmaps=0", "eval.examples=0"]


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_SWEEP", raising=False)


def test_sweeps_of_one_second_get_two_folders() -> None:
    while True:  # until both began in the same second
        with held_sweep(["bt-train", "-m"]) as one:
            (one / "multirun.yaml").touch()
            with held_sweep(["bt-train", "--multirun"]) as two:
                assert os.environ["BT_SWEEP"] == two.name
                (two / "multirun.yaml").touch()
        assert one != two
        if two.name.startswith(one.name):
            break
    assert two.name == f"{one.name}_2"


@pytest.mark.parametrize("named", ["sw", "'sw'", "'my sweep/a'", "${now:%Y}", "sw/../sw/a=b"])
def test_a_folder_that_is_named_is_used_once(named: str) -> None:
    words = [
        "bt-train",
        "-m",
        f"hydra.sweep.dir={named}" if "=" not in named else f"hydra.sweep.dir='{named}'",
    ]
    arguments = list(words)
    with held_sweep(arguments) as folder:
        assert folder.is_dir()
        (folder / "0").mkdir()
    assert str(folder) in arguments[2].replace("\\", "")
    with (
        pytest.raises(ConfigError, match=r"holds a sweep \(0\).*hydra\.sweep\.dir="),
        held_sweep(list(words)),
    ):
        pass


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "0").write_text("mine")
    with (
        pytest.raises(ConfigError, match="mine is not empty"),
        held_sweep(["bt-train", "-m", "+hydra.sweep.dir=mine"]),
    ):
        pass
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["0"]


def test_a_mistake_leaves_no_folder(bt: Command, tmp_path: Path) -> None:
    for words in (
        ["optimzer.lr=1,2"],
        ["optimzer.lr=1,2", "hydra.sweep.dir=sw"],
        ["hydra.sweep.dir='["],
    ):
        done = bt("train", "-m", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_second_sweep_never_comes_into_the_first(bt: Command, tmp_path: Path) -> None:
    done = bt("train", "-m", *JOB, "seed=0,1", "hydra.sweep.dir=sw", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    before = {path: path.read_bytes() for path in (tmp_path / "sw").rglob("*") if path.is_file()}
    for name in ("0", "1", "comparison.html"):
        assert (tmp_path / "sw" / name).exists()
    done = bt("train", "-m", *JOB, "seed=5", "hydra.sweep.dir=sw", cwd=tmp_path)
    assert done.returncode == 2
    assert "sw holds a sweep" in done.stderr
    assert before == {p: p.read_bytes() for p in (tmp_path / "sw").rglob("*") if p.is_file()}


@pytest.mark.slow
def test_a_job_folder_of_somebody_is_not_written_to(bt: Command, tmp_path: Path) -> None:
    """hydra.sweep.subdir leads out of the sweep: its folder is looked at by itself."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "status.json").write_text("mine")
    done = bt("train", "-m", *JOB, "hydra.sweep.dir=sw", "hydra.sweep.subdir=../mine", cwd=tmp_path)
    assert "mine is not empty" in done.stdout + done.stderr
    assert (tmp_path / "mine" / "status.json").read_text() == "mine"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["status.json"]
