"""What changes while training: the best checkpoint so far, and all else that a resume needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from braintumor.config import checked
from braintumor.errors import ConfigError, TrainingError
from braintumor.models.classifier import Classifier
from braintumor.ranges import NotNegative
from braintumor.runs.items import misfit
from braintumor.training.average import Average
from braintumor.training.losses import build_loss
from braintumor.training.misfits import refuse_misfits
from braintumor.training.optim import Schedule, build_optimizer, load_optimizer, make_capturable
from braintumor.training.recipe import EarlyStoppingSettings, Recipe
from braintumor.training.snapshot import to_host

# of a FitState, as last.ckpt has them; runs/items.py says what each is
_COUNTS = ("phase", "phase_epoch", "epoch")
_PARTS = ("model", "optimizer", "schedule", "scaler", "best")


@dataclass
class BestCheckpoint:
    """The best epoch so far, its weights on the CPU, and how long its phase has been no better.

    A phase that begins with a loss, as one does that trains more layers, is given time to make up
    for it: patience counts from the best epoch of the phase.
    """

    settings: EarlyStoppingSettings
    cost: float = math.inf  # the metric, negated unless lower is better
    epoch: int = 0
    phase_cost: float = math.inf  # the best of the phase
    bad_epochs: int = 0  # since then
    weights: dict[str, Tensor] = field(default_factory=dict)

    def cost_of(self, figures: Mapping[str, float], epoch: int) -> float:
        """The watched metric with lower meaning better; a NaN counts as worst.

        Raises TrainingError when the first epoch already has no such figure.
        """
        value = figures[self.settings.metric]
        if math.isnan(value) and epoch == 1:
            raise TrainingError(
                f"train.early_stopping.metric={self.settings.metric} is undefined on this "
                "validation split, as when a class has no image there; choose val_loss"
            )
        cost = value if self.settings.metric == "val_loss" else -value
        return math.inf if math.isnan(cost) else cost

    def observe(self, cost: float, epoch: int, model: nn.Module) -> bool:
        """True when this epoch is the best so far; its weights are then kept."""
        least = self.settings.min_delta
        if cost < self.phase_cost - least:
            self.phase_cost, self.bad_epochs = cost, 0
        else:
            self.bad_epochs += 1
        if epoch > 1 and not cost < self.cost - least:
            return False
        self.cost, self.epoch = cost, epoch
        self.weights = to_host(model.state_dict())  # never changed, so whoever writes may keep it
        return True

    def begin_phase(self) -> None:
        """Count anew."""
        self.phase_cost, self.bad_epochs = math.inf, 0

    @property
    def should_stop(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.bad_epochs >= patience

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "settings"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)


@dataclass
class Partial:
    """An epoch that was cut off, or one that goes on: what its steps so far have given.

    losses: of each step, times its images, on the device.  hits: int64 ().
    generators: what dropout draws from next; on the CPU and, if it is another, on the device.
    seconds: that the steps took, before the epoch was cut off.
    """

    losses: list[Tensor]
    hits: Tensor
    generators: list[Tensor]
    seconds: float

    @classmethod
    def new(cls, device: torch.device) -> Partial:
        """Of an epoch that begins."""
        return cls([], torch.zeros((), dtype=torch.long, device=device), [], 0.0)

    def keep_generators(self, device: torch.device) -> None:
        """Note where the global generators stand."""
        self.generators = [torch.get_rng_state()]
        if device.type == "cuda":
            self.generators.append(torch.cuda.get_rng_state(device))

    def set_generators(self) -> None:
        """Put them where they stood, if that was noted on such a device."""
        for number, state in enumerate(self.generators):
            if number == 0:
                torch.set_rng_state(state.cpu())
            elif self.hits.device.type == "cuda":
                torch.cuda.set_rng_state(state.cpu(), self.hits.device)

    def means(self, images: int) -> tuple[float, float]:
        """Mean loss (nats) and accuracy over that many images."""
        return torch.stack(self.losses).sum().item() / images, self.hits.item() / images

    def state_dict(self) -> dict[str, Any]:
        losses = torch.stack(self.losses) if self.losses else self.hits.new_zeros(0).float()
        return vars(self) | {"losses": losses}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: torch.device) -> Partial:
        """What `state_dict` gave."""
        losses, hits = (state[name].to(device) for name in ("losses", "hits"))
        return cls(list(losses.unbind()), hits.clone(), state["generators"], state["seconds"])


@dataclass
class FitState:
    """Everything that changes while training. `state_dict` is what last.ckpt holds.

    Order and augmentation are functions of (seed, epoch, step), and dropout begins each epoch at
    one of (seed, epoch), so generators are part of it only within an epoch (`partial`).
    history: the fields of each EpochRecord.  recipe: what it is trained by, `recipe.described`.
    """

    model: Classifier
    best: BestCheckpoint
    phase: int = -1  # index of the current phase; -1 before the first
    phase_epoch: int = 0  # epochs finished in it
    epoch: int = 0  # epochs finished in all
    partial: Partial | None = None  # of the epoch after it, where that was cut off
    history: list[dict[str, Any]] = field(default_factory=list)
    recipe: dict[str, Any] = field(default_factory=dict)
    optimizer: torch.optim.Optimizer = field(init=False)
    schedule: Schedule = field(init=False)
    scaler: torch.amp.GradScaler = field(init=False)
    ema: Average | None = field(init=False, default=None)

    @property
    def steps_of_epoch(self) -> int:
        """How many of the epoch that was cut off are done."""
        return len(self.partial.losses) if self.partial else 0

    @property
    def evaluated(self) -> Classifier:
        """The weights that validation and the best checkpoint use."""
        return self.ema.model if self.ema else self.model

    def enter(self, index: int, recipe: Recipe, steps_per_epoch: int, dtype: torch.dtype) -> None:
        """Begin phase `index`, from the best weights so far: new optimizer, new schedule."""
        phase, options = recipe.train.phases[index], recipe.optimizer
        if self.best.weights:
            self.model.load_state_dict(self.best.weights)
        self.phase, self.phase_epoch = index, 0
        self.best.begin_phase()
        self.model.set_trainable(phase.trainable)
        rates = {"optimizer.lr": options["lr"]}
        if phase.lr is not None:
            rates = {f"train.phases[{index}].lr": phase.lr}
        rates["model.backbone.lr_scale"] = recipe.backbone_lr_scale
        rates["optimizer.head_lr_scale"] = options["head_lr_scale"]
        lr, backbone, head = (checked(rate, NotNegative, key) for key, rate in rates.items())
        scales = {"backbone": backbone, "head": head}
        self.optimizer = build_optimizer(options, self.model.parameter_groups(), lr, scales)
        self.schedule = Schedule(recipe.scheduler, recipe.train.epochs_of(phase), steps_per_epoch)
        device = next(self.model.parameters()).device
        if recipe.train.records_graphs(device):
            make_capturable(self.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        decay = recipe.train.ema_decay
        self.ema = Average(self.model, decay) if decay else None

    def state_dict(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in _COUNTS}
        parts = {name: getattr(self, name).state_dict() for name in _PARTS}
        ema = self.ema.state_dict() if self.ema else None
        average = {"ema": ema, "ema_steps": self.ema.steps if self.ema else 0}
        partial = self.partial.state_dict() if self.partial else None
        record = {"history": [*self.history], "recipe": self.recipe}
        return counts | parts | average | {"partial": partial} | record

    def snapshot(self) -> dict[str, Any]:
        """`state_dict` on the CPU, which no later step changes."""
        state = self.state_dict()
        best = state.pop("best")  # its weights are such a copy
        return to_host(state) | {"best": best}

    def load_state_dict(
        self, state: Mapping[str, Any], recipe: Recipe, steps_per_epoch: int, dtype: torch.dtype
    ) -> None:
        """Stand where `state_dict` was taken.

        Raises CheckpointError when it is not that of such a model and recipe; its items are checked
        (runs/items.py).
        """
        if state["phase"] >= len(recipe.train.phases):
            raise misfit(f"is in phase {state['phase'] + 1} of {len(recipe.train.phases)}")
        self.enter(state["phase"], recipe, steps_per_epoch, dtype)
        for name in _COUNTS:
            setattr(self, name, state[name])
        self.history = [*state["history"]]
        refuse_misfits(state, self)
        load_optimizer(self.optimizer, state["optimizer"])
        for name in ("model", "schedule", "best"):
            getattr(self, name).load_state_dict(state[name])
        if state["scaler"]:  # one that scaled nothing left nothing
            self.scaler.load_state_dict(state["scaler"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
            self.ema.steps = state["ema_steps"]
        if state["partial"]:
            device = next(self.model.parameters()).device
            self.partial = Partial.from_state(state["partial"], device)


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
