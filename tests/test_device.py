"""Which device is taken; a wrong name is answered by one that is here."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from braintumor import runtime
from braintumor.errors import ConfigError
from braintumor.runtime import (
    choose_device,
    choose_precision,
    configure_torch,
    environment,
)


def test_auto_and_cpu() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize(
    "name", [0, 1, "0", "gpu", "GPU", "cuda:9", "mps", "xpu", "cpu:1", "cuda:x", ""]
)
def test_the_device_that_is_advised_is_taken(
    monkeypatch: pytest.MonkeyPatch, count: int, name: str | int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ConfigError, match=f"^device={name}") as refused:
        choose_device(name)
    advised = str(refused.value).rpartition("use device=")[2]
    assert choose_device(advised).type == ("cuda" if count else "cpu")
    if count and name in (1, "1"):
        assert advised == "cuda:1"


@pytest.mark.parametrize("built_for", [None, "13.0"])
def test_a_gpu_that_torch_cannot_use_is_named(
    built_for: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    caplog.set_level(logging.WARNING, "braintumor")
    monkeypatch.setattr(runtime, "_DRIVER", tmp_path / "none")
    assert choose_device("auto").type == "cpu" and not caplog.messages
    monkeypatch.setattr(runtime, "_DRIVER", tmp_path)
    assert choose_device("auto").type == "cpu"
    assert f"CUDA {built_for}" in caplog.text if built_for else "without CUDA" in caplog.text
    assert "docs/gpu.md" in caplog.text and "device=cpu" in caplog.text
    with pytest.raises(ConfigError, match=r"docs/gpu\.md"):
        choose_device("cuda")
    caplog.clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
    assert choose_device("auto").type == "cpu" and not caplog.messages


def test_apple_gpu_is_taken_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("mps") == torch.device("mps")
    assert choose_precision("auto", torch.device("mps")) == torch.float32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto").type == "cuda"


def test_the_chosen_gpu_is_the_current_one_and_the_one_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"name of {device}")
    # both are written, and come back afterwards
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    before = torch.get_float32_matmul_precision()
    try:
        device = choose_device("cuda:1")
        for precision, is_exact in (("tf32", False), ("auto", True), ("fp32", True)):
            configure_torch(device, precision)  # type: ignore[arg-type]
            assert (torch.get_float32_matmul_precision() == "highest") == is_exact
            assert torch.backends.cudnn.allow_tf32 != is_exact
    finally:
        torch.set_float32_matmul_precision(before)
    assert chosen == [device] * 3
    assert environment((), "cuda:1")["gpu"] == "name of cuda:1"
    assert environment((), "cpu")["gpu"] is None


def test_tf32_is_for_cuda() -> None:
    with pytest.raises(ConfigError, match="tf32 needs a CUDA device"):
        choose_precision("tf32", torch.device("cpu"))
