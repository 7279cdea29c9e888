"""Which GPUs there are, and how they are shared out."""

from __future__ import annotations

from pathlib import Path

import pytest

from braintumor.errors import ConfigError
from braintumor.jobs.slots import find_gpus, make_slots
from braintumor.runtime import cores


@pytest.fixture
def four_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A box whose nvidia-smi lists four, one of them cut in two."""
    program = tmp_path / "nvidia-smi"
    lines = "".join(f"GPU {n}: NVIDIA A100 (UUID: GPU-{n})\\n" for n in range(4))
    program.write_text(f"#!/bin/sh\nprintf '{lines}  MIG 1g.5gb Device 0: (UUID: MIG-0)\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("four_gpus")
def test_a_slot_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_gpus() == ["0", "1", "2", "3"]
    assert [slot.gpu for slot in make_slots(None)] == ["0", "1", "2", "3"]
    # two on each: all GPUs have one before any has two
    assert [slot.gpu for slot in make_slots(None, 2)] == ["0", "1", "2", "3"] * 2
    assert [slot.gpu for slot in make_slots(3, 2)] == ["0", "1", "2"]
    # of folds and seeds as many as are asked for, whatever GPUs there are
    assert [slot.gpu for slot in make_slots(6, None)] == ["0", "1", "2", "3", "0", "1"]
    assert make_slots(None)[2].environment()["CUDA_VISIBLE_DEVICES"] == "2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert [slot.gpu for slot in make_slots(None)] == ["3", "1"]
    for per_gpu in (1, None):
        assert [slot.gpu for slot in make_slots(None, per_gpu, device="cpu")] == [None]
    with pytest.raises(ConfigError, match="one device"):
        make_slots(None, device="cuda:1")


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert find_gpus() == []
    assert len(make_slots(None)) == 1
    slots = make_slots(2)
    assert [slot.gpu for slot in slots] == [None, None]
    share = str(max(1, cores() // 2))
    assert {slot.environment()["OMP_NUM_THREADS"] for slot in slots} == {share}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert make_slots(1)[0].threads == 1
    with pytest.raises(ConfigError, match="slots=0"):
        make_slots(0)
