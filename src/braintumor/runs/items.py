"""What a state in last.ckpt consists of: every item, and nothing else, is needed to go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from braintumor.config import first_of
from braintumor.errors import CheckpointError
from braintumor.records import EpochRecord


class MisfitError(CheckpointError):
    """A state that is not one of this version, model and recipe."""


@dataclass(frozen=True)
class Item:
    """What an item has to be: in words, and whether a value is that."""

    words: str
    fits: Callable[[Any], bool]


Items = Mapping[str, "Item | Items"]


def _is_tensor(value: Any) -> bool:
    return type(value).__name__ in ("Tensor", "Parameter")  # torch is not imported here


def _is_weights(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and _is_tensor(tensor) for name, tensor in value.items()
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_plain(each) for name, each in value.items())
    return all(map(_is_plain, value)) if isinstance(value, list) else not _is_tensor(value)


WHOLE = Item("a whole number from 0", lambda value: type(value) is int and value >= 0)
NUMBER = Item("a number", lambda value: type(value) in (int, float))
NUMBERS = Item(
    "numbers by name", lambda v: isinstance(v, Mapping) and all(map(NUMBER.fits, v.values()))
)
MAPPING = Item("a mapping", lambda value: isinstance(value, Mapping))
WEIGHTS = Item("tensors by name", _is_weights)
TENSOR = Item("a tensor", _is_tensor)
TENSORS = Item("a list of tensors", lambda v: isinstance(v, list) and all(map(_is_tensor, v)))
ROWS = Item(
    "a list of mappings", lambda v: isinstance(v, list) and all(isinstance(r, Mapping) for r in v)
)
_FIELDS = {field.name: str(field.type) for field in dataclasses.fields(EpochRecord)}


def _is_history(value: Any) -> bool:
    """Whether they are fields of EpochRecord, of the epochs from 1 on."""
    return isinstance(value, list) and all(
        isinstance(row, Mapping)
        and {name: type(each).__name__ for name, each in row.items()} == _FIELDS
        and row["epoch"] == number
        for number, row in enumerate(value, start=1)
    )


HISTORY = Item("a list of the rows of metrics.csv", _is_history)


# of training.state.FitState, which says what each is
STATE: Items = {
    "phase": WHOLE,
    "phase_epoch": WHOLE,
    "epoch": WHOLE,
    "model": WEIGHTS,
    "optimizer": {"state": MAPPING, "param_groups": ROWS},
    "schedule": NUMBERS,
    "scaler": NUMBERS,
    "best": {
        "cost": NUMBER,
        "epoch": WHOLE,
        "phase_cost": NUMBER,
        "bad_epochs": WHOLE,
        "weights": WEIGHTS,
    },
    "ema": Item("tensors by name or nothing", lambda v: v is None or _is_weights(v)),
    "ema_steps": WHOLE,
    "partial": {"losses": TENSOR, "hits": TENSOR, "generators": TENSORS, "seconds": NUMBER},
    "history": HISTORY,
    "recipe": Item("plain settings", lambda v: isinstance(v, Mapping) and _is_plain(v)),
}
_MAY_BE_NONE = "partial"  # between two epochs


def check_items(state: Mapping[str, Any]) -> None:
    """Raises MisfitError, with the first name, where an item is missing, too many or another.

    >>> check_items({})
    Traceback (most recent call last):
    braintumor.runs.items.MisfitError: the state in last.ckpt lacks phase, phase_epoch, epoch and \
10 more: it is of another version, or was changed
    """
    if fault := _fault(state, STATE, ""):
        raise misfit(fault)


def misfit(fault: str) -> MisfitError:
    """The error that says what is wrong with a state; nothing mends it."""
    return MisfitError(f"the state in last.ckpt {fault}: it is of another version, or was changed")


def _fault(value: Any, wanted: Item | Items, at: str) -> str | None:
    if isinstance(wanted, Item):
        return None if wanted.fits(value) else f"has {at} that is not {wanted.words}"
    if value is None and at == _MAY_BE_NONE:
        return None
    if not isinstance(value, Mapping):
        return f"has {at or 'content'} that is not a mapping"
    prefix = f"{at}." if at else ""
    if missing := [prefix + name for name in wanted if name not in value]:
        return f"lacks {first_of(missing, 3)}"
    if foreign := [f"{prefix}{name}" for name in value if name not in wanted]:
        return f"has {first_of(foreign, 3)}, which no state has"
    faults = (_fault(value[name], item, prefix + name) for name, item in wanted.items())
    return next(filter(None, faults), None)
