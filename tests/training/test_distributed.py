"""Several processes of torchrun train as one does, agree in everything, and end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
import torch

from braintumor.data.tensors import Augment, Part
from braintumor.errors import ConfigError, MachineError
from braintumor.training.distributed import Team
from braintumor.training.watch import Watch
from small_fit import AUGMENT, CLASSES, TRAIN
from support import QUICK, TINY, Command
from together import CASES, fitted

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
COMMAND = "import sys; sys.argv[0] = 'bt-train'; from braintumor.cli.train import main; main()"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes made of the work in together.py."""
    folder = tmp_path_factory.mktemp("two")
    script = Path(__file__).parents[1] / "together.py"
    subprocess.run(
        [*TORCHRUN, str(script), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "BT_CACHE": str(folder / "cache")},
        check=True,
        timeout=200,
    )
    return torch.load(folder / "results.pt")


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(name: str, two: dict[str, Any], one_thread: None) -> None:
    weights, records = fitted(name)
    for key, tensor in weights.items():
        torch.testing.assert_close(two[name][key], tensor, rtol=0, atol=1e-5, msg=key)
    for ours, theirs in zip(records, two["records"][name], strict=True):
        for figure in ("train_loss", "train_accuracy", "val_loss", "val_macro_f1", "lr"):
            assert theirs[figure] == pytest.approx(getattr(ours, figure), abs=1e-5), figure


def test_processes_have_the_same_weights_after_every_epoch(two: dict[str, Any]) -> None:
    """With dropout and batch norm, whose draws and statistics differ within the epoch."""
    assert len(two["digests"]) == 3
    assert all(len(set(digests)) == 1 for digests in two["digests"])


def test_statistics_of_batch_norm_become_their_mean(two: dict[str, Any]) -> None:
    assert two["norms"] == [[1.0], [2.5]]


def test_resumed_processes_go_on_as_uninterrupted_ones(two: dict[str, Any]) -> None:
    for key, tensor in two["whole"].items():
        assert torch.equal(two["resumed"][key], tensor), key


def test_a_loss_that_is_not_finite_stops_all_with_the_same_words(two: dict[str, Any]) -> None:
    first, second = two["not finite"]
    assert first == second
    assert "the loss became" in first


@pytest.mark.parametrize("count", [2, 3])
def test_parts_of_a_batch_are_augmented_as_the_whole(count: int) -> None:
    augment = Augment(AUGMENT, CLASSES)
    pictures = Augment(AUGMENT.__class__(**vars(AUGMENT) | {"mixup": 0.0}), CLASSES)
    for each in (augment, pictures):
        x, y = TRAIN.images[:16], TRAIN.labels[:16]
        whole = each(x, y, torch.Generator().manual_seed(5))
        for rank in range(count):
            part = Part(rank, count, 16)
            own = (x, y) if each.blends else (part.of(x), part.of(y))
            got = each(*own, torch.Generator().manual_seed(5), part)
            for ours, theirs in zip(got, whole, strict=True):
                torch.testing.assert_close(ours, part.of(theirs), rtol=0, atol=1e-4)


def test_a_batch_that_is_too_small_for_so_many_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size=8 .* 8 need 16 or more"):
        Team(0, 8).check(8)


def test_torchrun_with_one_process_is_a_plain_run(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    one = {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    done = bt("train", *TINY, "train.max_epochs=2", "run_dir=run", cwd=tmp_path, **one)
    assert done.returncode == 0, done.stderr
    own, plain = (torch.load(run / "last.ckpt")["model"] for run in (tmp_path / "run", trained))
    assert all(torch.equal(own[key], tensor) for key, tensor in plain.items())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-m", "seed=0,1"], "leave torchrun out, and add hydra/launcher=gpus"),
        (["folds=3"], "leave torchrun out, and give slots=4"),
    ],
)
def test_several_trainings_are_not_for_torchrun(
    words: list[str], expected: str, bt: Command, tmp_path: Path
) -> None:
    four = {"WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"}
    done = bt("train", *QUICK, *words, cwd=tmp_path, **four)
    assert done.returncode == 2
    assert expected in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_first_process_says_why_another_one_ended() -> None:
    """And not that it was interrupted, which is what the signal of torchrun looks like."""
    here, there = Pipe()
    watch = Watch({here: "process 1 of 2 (from 0), on node2,"})
    there.send("the device is out of memory")
    expected = r"on node2, has ended: the device is out of memory"
    with pytest.raises(MachineError, match=expected), watch.telling():
        raise KeyboardInterrupt
    watch.close()


def test_an_interrupt_while_the_others_live_or_have_said_goodbye_is_one() -> None:
    (here, there), (other, last) = Pipe(), Pipe()
    watch = Watch({here: "process 1", other: "process 2"})
    last.send("")
    last.close()
    with pytest.raises(KeyboardInterrupt), watch.telling():
        raise KeyboardInterrupt
    watch.close()
    there.close()


@pytest.mark.slow
def test_a_killed_process_ends_all_and_one_goes_on(bt: Command, tmp_path: Path) -> None:
    """The run says which one was lost; a single process ends what two had begun."""
    words = [*QUICK, "train.phases=[{epochs: 4, trainable: all}]", "train.max_epochs=null"]
    words += ["run_dir=run", "train.early_stopping.patience=null", "device=cpu"]
    with subprocess.Popen(
        [*TORCHRUN, "--no-python", sys.executable, "-c", COMMAND, *words],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as run:  # fmt: skip
        while not (tmp_path / "run" / "last.ckpt").is_file():
            assert run.poll() is None, run.stderr and run.stderr.read()
            time.sleep(0.05)
        os.kill(_second_of(run.pid), signal.SIGKILL)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["status"] == "failed"
    assert "process 1 of 2 (from 0), on" in status["why"]
    assert "go on with: bt-train resume=run" in status["why"]
    assert "error: process 1 of 2" in errors
    done = len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) - 1
    ended = bt("train", "resume=run", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert f"resuming after epoch {done}" in ended.stdout


def _second_of(agent: int) -> int:
    """The process of rank 1 among the children of torchrun."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    ranks = {pid: Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in children}
    return next(int(pid) for pid, words in ranks.items() if b"RANK=1" in words)
