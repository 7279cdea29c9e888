"""Folders of sweeps: one for each, taken again by the same sweep alone."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from braintumor.cli.flags import choose_launcher, held_sweep
from braintumor.errors import CheckpointError, ConfigError
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import SWEEP
from braintumor.runs.ownership import mark
from braintumor.workflows.arguments import Request
from braintumor.workflows.compose import compose
from braintumor.workflows.resume import left_of_job
from braintumor.workflows.train import train
from support import QUICK, TINY, Command, cut

JOB = [*QUICK, "data.image_size=48", "eval.views=1"]


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
        done = bt("train", "-m", *words, cwd=tmp_path, code=2)
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_drawings", "one_thread")
def test_a_second_sweep_never_comes_into_the_first(bt: Command, tmp_path: Path) -> None:
    bt("train", "-m", *JOB, "seed=0,1", "hydra.sweep.dir=sw", cwd=tmp_path, code=0)
    before = {path: path.read_bytes() for path in (tmp_path / "sw").rglob("*") if path.is_file()}
    for name in ("0", "1", "comparison.html"):
        assert (tmp_path / "sw" / name).exists()
    done = bt("train", "-m", *JOB, "seed=5", "hydra.sweep.dir=sw", cwd=tmp_path, code=2)
    assert "sw holds a sweep of other settings (seed=0,1 there, seed=5 here)" in done.stderr
    assert before == {p: p.read_bytes() for p in (tmp_path / "sw").rglob("*") if p.is_file()}


def test_a_job_folder_of_somebody_is_not_written_to(bt: Command, tmp_path: Path) -> None:
    """hydra.sweep.subdir leads out of the sweep: its folder is looked at by itself."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "status.json").write_text("mine")
    done = bt("train", "-m", *JOB, "hydra.sweep.dir=sw", "hydra.sweep.subdir=../mine", cwd=tmp_path)
    assert "mine is not empty" in done.stdout + done.stderr
    assert (tmp_path / "mine" / "status.json").read_text() == "mine"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["status.json"]


