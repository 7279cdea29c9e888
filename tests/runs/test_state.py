"""last.ckpt: what goes in comes out, and of what is damaged nothing is ever taken."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from braintumor.errors import CheckpointError
from braintumor.runs.folder import RunFolder
from braintumor.runs.state import NoStateError, load_state, save_state

CPU = torch.device("cpu")
TRIES = 200


def state(epoch: int) -> dict[str, Any]:
    """About 300 KB, with what a real one has: nested dicts, numbers, None, many tensors."""
    generator = torch.Generator().manual_seed(epoch)
    weights = {f"layer{i}.weight": torch.randn(64, 64, generator=generator) for i in range(9)}
    moments = {i: {"step": torch.tensor(3.0), "exp_avg": w} for i, w in enumerate(weights.values())}
    return {
        "epoch": epoch, "model": weights, "optimizer": {"state": moments, "param_groups": []},
        "best": {
            "cost": 0.25, "epoch": 1, "phase_cost": 0.25, "bad_epochs": 0,
            "weights": {k: v.clone() for k, v in weights.items()},
        },
        "ema": None, "ema_steps": 0, "phase": 0, "phase_epoch": epoch, "schedule": {"factor": 1.0},
        "scaler": {}, "partial": None, "history": [], "recipe": {},
    }  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Two epochs saved; last.ckpt holds the second."""
    for epoch in (1, 2):
        save_state(RunFolder(tmp_path), state(epoch))
    return RunFolder(tmp_path)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def assert_the_one_before_is_taken(
    run: RunFolder, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    whole, caplog.messages[:] = run.last.read_bytes(), []
    caplog.clear()
    run.last.write_bytes(damaged)
    assert same(load_state(run, CPU), state(1))
    assert f"{run.last} is damaged" in caplog.text and "previous.ckpt" in caplog.text
    assert not run.last.exists()  # or the next save would put it in the place of the good one
    run.last.write_bytes(whole)


def test_the_state_comes_back_exactly(run: RunFolder) -> None:
    assert 250_000 < run.last.stat().st_size < 400_000
    assert same(load_state(run, CPU), state(2))


def test_torch_and_zip_read_it_as_before(run: RunFolder) -> None:
    assert same(torch.load(run.last, weights_only=True), state(2))
    with zipfile.ZipFile(run.last) as file:
        assert file.testzip() is None


def test_a_state_is_written_without_a_copy_in_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    save_state(RunFolder(tmp_path), {"weights": torch.zeros(4_000_000)})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4_000_000  # of 16 MB
    assert not torch.load(tmp_path / "last.ckpt", weights_only=True)["weights"].any()


def test_no_cut_is_taken(run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    whole = run.last.read_bytes()
    for length in np.linspace(0, len(whole) - 1, TRIES).astype(int).tolist():
        assert_the_one_before_is_taken(run, whole[:length], caplog)
    for length in range(len(whole) - 100, len(whole)):  # around the checksum
        assert_the_one_before_is_taken(run, whole[:length], caplog)


def test_no_flipped_bit_is_taken(run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    whole, rng = run.last.read_bytes(), np.random.default_rng(0)
    places = [
        *rng.integers(0, 8 * len(whole), TRIES),
        *range(8 * (len(whole) - 90), 8 * len(whole)),
    ]
    for place in map(int, places):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        assert_the_one_before_is_taken(run, bytes(flipped), caplog)


def test_a_kill_between_the_renames_loses_nothing(run: RunFolder) -> None:
    newest, previous = run.path / "next.ckpt", run.path / "previous.ckpt"
    run.last.replace(newest)  # as it is after last.ckpt became previous.ckpt
    assert load_state(run, CPU)["epoch"] == 2
    previous.unlink()
    assert load_state(run, CPU)["epoch"] == 2
    save_state(run, state(3))
    assert not newest.exists()
    assert load_state(run, CPU)["epoch"] == 3


def test_where_nothing_is_whole_the_damaged_ones_are_named(run: RunFolder) -> None:
    for name in ("last.ckpt", "previous.ckpt"):
        path = run.path / name
        path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"last\.ckpt and previous\.ckpt in .* are damaged"):
        load_state(run, CPU)
    assert run.last.is_file()  # nothing better came in its place


def test_nothing_to_resume_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoStateError, match=r"no last\.ckpt"):
        load_state(RunFolder(tmp_path), CPU)


def test_a_state_without_a_checksum_is_not_taken(run: RunFolder) -> None:
    torch.save(state(5), run.last)
    assert load_state(run, CPU)["epoch"] == 1


class _Code:
    """A pickle that makes a file where it is loaded as Python would."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.made,)


def test_code_in_a_state_is_not_run_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    run, made = RunFolder(tmp_path), tmp_path / "made"
    save_state(run, {"epoch": _Code(made)})  # under a checksum that is right
    with pytest.raises(CheckpointError, match=r"last\.ckpt in .* is damaged"):
        load_state(run, CPU)
    assert not made.exists()
    torch.load(run.last, weights_only=False)
    assert made.exists()
