"""One metric decides both which checkpoint is best and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from braintumor.errors import ConfigError, TrainingError
from braintumor.records import EpochRecord

Metric = Literal["val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_auroc"]


@dataclass(frozen=True)
class EarlyStoppingSettings:
    """metric: watched on validation.  patience: epochs without improvement, null never stops.

    min_delta: an improvement must exceed this, in the metric's own unit.
    """

    metric: Metric
    patience: int | None
    min_delta: float

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 1:
            raise ConfigError(
                f"train.early_stopping.patience={self.patience} would stop before it began; "
                "give 1 or more, or null to never stop early"
            )


@dataclass
class BestCheckpoint:
    """The best epoch so far, its weights on the CPU, and how long ago it was."""

    settings: EarlyStoppingSettings
    cost: float = math.inf  # the metric, negated unless lower is better
    epoch: int = 0
    bad_epochs: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def cost_of(self, record: EpochRecord) -> float:
        """The watched metric with lower meaning better; a NaN counts as worst.

        Raises TrainingError when the first epoch already has no such figure.
        """
        value = getattr(record, self.settings.metric)
        if math.isnan(value) and record.epoch == 1:
            raise TrainingError(
                f"train.early_stopping.metric={self.settings.metric} is undefined on this "
                "validation split, as when a class has no image there; choose val_loss"
            )
        cost = value if self.settings.metric == "val_loss" else -value
        return math.inf if math.isnan(cost) else cost

    def observe(self, cost: float, epoch: int, model: nn.Module) -> bool:
        """True when this epoch is the best so far; its weights are then kept."""
        if epoch > 1 and not cost < self.cost - self.settings.min_delta:
            self.bad_epochs += 1
            return False
        self.cost, self.epoch, self.bad_epochs = cost, epoch, 0
        self.weights = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
        return True

    @property
    def should_stop(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.bad_epochs >= patience

    def state_dict(self) -> dict[str, Any]:
        names = ("cost", "epoch", "bad_epochs", "weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