def test_the_same_sweep_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    words = ["model=cnn,cnn_se", "seed=0,1", "device=cpu"]
    sweep = tmp_path / "sw"
    (sweep / "0").mkdir(parents=True)
    hydra = {
        "overrides": {"task": words}, "job": {"config_name": "train"}, "sweeper": {"params": None},
        "runtime": {"choices": {"hydra/sweeper": "basic"}},
        "sweep": {"subdir": "${hydra.job.num}"},
    }  # fmt: skip
    (sweep / "multirun.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    mark(sweep, SWEEP)

    def ask(*words: str) -> None:
        with held_sweep(["bt-train", "-m", *words, f"hydra.sweep.dir={sweep}"]) as folder:
            assert folder == sweep

    ask("model=cnn,cnn_se", "seed=0,1")
    ask("model=cnn,cnn_se", "seed=0,1", "hydra/launcher=gpus", "hydra.launcher.slots=2")
    with pytest.raises(ConfigError, match=r"seed=0,1 there, seed=0,1,2 here.*resume="):
        ask("model=cnn,cnn_se", "seed=0,1,2")
    with pytest.raises(ConfigError, match=r"nothing else there, optimizer\.lr=1 here"):
        ask("model=cnn,cnn_se", "seed=0,1", "optimizer.lr=1")
    with pytest.raises(ConfigError, match="another order"):  # whose jobs have other numbers
        ask("seed=0,1", "model=cnn,cnn_se")
    for number in range(4):
        (sweep / str(number)).mkdir(exist_ok=True)
        (sweep / str(number) / "config.yaml").write_text("{}")
        RunFolder(sweep / str(number)).set_status("completed")
    with pytest.raises(CheckpointError, match="complete \\(4 jobs\\)"):
        ask("model=cnn,cnn_se", "seed=0,1")


@pytest.mark.usefixtures("no_drawings", "one_thread")
def test_a_job_goes_on_by_itself_where_its_settings_are_the_same(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    """As under a batch system, which begins the same command again: complete, cut off, other."""
    shutil.copytree(trained, tmp_path / "sw" / "0")
    words = [*TINY, "train.max_epochs=2"]
    job = replace(compose("train", words, {}), sweep_folder=tmp_path / "sw" / "0")
    assert left_of_job(job) is None
    moved = replace(job, settings=job.settings | {"device": "cuda:3"})
    assert left_of_job(moved) is None
    cut(tmp_path / "sw" / "0", epochs=True)
    left = left_of_job(job)
    assert left is not None and left.settings["resume"] == str(tmp_path / "sw" / "0")
    other = replace(compose("train", [*words, "seed=1"], {}), sweep_folder=job.sweep_folder)
    with pytest.raises(ConfigError, match=r"other settings \(seed: 0 there, 1 here\)"):
        left_of_job(other)
    before = (trained / "metrics.csv").read_bytes()
    train(job)
    assert "resuming after epoch 2" in (tmp_path / "sw" / "0" / "train.log").read_text()
    assert (tmp_path / "sw" / "0" / "metrics.csv").read_bytes() == before
    assert RunFolder(tmp_path / "sw" / "0").read_status()["status"] == "completed"


def test_more_than_one_gpu_means_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(*words: str, gpus: str) -> bool:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
        arguments = ["bt-train", *words]
        choose_launcher(arguments, "train")
        return "hydra/launcher=gpus" in arguments

    assert chosen("-m", "seed=0,1", gpus="0,1")
    assert not chosen("-m", "seed=0,1", gpus="0")
    assert not chosen("seed=0", gpus="0,1")
    assert not chosen("-m", "seed=0,1", "hydra/launcher=joblib", gpus="0,1")
    assert not chosen("-m", "seed=0,1", "device=cpu", gpus="0,1")


def test_a_request_reaches_another_process_as_it_is() -> None:
    asked = replace(compose("train", [*TINY, "seed=3"], {}), sweep_folder=Path("sw/0"))
    assert Request.from_json(asked.to_json()) == asked


@pytest.mark.usefixtures("warm_python")
def test_the_queue_runs_real_jobs_and_goes_on(bt: Command, tmp_path: Path) -> None:
    """A job that is well, and one that cannot be; then the same command for what is left."""
    words = [
        "-m", *QUICK, "data.image_size=48", "eval.views=1",
        "model.backbone.weights=none,nowhere.safetensors", "hydra.sweep.dir=sw",
        "hydra/launcher=gpus", "hydra.launcher.slots=2",
    ]  # fmt: skip
    done = bt("train", *words, cwd=tmp_path, code=2)
    assert "1 of 2 jobs failed (1)" in done.stderr
    sweep = tmp_path / "sw"
    assert RunFolder(sweep / "0").read_status()["status"] == "completed"
    status = RunFolder(sweep / "1").read_status()
    assert status["status"] == "failed" and "nowhere.safetensors" in status["why"]
    assert "epoch 1/1" in (sweep / "0" / "train.log").read_text()
    assert "nowhere.safetensors" in (sweep / "1" / "train.log").read_text()
    before = (sweep / "0" / "status.json").read_bytes()
    os.link(sweep / "multirun.yaml", tmp_path / "as it was")
    again = bt("train", *words, cwd=tmp_path)
    # replaced whole, and not written into, where a kill would leave half of it
    assert not (sweep / "multirun.yaml").samefile(tmp_path / "as it was")
    assert (sweep / "multirun.yaml").read_text() == (tmp_path / "as it was").read_text()
    assert "1 of 2 jobs are complete" in again.stdout
    assert (sweep / "0" / "status.json").read_bytes() == before
    assert [row.split(",")[0] for row in (sweep / "jobs.csv").read_text().splitlines()[1:]] == [
        "0", "1", "1",
    ]  # fmt: skip
