"""Phases of a training, as data, and the state that a resume needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from braintumor.config import not_negative, pasteable
from braintumor.errors import ConfigError
from braintumor.models.classifier import Classifier
from braintumor.runtime import Precision
from braintumor.training.early_stopping import BestCheckpoint, EarlyStoppingSettings
from braintumor.training.features import FeatureSettings
from braintumor.training.losses import build_loss
from braintumor.training.optim import Schedule, build_optimizer


@dataclass(frozen=True)
class Phase:
    """epochs at most; what is trainable: head, last_block, all, or the last N stages.

    lr: base rate of this phase; null takes optimizer.lr.
    """

    epochs: int
    trainable: str | int = "all"
    lr: float | None = None

    def as_setting(self) -> dict[str, Any]:
        """As a user writes it."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class TrainSettings:
    """The `train` section. Documented in configs/training/default.yaml."""

    batch_size: int
    phases: tuple[Phase, ...]
    max_epochs: int | None
    precision: Precision
    imbalance: Literal["oversample", "class_weights", "none"]
    clip_norm: float | None
    ema_decay: float
    channels_last: bool
    tensorboard: bool
    early_stopping: EarlyStoppingSettings
    epochs: int | None = None
    refit: bool = False
    compile: bool = False
    cuda_graphs: bool = False

    def __post_init__(self) -> None:
        checks = {
            "batch_size": self.batch_size >= 1,
            "phases": bool(self.phases) and all(phase.epochs >= 1 for phase in self.phases),
            "epochs": self.epochs is None or self.epochs >= 1,
            "max_epochs": self.max_epochs is None or self.max_epochs >= 1,
            "clip_norm": self.clip_norm is None or self.clip_norm > 0,
            "ema_decay": 0 <= self.ema_decay < 1,
        }
        for name, is_good in checks.items():
            if not is_good:
                raise ConfigError(
                    f"`train.{name}={getattr(self, name)}` makes no training: batches and epochs "
                    "are 1 or more, clip_norm is above 0 or null, ema_decay is in [0, 1)"
                )
        if self.epochs is not None and len(self.phases) > 1:
            listed = ", ".join(
                f"trainable: {p.trainable} for {p.epochs} epochs" for p in self.phases
            )
            phases = pasteable("train.phases", [phase.as_setting() for phase in self.phases])
            raise ConfigError(
                f"train.epochs={self.epochs} is for a training of one phase, and this one has "
                f"{len(self.phases)} phases ({', '.join(listed)}); give each its epochs, such as "
                f"{phases}"
            )
        if self.compile and self.cuda_graphs:
            raise ConfigError(
                "train.compile=true and train.cuda_graphs=true are two ways to the same end; "
                "choose one"
            )


@dataclass(frozen=True)
class Recipe:
    """All that `fit` does not learn: settings, named components' options, and the seed."""

    train: TrainSettings
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    loss: Mapping[str, Any]
    backbone_lr_scale: float
    seed: int
    features: FeatureSettings

    def epochs_of(self, phase: Phase) -> int:
        """Epochs of a phase: train.epochs if that is set, and at most train.max_epochs."""
        epochs = self.train.epochs or phase.epochs
        return min(epochs, self.train.max_epochs or epochs)


@dataclass
class FitState:
    """Everything that changes while training. `state_dict` is what last.ckpt holds.

    Order, augmentation and dropout are functions of (seed, epoch, step), so no generator
    state is part of it: a resumed epoch draws what an uninterrupted one would have drawn.
    """

    model: Classifier
    best: BestCheckpoint
    phase: int = -1  # index of the current phase; -1 before the first
    phase_epoch: int = 0  # epochs finished in it
    epoch: int = 0  # epochs finished in all
    optimizer: torch.optim.Optimizer = field(init=False)
    schedule: Schedule = field(init=False)
    scaler: torch.amp.GradScaler = field(init=False)
    ema: AveragedModel | None = field(init=False, default=None)
    ema_decay: float = field(init=False, default=0.0)
    ema_steps: int = field(init=False, default=0)

    @property
    def evaluated(self) -> Classifier:
        """The weights that validation and the best checkpoint use."""
        return cast(Classifier, self.ema.module) if self.ema else self.model

    def enter(self, index: int, recipe: Recipe, steps_per_epoch: int, dtype: torch.dtype) -> None:
        """Begin phase `index`, from the best weights so far: new optimizer, new schedule."""
        phase = recipe.train.phases[index]
        if self.best.weights:
            self.model.load_state_dict(self.best.weights)
        self.phase, self.phase_epoch, self.best.bad_epochs = index, 0, 0
        self.model.set_trainable(phase.trainable)
        own = phase.lr is not None
        lr = not_negative(
            phase.lr if own else recipe.optimizer["lr"],
            f"train.phases[{index}].lr" if own else "optimizer.lr",
        )
        scales = {
            "backbone": not_negative(recipe.backbone_lr_scale, "model.backbone.lr_scale"),
            "head": not_negative(recipe.optimizer["head_lr_scale"], "optimizer.head_lr_scale"),
        }
        self.optimizer = build_optimizer(
            recipe.optimizer, self.model.parameter_groups(), lr, scales
        )
        self.schedule = Schedule(recipe.scheduler, recipe.epochs_of(phase), steps_per_epoch)
        device = next(self.model.parameters()).device
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.ema = None
        if recipe.train.ema_decay:
            self.ema = AveragedModel(self.model, multi_avg_fn=self._average, use_buffers=True)
            self.ema_decay, self.ema_steps = recipe.train.ema_decay, 0

    def update_ema(self) -> None:
        """After a step: move the average towards the weights."""
        if self.ema:
            self.ema.update_parameters(self.model)
            self.ema_steps += 1

    def _average(self, averaged: Any, current: Any, _: Any) -> None:
        # the decay grows from 0.1, or in a short run the first step's weights would stay in it
        decay = min(self.ema_decay, (1 + self.ema_steps) / (10 + self.ema_steps))
        get_ema_multi_avg_fn(decay)(averaged, current, None)

    def state_dict(self) -> dict[str, Any]:
        return {
            "phase": self.phase,
            "phase_epoch": self.phase_epoch,
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
            "ema_steps": self.ema_steps,
            "best": self.best.state_dict(),
        }

    def load_state_dict(
        self, state: Mapping[str, Any], recipe: Recipe, steps_per_epoch: int, dtype: torch.dtype
    ) -> None:
        """Stand where `state_dict` was taken; the model must be of the same shape."""
        self.enter(state["phase"], recipe, steps_per_epoch, dtype)
        self.phase_epoch, self.epoch = state["phase_epoch"], state["epoch"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
            self.ema_steps = state["ema_steps"]
        self.best.load_state_dict(state["best"])


def check_recipe(recipe: Recipe, model: Classifier) -> None:
    """Raises ConfigError now for what would else stop the training in its last phase.

    Enters every phase once; the model is left trainable as the last one wants it.
    """
    build_loss(recipe.loss, None)
    if recipe.train.refit and recipe.scheduler["name"] == "plateau":
        raise ConfigError(
            "train.refit=true trains without validation, which scheduler=plateau follows; choose "
            "another, such as scheduler=onecycle"
        )
    state = FitState(model, BestCheckpoint(recipe.train.early_stopping))
    for index in range(len(recipe.train.phases)):
        state.enter(index, recipe, steps_per_epoch=1, dtype=torch.float32)
