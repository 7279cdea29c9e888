"""Which device is taken; a wrong name is answered by one that is here."""

from __future__ import annotations

import pytest
import torch

from braintumor.errors import ConfigError
from braintumor.runtime import choose_device


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
