"""A GPU that computes nothing: shapes, types and devices are those of a real one.

What would wait for a GPU raises DataDependentOutputException, tensors of two devices in one
operation raise. Copies to the host are counted and hold zeros; what happens there is computed.
No backward pass: the engine of torch asks a real device for its stream, whoever traces it (make_fx
and AOTAutograd run that engine too); test_fake_cuda.py runs it on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

M = TypeVar("M", bound=nn.Module)


class FakeGPU(TorchDispatchMode):
    """reads: copies from the device to the host, each of which waits.

    doubles: names of operations that made a float64 tensor on the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.doubles: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        there = [leaf for leaf in leaves if isinstance(leaf, FakeTensor)]
        asked = kwargs.get("device")
        if not there and (asked is None or torch.device(asked).type == "cpu"):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        out = func(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        if there and any(leaf.device.type == "cpu" for leaf in made):
            self.reads += 1
            with unset_fake_temporarily():
                return tree_map_only(Tensor, lambda t: torch.zeros(t.shape, dtype=t.dtype), out)
        if any(leaf.dtype == torch.float64 for leaf in made):
            self.doubles.append(str(func))
        return out

    def put(self, build: Callable[[], M]) -> M:
        """What `build` gives, with its parameters and buffers on the device."""
        with _disable_current_modes():  # many times as fast
            module = build()
        for part in module.modules():
            for held in (part._parameters, part._buffers):
                for name, tensor in held.items():
                    if tensor is None:
                        continue
                    there = torch.empty_strided(
                        tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda"
                    )
                    is_parameter, grad = isinstance(tensor, nn.Parameter), tensor.requires_grad
                    held[name] = nn.Parameter(there, grad) if is_parameter else there
        return module


class _Generator(torch.Generator):
    """One of the CPU that says it is on the device."""

    def __new__(cls, device: str | torch.device = "cpu") -> _Generator:
        made = super().__new__(cls, "cpu")
        made.__dict__["where"] = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        where: torch.device = self.__dict__["where"]
        return where


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGPU]:
    """Within, device="cuda" is there."""
    with monkeypatch.context() as patch, FakeTensorMode(allow_non_fake_inputs=True):
        patch.setattr(torch, "Generator", _Generator)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        patch.setattr(Tensor, "pin_memory", lambda self: self)
        with FakeGPU() as gpu:
            yield gpu
