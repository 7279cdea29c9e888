"""A GPU that fails, or lacks an operation, is answered in a sentence and with exit code 3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from braintumor.cli import train as train_command
from braintumor.errors import device_failure
from support import Command

STICKY = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ..."
MPS = "The operator 'aten::_standard_gamma' is not currently implemented for the MPS device."


def failing(error: Exception, begun: list[Any]) -> Callable[[Any], None]:
    def run(request: Any) -> None:
        begun.append(request)
        raise error

    return run


@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError])
def test_a_lost_gpu_ends_the_sweep(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(train_command, "run", failing(kind(STICKY), begun))
    done = bt("train", "-m", "seed=1,2,3", "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert len(begun) == 1
    assert done.returncode == 3
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the GPU stopped working (CUDA error: an illegal memory access")
    assert "bug in braintumor" not in done.stderr
    bt("train", "seed=1", cwd=tmp_path, code=3)


def test_a_gpu_too_old_for_this_torch_is_not_called_broken() -> None:
    said = device_failure(torch.AcceleratorError(
        "CUDA error: no kernel image is available for execution on the device\nSearch for ..."
    ))  # fmt: skip
    assert "as old as the one here" in said
    assert "docs/gpu.md" in said


def test_other_errors_are_not_of_the_gpu(tmp_path: Path) -> None:
    assert not device_failure(RuntimeError("CUDA error: out of memory"))
    assert not device_failure(RuntimeError("shape mismatch"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotImplementedError(MPS), ("PYTORCH_ENABLE_MPS_FALLBACK=1", "aten::_standard_gamma")),
        (RuntimeError("CUDA error: out of memory"), ("lower the batch size",)),
    ],
)
def test_what_the_device_cannot_do_is_said(
    bt: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: tuple[str, ...],
) -> None:
    monkeypatch.setattr(train_command, "run", failing(error, []))
    done = bt("train", cwd=tmp_path, code=3)
    assert all(word in done.stderr for word in words)
