"""Sweeps on clusters, by Hydra's own launchers: what is begun again goes on by itself."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from safetensors.numpy import load_file

import hydra_plugins
from braintumor.runs.folder import RunFolder
from support import QUICK, Command

pytestmark = pytest.mark.usefixtures("no_drawings")

FAKE = Path(__file__).parents[1] / "fake_slurm.py"
PYTHON = sys.executable
SHORT = [*QUICK, "data.image_size=48", "eval.views=1"]
LONG = [*SHORT, "train.max_epochs=6", "train.ema_decay=0"]


@pytest.fixture
def slurm(tmp_path: Path, warm_python: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a cluster whose commands are on the path."""
    pytest.importorskip("submitit", reason="submitit is not here: pip install .[slurm]")
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install .[slurm]")
    folder = tmp_path / "cluster"
    folder.mkdir()
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        (folder / name).write_text(f"#!{sys.base_prefix}/bin/python3 -SE\n{FAKE.read_text()}")
        (folder / name).chmod(0o755)
    (folder / "fake_slurm.py").write_text(FAKE.read_text())
    text = (folder / "sbatch").read_text().replace("__file__, ", f"{str(FAKE)!r}, ")
    (folder / "sbatch").write_text(text)
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_a_job_that_slurm_takes_away_goes_on(slurm: Path, bt: Command, tmp_path: Path) -> None:
    """SIGUSR2 after an epoch: the job is put back into the queue, and goes on where it was."""
    sweep = tmp_path / "sw"
    done = bt(
        "train", "-m", *LONG, "seed=0", "hydra.sweep.dir=sw", "hydra/launcher=submitit_slurm",
        "hydra.launcher.partition=gpu", "hydra.launcher.gpus_per_node=1",
        cwd=tmp_path, FAKE_SLURM_PREEMPT=str(sweep / "0" / "last.ckpt"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + (slurm / "srun.log").read_text()
    script = (slurm / "submitted.sh").read_text()
    assert "--partition=gpu" in script and "--gpus-per-node=1" in script
    assert (slurm / "preempted").exists()
    assert_went_on(sweep / "0", bt, tmp_path)


def assert_went_on(run: Path, bt: Command, tmp_path: Path, says: str = "interrupted") -> None:
    """It was cut off once, and nobody could tell from its weights."""
    log = (run / "train.log").read_text()
    assert says in log and re.search(r"resuming after epoch [1-5]", log)
    epochs = re.findall(r"epoch (\d)/6 ", log)
    assert epochs == list("123456")
    assert RunFolder(run).read_status()["status"] == "completed"
    bt("train", *LONG, "seed=0", "run_dir=whole", cwd=tmp_path, code=0)
    weights, whole = (load_file(f / "best.safetensors") for f in (run, tmp_path / "whole"))
    assert weights.keys() == whole.keys()
    assert all((weights[key] == whole[key]).all() for key in weights)


@pytest.mark.parametrize("name", ["USR1", "USR2"])
def test_submitit_on_this_machine_puts_a_job_back_and_it_goes_on(
    name: str, warm_python: Path, bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submitit's local executor itself; the signal is the one that it waits for."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install .[slurm]")
    run = tmp_path / "sw" / "0"
    python = tmp_path / "python"  # the process that watches the job must have the number it is told
    python.write_text(
        f'#!/bin/sh\ncase "$2" in submitit.local._local) exec {PYTHON} "$@";; esac\n'
        f'exec {warm_python} "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    given = (run / "last.ckpt", signal.Signals[f"SIG{name}"], [b"submitit.core._submit"], tmp_path)
    thread = threading.Thread(target=signal_when, args=given)
    thread.start()
    done = bt(
        "train", "-m", *LONG, "seed=0", f"hydra.sweep.dir={tmp_path / 'sw'}",
        "hydra/launcher=submitit_local", cwd=tmp_path, SUBMITIT_PREEMPT_SIGNAL=name,
    )  # fmt: skip
    thread.join()
    assert done.returncode == 0, done.stderr
    assert_went_on(run, bt, tmp_path)


@pytest.mark.slow  # Ray itself takes half a minute to start
def test_a_job_that_ray_loses_goes_on(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL to its process: Ray begins the job again, which finds what it had saved."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="pip install .[ray]")
    ray = pytest.importorskip("ray", reason="Ray is not here: pip install .[ray]")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    run = tmp_path / "sw" / "0"
    words = [b"ray::_run_job"]
    thread = threading.Thread(
        target=signal_when, args=(run / "last.ckpt", signal.SIGKILL, words, tmp_path)
    )
    thread.start()
    try:
        done = bt(
            "train", "-m", *LONG, "seed=0", f"hydra.sweep.dir={tmp_path / 'sw'}",
            "hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2",
            "+hydra.launcher.ray.init.include_dashboard=false", cwd=tmp_path,
        )  # fmt: skip
    finally:
        ray.shutdown()
        thread.join()
    if "timed out during startup" in done.stderr:
        pytest.skip("Ray does not start here: " + done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert_went_on(run, bt, tmp_path, says="")


def signal_when(file: Path, number: signal.Signals, words: list[bytes], folder: Path) -> None:
    """To the processes that work in the folder and have the words in their command."""
    until = time.monotonic() + 120
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.01)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if all(word in command for word in words) and (process / "cwd").readlink() == folder:
                os.kill(int(process.name), number)


BROKEN = """
from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher

class BrokenLauncher(Launcher):
    def setup(self, **given): ...
    def launch(self, job_overrides, initial_job_idx):
        raise Exception("The current node timed out during startup.\\nMore of that.")

target = "hydra_plugins.a_cluster.a_launcher.BrokenLauncher"
ConfigStore.instance().store(group="hydra/launcher", name="broken", node={"_target_": target})
"""


def test_a_launcher_that_fails_is_no_bug_of_ours(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray's where no node starts, or submitit's where sbatch refuses a job."""
    folder = tmp_path / "hydra_plugins/a_cluster"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "a_launcher.py").write_text(BROKEN)
    monkeypatch.setattr("hydra_plugins.__path__", [*hydra_plugins.__path__, str(folder.parent)])
    plugins = type.__call__(
        Plugins
    )  # Plugins() is the one of this process, which has looked already
    monkeypatch.setattr(Plugins, "instance", lambda *given: plugins)
    done = bt("train", "-m", *SHORT, "seed=0", "hydra/launcher=broken", cwd=tmp_path, code=3)
    assert "a_cluster did not get the jobs of the sweep done: The current node timed" in done.stderr
    assert "bug in braintumor" not in done.stderr
    assert "Traceback" not in done.stderr
