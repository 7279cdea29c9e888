"""A training of a second: pictures, a network and a recipe for the tests of `training`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml

from braintumor.config import config_dir
from braintumor.data.host_images import ImageSplit
from braintumor.data.tensors import Augment, AugmentSettings
from braintumor.models.classifier import Classifier, build_model
from braintumor.records import EpochRecord
from braintumor.training.loop import fit
from braintumor.training.recipe import (
    EarlyStoppingSettings,
    FeatureSettings,
    Phase,
    Recipe,
    TrainSettings,
)
from braintumor.training.state import BestCheckpoint, FitState

SIDE, CLASSES = 32, 3
MODEL = {
    "backbone": {
        "name": "cnn",
        "weights": "none",
        "widths": [8, 16],
        "dropout": 0.1,
        "block_attention": {"name": "none"},
    },
    "attention": {"name": "se", "reduction": 4},
    "head": {"pooling": "avg", "hidden": None, "batch_norm": False, "noise": 0.1, "dropout": 0.2},
}
AUGMENT = AugmentSettings(
    horizontal_flip=0.5, vertical_flip=0, rotation_deg=10, shift=0.05, zoom=0.1, brightness=0.1,
    contrast=0.1, noise=0.02, erasing=0.2, erasing_area=0.1, mixup=0.2,
)  # fmt: skip

NONE = AugmentSettings(*[0.0] * 11)


def section(folder: str, name: str) -> dict[str, Any]:
    """The defaults of a backbone or an attention, as the YAML has them."""
    text = (config_dir() / "model" / folder / f"{name}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def split(count: int, seed: int) -> ImageSplit:
    """Pictures whose class is the brightness of a square at a random place."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = rng.integers(0, 40, (count, 1, SIDE, SIDE))
    for image, label in zip(images, labels, strict=True):
        y, x = rng.integers(0, SIDE - 10, 2)
        image[0, y : y + 10, x : x + 10] += 60 * (label + 1)
    return ImageSplit(
        torch.from_numpy(images.astype(np.uint8)),
        torch.from_numpy(labels.astype(np.int64)),
        tuple(f"image{i}.png" for i in range(count)),
    )


def recipe(phases: tuple[Phase, ...] = (Phase(3),), **changes: Any) -> Recipe:
    settings = TrainSettings(
        batch_size=16, phases=phases, max_epochs=None, precision="fp32", imbalance="oversample",
        clip_norm=1.0, ema_decay=0.0, channels_last=False, tensorboard=False,
        early_stopping=EarlyStoppingSettings("val_loss", None, 0.0),
    )  # fmt: skip
    return Recipe(
        train=dataclasses.replace(settings, **changes),
        optimizer={
            "name": "adamw", "lr": 3e-3, "head_lr_scale": 1.0, "weight_decay": 0.01,
            "beta1": 0.9, "beta2": 0.999, "eps": 1e-8,
        },
        scheduler={"name": "cosine", "warmup_epochs": 0.5, "min_factor": 0.1},
        loss={"name": "cross_entropy", "label_smoothing": 0.05},
        backbone_lr_scale=1.0,
        seed=3,
        features=FeatureSettings(0),
    )  # fmt: skip


def new_state(recipe: Recipe) -> FitState:
    torch.manual_seed(0)
    return FitState(build_model(MODEL, CLASSES, SIDE), BestCheckpoint(recipe.train.early_stopping))


TRAIN, VAL = split(50, 1), split(30, 2)


def run(
    state: FitState, recipe: Recipe, augment: AugmentSettings = AUGMENT, **more: Any
) -> list[EpochRecord]:
    return list(fit(state, TRAIN, VAL, recipe, Augment(augment, CLASSES), **more))


def images_through(work: Callable[[], Any]) -> int:
    """How many pictures go through a backbone during `work()`."""
    count, forward = 0, Classifier.forward_features

    def counted(self: Classifier, x: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += len(x)
        return forward(self, x)

    with mock.patch.object(Classifier, "forward_features", counted):
        work()
    return count
