"""torch without its compiler: torch._dynamo takes two seconds to import, and few runs use it.

Three places ask for it whatever is done: torchvision, which timm imports, for an operator of object
detection; every step of every optimizer, to tell the compiler where a graph ends; and the meta
device, where most operations are functions that no compiler may look into.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

import torch
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

_COMPILER = "torch._dynamo"
_GIVES_VALUES = frozenset((  # methods of tensors and functions of nn.init that networks begin with
    "normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_",
    "xavier_uniform_", "xavier_normal_", "constant_", "fill_", "zero_", "zeros_", "ones_",
    "erfinv_", "mul_", "add_", "clamp_",
))  # fmt: skip
# of an optimizer, each of which imports the compiler only to be left alone by it
_METHODS = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


@contextmanager
def without_compiler() -> Iterator[None]:
    """What asks for the compiler inside the block gets a stand-in, which compiles nothing."""
    if _COMPILER in sys.modules:
        yield
        return

    def is_compile_supported(device_type: Any) -> bool:
        from torch._dynamo.utils import is_compile_supported  # two seconds, seldom needed

        return bool(is_compile_supported(device_type))

    def disable(fn: Any = None, recursive: bool = True, **_: Any) -> Any:
        if fn is None:  # a decorator with options
            return functools.partial(disable, recursive=recursive)

        @functools.wraps(fn)
        def run(*args: Any, **kwargs: Any) -> Any:
            compiler = sys.modules.get(_COMPILER, stand_in)
            if compiler is stand_in:  # nothing is compiled that this might be kept out of
                return fn(*args, **kwargs)
            fn.__dynamo_disable = compiler.disable(fn, recursive)  # for the next call
            return fn.__dynamo_disable(*args, **kwargs)

        return run

    stand_in, utils = ModuleType(_COMPILER), ModuleType(f"{_COMPILER}.utils")
    vars(utils)["is_compile_supported"] = is_compile_supported
    vars(stand_in).update(utils=utils, disable=disable)
    modules = {_COMPILER: stand_in, utils.__name__: utils}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        vars(torch).pop("_dynamo", None)  # which an import leaves there


class _NoValues(TorchFunctionMode):
    """Tensors without values are not given any, which the meta device does in Python."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        tensor = args[0] if args else (kwargs or {}).get("tensor")
        is_skipped = getattr(func, "__name__", "") in _GIVES_VALUES
        if is_skipped and isinstance(tensor, torch.Tensor) and tensor.is_meta:
            return tensor
        return func(*args, **(kwargs or {}))


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Networks that are built inside the block have shapes, and neither memory nor values."""
    with without_compiler(), torch.device("meta"), _NoValues():
        yield


@functools.cache
def eager(kind: type[Optimizer]) -> type[Any]:
    """The optimizer with the same state and the same steps, which no compiler has to see."""
    plain: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _METHODS}
    plain["step"] = torch.no_grad()(inspect.unwrap(cast(Any, kind).step))
    return type(kind.__name__, (kind,), plain)
