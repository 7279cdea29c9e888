"""How to train, as data: phases, settings, and the recipe of a second training (refit)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from braintumor.config import differences, first_of
from braintumor.errors import CheckpointError, ConfigError, some
from braintumor.quoting import pasteable
from braintumor.ranges import AboveZero, Count, NotNegative, NotNegativeInt, ShareBelow1
from braintumor.runtime import Precision

if TYPE_CHECKING:
    import pandas as pd
    import torch

Metric = Literal["val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_auroc"]

_FALLING = ("cosine", "onecycle")  # their smallest rates come at the end of the phase


@dataclass(frozen=True)
class Phase:
    """epochs at most; what is trainable: head, last_block, all, or the last N stages.

    lr: base rate of this phase; null takes optimizer.lr.
    """

    epochs: Count
    trainable: str | int = "all"
    lr: NotNegative | None = None


@dataclass(frozen=True)
class EarlyStoppingSettings:
    """The `train.early_stopping` section. Documented in configs/training/default.yaml."""

    metric: Metric
    patience: Count | None
    min_delta: NotNegative


@dataclass(frozen=True)
class FeatureSettings:
    """The `features` section. Documented in configs/features/default.yaml."""

    views: NotNegativeInt = 0


@dataclass(frozen=True)
class TrainSettings:
    """The `train` section. Documented in configs/training/default.yaml."""

    batch_size: Count
    phases: tuple[Phase, ...]
    max_epochs: Count | None
    precision: Precision
    imbalance: Literal["oversample", "class_weights", "none"]
    clip_norm: AboveZero | None
    ema_decay: ShareBelow1
    channels_last: bool
    tensorboard: bool
    early_stopping: EarlyStoppingSettings
    epochs: Count | None = None
    refit: bool = False
    compile: bool = False
    cuda_graphs: bool | Literal["auto"] = "auto"
    sync_batch_norm: bool = False

    def __post_init__(self) -> None:
        if not self.phases:
            raise ConfigError(
                "`train.phases` is empty, so nothing would be trained; give one, such as "
                f"{pasteable('train.phases', [{'epochs': 18, 'trainable': 'all'}])}"
            )
        if self.epochs is not None and len(self.phases) > 1:
            listed = [
                f"trainable: {p.trainable} for {some(p.epochs, 'epoch')}" for p in self.phases
            ]
            given = [{k: v for k, v in vars(p).items() if v is not None} for p in self.phases]
            phases = pasteable("train.phases", given)
            raise ConfigError(
                f"train.epochs={self.epochs} is for a training of one phase, and this one has "
                f"{len(self.phases)} phases ({', '.join(listed)}); give each its epochs, such as "
                f"{phases}"
            )
        if self.compile and self.cuda_graphs is True:
            raise ConfigError(
                "train.compile=true and train.cuda_graphs=true are two ways to the same end; "
                "choose one"
            )

    def records_graphs(self, device: torch.device) -> bool:
        """Whether steps are recorded as CUDA graphs there."""
        return device.type == "cuda" and not self.compile and self.cuda_graphs is not False

    def epochs_of(self, phase: Phase) -> int:
        """Epochs of a phase: `epochs` if that is set, and at most `max_epochs`."""
        epochs = self.epochs or phase.epochs
        return min(epochs, self.max_epochs or epochs)

    @property
    def planned(self) -> tuple[Phase, ...]:
        """The phases with the epochs that they take at most."""
        return tuple(dataclasses.replace(p, epochs=self.epochs_of(p)) for p in self.phases)


@dataclass(frozen=True)
class Recipe:
    """All that `fit` does not learn: settings, named components' options, and the seed.

    model: its options.  images: of each split, what tells its images from others. Both are here so
    that a state goes on under no others; empty where nobody asked.
    """

    train: TrainSettings
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    loss: Mapping[str, Any]
    backbone_lr_scale: float
    seed: int
    features: FeatureSettings
    model: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)

    @property
    def total_epochs(self) -> int:
        """Epochs of all phases; early stopping may end them before."""
        return sum(phase.epochs for phase in self.train.planned)


def refit_recipe(recipe: Recipe, history: pd.DataFrame) -> Recipe:
    """The recipe to train anew on training and validation images, as long as validation found best.

    Validation costs a fifth of the training images, and is not needed once it has chosen the number
    of epochs. Nothing measures the second training but the test split.
    history: metrics.csv. Each phase gets the epochs to its best one; one that did not improve on
    the phase before is left out, as its weights were.
    A phase that ran to its end under a schedule that falls to it is repeated whole: which of the
    last epochs is best is chance (on Nickparvar the last was .0016 of macro F1 below the best, mean
    of 11 runs, where the standard error of one is .005), and a shorter phase would be another
    schedule.
    Source: Goodfellow et al. 2016, Deep Learning, section 7.8, the first strategy there.
    """
    falls, phases = recipe.scheduler["name"] in _FALLING, []
    for number, phase in enumerate(recipe.train.phases, start=1):
        rows = history[history["phase"] == number]
        if not rows["is_best"].any():
            continue
        begin, end = rows["epoch"].min(), rows["epoch"].max()
        is_whole = falls and end - begin + 1 == recipe.train.epochs_of(phase)
        last = end if is_whole else rows.loc[rows["is_best"], "epoch"].max()
        phases.append(dataclasses.replace(phase, epochs=int(last - begin + 1)))
    train = dataclasses.replace(recipe.train, phases=tuple(phases), epochs=None)
    return dataclasses.replace(recipe, train=train)


def described(recipe: Recipe, augment: Any) -> dict[str, Any]:
    """All by which a training goes, as plain values: a state is of no use under another.

    augment: its settings.  Phases have the epochs that they take at most.
    """
    train = dataclasses.asdict(recipe.train)
    train["phases"] = [dataclasses.asdict(phase) for phase in recipe.train.planned]
    for name in ("epochs", "max_epochs", "tensorboard", "compile", "cuda_graphs"):
        del train[name]
    whole = dataclasses.asdict(recipe) | {"train": train, "augment": dataclasses.asdict(augment)}
    return dict(json.loads(json.dumps(whole)))


def refuse_other(saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raises CheckpointError where a state was made under another recipe, naming what differs."""
    if found := differences(dict(_flat(saved)), dict(_flat(own))):
        raise CheckpointError(
            f"last.ckpt was saved under other settings ({first_of(found, 3, '; ')}), and cannot "
            "go on under these; put them back in config.yaml, or images in manifest.csv, or start "
            "a new run; more epochs go in with resume=RUN train.epochs=N"
        )


def _flat(tree: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _flat(value, f"{at}.{key}" if at else str(key))
    elif isinstance(tree, list) and tree:
        for number, value in enumerate(tree):
            yield from _flat(value, f"{at}[{number}]")
    else:
        yield at, tree
