"""Train and evaluate brain-MRI classifiers: honest numbers, fast runs, one command.

    import braintumor as bt
    run = bt.train("data.root=mri", data="folder", model="resnet50_cbam")
    bt.load(run).predict("slice.png")

A function for each command, with the same words: train, evaluate, predict, read_data, compare;
`load` gives a trained model. Importing this imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["compare", "evaluate", "load", "predict", "read_data", "train"]

if TYPE_CHECKING:
    from braintumor.workflows.api import compare, evaluate, load, predict, read_data, train


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from braintumor.workflows import api  # Hydra, when it is first needed

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
