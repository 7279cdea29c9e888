"""Optimizers, and the learning rate as a function of the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from braintumor.config import call_named, checked
from braintumor.eager import eager
from braintumor.errors import ConfigError
from braintumor.ranges import (
    AboveZero,
    Count,
    NotNegative,
    NotNegativeInt,
    Share,
    ShareBelow1,
    Within,
)

Shape = Callable[[float, float], float]  # (epochs done, epochs in all) -> factor on the rate


def build_optimizer(
    options: Mapping[str, Any],
    groups: Mapping[str, list[nn.Parameter]],
    lr: float,
    lr_scales: Mapping[str, float],
) -> torch.optim.Optimizer:
    """The optimizer of one phase, over what is trainable in it.

    options: the `optimizer` section: a name, its own options, and weight_decay.
    groups: "backbone" and "head" -> their trainable parameters (an empty one is left out).
    lr: base rate; each group trains at lr * lr_scales[group], kept in its "base_lr".
    Weight decay skips vectors (biases, norms): it is meant for what multiplies inputs.
    """
    options = {k: v for k, v in options.items() if k not in ("lr", "head_lr_scale")}
    decay = checked(options.pop("weight_decay"), NotNegative, "optimizer.weight_decay")
    params: list[dict[str, Any]] = []
    for group, members in groups.items():
        rate = lr * lr_scales[group]
        matrices = [p for p in members if p.ndim > 1]
        vectors = [p for p in members if p.ndim <= 1]
        for part, weight_decay in ((matrices, decay), (vectors, 0.0)):
            if part:
                common = {"lr": rate, "base_lr": rate, "weight_decay": weight_decay}
                params.append({"params": part, "name": group} | common)
    known: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adamw": _adam(torch.optim.AdamW), "adam": _adam(torch.optim.Adam), "sgd": _sgd,
    }  # fmt: skip
    return call_named(known, options, "optimizer", params=params)


def make_capturable(optimizer: torch.optim.Optimizer) -> None:
    """Let a CUDA graph hold its step: rates become tensors on the device, which `Schedule` fills.

    Before its first step.
    """
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"], device=group["params"][0].device)
        if "capturable" in group:  # sgd needs no such word
            group["capturable"] = True


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Take what a state has of each parameter; all options stay those of the recipe."""
    groups = zip(optimizer.param_groups, state["param_groups"], strict=True)
    own = [mine | {"params": saved["params"]} for mine, saved in groups]
    optimizer.load_state_dict({"state": state["state"], "param_groups": own})


def _adam(kind: Any) -> Callable[..., torch.optim.Optimizer]:
    def build(
        *, params: list, beta1: ShareBelow1, beta2: ShareBelow1, eps: AboveZero
    ) -> torch.optim.Optimizer:
        return eager(kind)(params, betas=(beta1, beta2), eps=eps, fused=True)

    return build


def _sgd(*, params: list, momentum: ShareBelow1, nesterov: bool) -> torch.optim.Optimizer:
    if nesterov and not momentum:
        raise ConfigError(
            "`optimizer.nesterov=true` needs a momentum; give optimizer.momentum=0.9, or "
            "optimizer.nesterov=false"
        )
    # lr is set in every group; this one is never used
    return eager(torch.optim.SGD)(params, lr=0.0, momentum=momentum, nesterov=nesterov, fused=True)


class Schedule:
    """Sets the rate before every step: base_lr * warm-up * shape * plateau factor.

    All shapes but `plateau` are pure functions of the epoch, so a resumed run needs no state
    for them; `plateau` keeps a factor that falls when the watched metric stops improving.
    """

    def __init__(self, options: Mapping[str, Any], epochs: int, steps_per_epoch: int):
        options = dict(options)
        warmup, where = options.pop("warmup_epochs"), "scheduler.warmup_epochs"
        self.warmup_epochs = checked(warmup, NotNegative, where)
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.factor = 1.0
        shapes: dict[str, Callable[..., Shape]] = {
            "cosine": cosine, "onecycle": onecycle, "warm_restarts": warm_restarts,
            "constant": constant, "plateau": Plateau,
        }  # fmt: skip
        self.shape = call_named(shapes, options, "scheduler")
        self.plateau = self.shape if isinstance(self.shape, Plateau) else None

    def set_lr(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Before step number `step` of the phase, counted from 0."""
        warmup = min(self.warmup_epochs, self.epochs)
        done = step / self.steps_per_epoch
        if done < warmup:
            factor = (step + 1) / (warmup * self.steps_per_epoch)
        else:
            factor = self.shape(done - warmup, max(self.epochs - warmup, 1e-9))
        for group in optimizer.param_groups:
            lr = group["base_lr"] * min(factor, 1.0) * self.factor
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def observe(self, loss: float) -> None:
        """After an epoch: the metric that early stopping watches, lower is better."""
        if self.plateau:
            self.factor = self.plateau.observe(loss, self.factor)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"factor": self.factor}
        if self.plateau:
            state |= {"best": self.plateau.best, "bad_epochs": self.plateau.bad_epochs}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.factor = state["factor"]
        if self.plateau:
            self.plateau.best, self.plateau.bad_epochs = state["best"], state["bad_epochs"]


def constant() -> Shape:
    """Factor 1 throughout."""
    return lambda done, epochs: 1.0


def cosine(*, min_factor: Share) -> Shape:
    """From 1 to min_factor along half a cosine. Source: Loshchilov 2017, arXiv:1608.03983.

    >>> cosine(min_factor=0.0)(5, 10)
    0.5
    """
    return lambda done, epochs: _cosine(1.0, min_factor, done / epochs)


def onecycle(*, rise: ShareBelow1, start_factor: Share, min_factor: Share) -> Shape:
    """Up from start_factor over the first `rise` of the phase, then down to min_factor.

    Source: Smith 2018, arXiv:1708.07120; both halves are cosines. Momentum stays constant.
    """

    def shape(done: float, epochs: float) -> float:
        progress = done / epochs
        if progress < rise:
            return _cosine(start_factor, 1.0, progress / rise)
        return _cosine(1.0, min_factor, (progress - rise) / (1 - rise))

    return shape


def warm_restarts(*, first_epochs: Count, growth: Count, min_factor: Share) -> Shape:
    """Cosines that start anew: T_0 = first_epochs, each next one `growth` times as long.

    Source: Loshchilov 2017, arXiv:1608.03983, eq. 5.
    """

    def shape(done: float, epochs: float) -> float:
        length = float(first_epochs)
        while done >= length:
            done, length = done - length, length * growth
        return _cosine(1.0, min_factor, done / length)

    return shape


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


@dataclass(kw_only=True)
class Plateau:
    """Multiplies the rate by `factor` after more than `patience` epochs without improvement."""

    patience: NotNegativeInt
    factor: Annotated[float, Within(0, 1, "(]")]
    min_factor: Share
    best: float = field(init=False, default=math.inf)
    bad_epochs: int = field(init=False, default=0)

    def __call__(self, done: float, epochs: float) -> float:
        """1, whatever the epoch: the rate falls by what is observed."""
        return 1.0

    def observe(self, loss: float, current: float) -> float:
        """The new factor on the rate."""
        if loss < self.best:
            self.best, self.bad_epochs = loss, 0
        else:
            self.bad_epochs += 1
        if self.bad_epochs > self.patience:
            self.bad_epochs = 0
            return max(current * self.factor, self.min_factor)
        return current
