"""Every way to meet a rare class learns it, with each loss, with and without mixup and EMA."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch

from braintumor.data.host_images import ImageSplit
from braintumor.data.tensors import Augment
from braintumor.models.classifier import build_model
from braintumor.training.loop import fit
from braintumor.training.recipe import Phase
from braintumor.training.state import BestCheckpoint, FitState
from small_fit import MODEL, NONE, recipe

SIDE_PX = 8
LOSSES = (
    {"name": "cross_entropy", "label_smoothing": 0.0},
    {"name": "cross_entropy", "label_smoothing": 0.05},
    {"name": "focal", "gamma": 2.0},
)
COMBINATIONS = list(
    itertools.product(("oversample", "class_weights", "none"), LOSSES, (0.0, 0.2), (0.0, 0.9))
)


def dark_and_bright(dark: int, bright: int) -> ImageSplit:
    """Noise, and noise that is brighter by more than it varies."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [dark, bright])
    noise = rng.integers(0, 60, (dark + bright, 1, SIDE_PX, SIDE_PX))
    images = (noise + 120 * labels[:, None, None, None]).astype(np.uint8)
    paths = tuple(f"image{i}.png" for i in range(len(labels)))
    return ImageSplit(torch.from_numpy(images), torch.from_numpy(labels), paths)


@pytest.mark.parametrize(("imbalance", "loss", "mixup", "ema"), COMBINATIONS)
def test_a_rare_class_is_learnt(
    imbalance: str, loss: dict[str, Any], mixup: float, ema: float
) -> None:
    """100 images against 2; the accuracy of each class counts the same."""
    images = dark_and_bright(100, 2)
    model = MODEL | {
        "backbone": MODEL["backbone"] | {"widths": [8], "dropout": 0.0},
        "attention": {"name": "none"},
        "head": MODEL["head"] | {"noise": 0.0, "dropout": 0.0},
    }
    plan = recipe((Phase(6, "all", 1e-2),), imbalance=imbalance, ema_decay=ema, batch_size=32)
    plan = dataclasses.replace(plan, loss=loss)
    torch.manual_seed(0)
    state = FitState(build_model(model, 2, SIDE_PX), BestCheckpoint(plan.train.early_stopping))
    augment = Augment(dataclasses.replace(NONE, mixup=mixup), 2)
    last = list(fit(state, images, images, plan, augment))[-1]
    assert last.val_balanced_accuracy >= 0.95
    if not mixup:  # else the running figures are of blends
        assert last.train_accuracy >= 0.95
