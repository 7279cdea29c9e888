"""Train and evaluate brain-MRI classifiers: honest numbers, fast runs, one command.

    import braintumor as bt
    run = bt.train("data.root=mri", data="folder", model="resnet50_cbam")
    bt.load(run).predict("slice.png")

A function for each command, with the same words: train, evaluate, predict, read_data, compare,
tune; `load` gives a trained model. Importing this imports nothing else.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from braintumor._version import __version__

if os.name == "nt":  # locks, signals and files are those of POSIX
    raise ImportError(
        "braintumor runs on Linux and macOS; on Windows run it in WSL 2, where CUDA works as well: "
        "`wsl --install`, then install it there"
    )

# Their types stand in __init__.pyi. Found when they are asked for: torch and Hydra take seconds.
__all__ = ["__version__", "compare", "evaluate", "load", "predict", "read_data", "train", "tune"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("braintumor.workflows.api"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
