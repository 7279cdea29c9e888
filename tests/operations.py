"""Counts what a piece of work asks of a device, on the CPU: one launch each, on a GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# these give another look at memory that is there, or are for the profiler
_NO_LAUNCH = {
    "view", "expand", "select", "slice", "t", "unsqueeze", "squeeze", "detach", "alias",
    "transpose", "permute", "as_strided", "split", "unbind", "_unsafe_view", "unfold",
    "empty", "empty_like", "new_empty", "empty_strided",
    "_record_function_enter_new", "_record_function_exit",
}  # fmt: skip


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.seen[func.name().split("::")[1].split(".")[0]] += 1
        return func(*args, **(kwargs or {}))


def operations(work: Callable[[], object]) -> Counter[str]:
    """How often each operation of torch runs in `work()`, views and allocations left out."""
    with _Counting() as counting:
        work()
    return Counter({name: n for name, n in counting.seen.items() if name not in _NO_LAUNCH})
