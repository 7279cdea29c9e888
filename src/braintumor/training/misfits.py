"""Whether a saved state is that of this model, optimizer and recipe, item by item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from braintumor.runs.items import misfit

if TYPE_CHECKING:
    from braintumor.training.state import FitState

# what each optimizer keeps for a parameter, once it has made a step
_KEPT = {
    "AdamW": {"step", "exp_avg", "exp_avg_sq"},
    "Adam": {"step", "exp_avg", "exp_avg_sq"},
    "SGD": {"momentum_buffer"},
}
_SCALER = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}


def refuse_misfits(saved: Mapping[str, Any], own: FitState) -> None:
    """Raises CheckpointError, with the name of the item, unless all of it belongs to `own`.

    own: has entered the phase of the state.
    """
    weights = own.model.state_dict()
    _compare("model", saved["model"], weights)
    if saved["best"]["weights"]:
        _compare("best.weights", saved["best"]["weights"], weights)
    if (saved["ema"] is None) != (own.ema is None):
        raise misfit("has ema without train.ema_decay, or none with it")
    if own.ema:
        _compare("ema", saved["ema"], own.ema.state_dict())
    _same_names("schedule", saved["schedule"], own.schedule.state_dict())
    if saved["scaler"]:
        _same_names("scaler", saved["scaler"], _SCALER)
    _check_optimizer(saved, own.optimizer)
    _check_epochs(saved)
    if saved["partial"]:
        _check_partial(saved["partial"], own.schedule.steps_per_epoch)


def _check_epochs(saved: Mapping[str, Any]) -> None:
    """Whether counts, history and the best epoch tell of the same training."""
    epochs, history, best = saved["epoch"], saved["history"], saved["best"]
    in_phase = sum(row["phase"] == saved["phase"] + 1 for row in history)
    if epochs != len(history) or saved["phase_epoch"] != in_phase:
        raise misfit(f"is of epoch {epochs}, and its history has {len(history)}")
    if bool(epochs) != bool(best["weights"]) or not bool(epochs) <= best["epoch"] <= epochs:
        raise misfit(f"has best.epoch: {best['epoch']} of {epochs}")


def _check_partial(saved: Mapping[str, Any], steps: int) -> None:
    losses, hits, generators = (saved[name] for name in ("losses", "hits", "generators"))
    if losses.ndim != 1 or not losses.is_floating_point() or len(losses) > steps:
        raise misfit(f"has partial.losses that are not those of up to {steps} steps")
    if hits.shape or hits.dtype != torch.long:
        raise misfit("has partial.hits that is not a whole number")
    try:
        for state in generators[:1]:  # the second is of a GPU
            torch.Generator().set_state(state)
    except (RuntimeError, TypeError) as error:
        raise misfit("has partial.generators that are not of such a generator") from error


def _same_names(item: str, saved: Mapping[str, Any], own: Any) -> None:
    if missing := sorted(set(own) - set(saved)):
        raise misfit(f"lacks {item}: {missing[0]}")
    if foreign := sorted(map(str, set(saved) - set(own))):
        raise misfit(f"has {item}: {foreign[0]}, which this model or recipe does not have")


def _compare(item: str, saved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    _same_names(item, saved, own)
    for name, tensor in own.items():
        there = saved[name]
        if there.shape != tensor.shape or there.dtype != tensor.dtype:
            raise misfit(
                f"has {item}: {name} of {tuple(there.shape)} {there.dtype}, and not of "
                f"{tuple(tensor.shape)} {tensor.dtype}"
            )


def _check_optimizer(saved: Mapping[str, Any], own: torch.optim.Optimizer) -> None:
    groups, kept = saved["optimizer"]["param_groups"], saved["optimizer"]["state"]
    if len(groups) != len(own.param_groups):
        raise misfit(f"has {len(groups)} groups of parameters, not {len(own.param_groups)}")
    parameters: dict[int, Tensor] = {}
    for group, mine in zip(groups, own.param_groups, strict=True):
        _same_names("optimizer.param_groups", group, mine)
        numbers = group["params"]
        is_numbered = isinstance(numbers, list) and all(type(n) is int for n in numbers)
        if not is_numbered or len(numbers) != len(mine["params"]):
            raise misfit("has optimizer.param_groups of other parameters")
        parameters.update(zip(numbers, mine["params"], strict=True))
    if foreign := set(kept) - set(parameters):
        raise misfit(f"has optimizer.state of {len(foreign)} parameters that are not trained")
    wanted = _KEPT[type(own).__name__]
    for entry in kept.values():
        _same_names("optimizer.state", entry, wanted)
    for number, entry in kept.items():
        for name, value in entry.items():
            like = torch.zeros(()) if name == "step" else parameters[number]
            is_alike = isinstance(value, Tensor) and value.shape == like.shape
            if not is_alike or value.dtype != like.dtype:
                raise misfit(f"has optimizer.state: {name} of another shape than its parameter")
    has_moved = saved["phase_epoch"] or saved["partial"]
    is_kept = type(own).__name__ != "SGD" or own.param_groups[0]["momentum"]
    if has_moved and is_kept and not kept:
        raise misfit("lacks optimizer.state")
