"""Sweeps on clusters, by Hydra's own launchers: what is begun again goes on by itself."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from braintumor.runs.folder import RunFolder
from support import QUICK, Command

FAKE = Path(__file__).parents[1] / "fake_slurm.py"
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
    log = (sweep / "0" / "train.log").read_text()
    assert "interrupted" in log and re.search(r"resuming after epoch [1-5]", log)
    epochs = re.findall(r"epoch (\d)/6 ", log)
    assert len(epochs) == len(set(epochs)) and epochs[-1] == "6"
    assert RunFolder(sweep / "0").read_status()["status"] == "completed"
