"""300 images of one class and 5 of another, which any network can tell apart: none may collapse."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

import small_fit
from braintumor.data.host_images import ImageSplit
from braintumor.data.tensors import Augment
from braintumor.models.classifier import build_model
from braintumor.training.batches import predict_logits
from braintumor.training.loop import fit
from braintumor.training.recipe import Phase
from braintumor.training.state import BestCheckpoint, FitState

SIDE = 8
IMBALANCE = ("oversample", "class_weights", "none")
LOSSES = {
    "cross entropy": {"name": "cross_entropy", "label_smoothing": 0.0},
    "cross entropy, smoothed": {"name": "cross_entropy", "label_smoothing": 0.1},
    "focal": {"name": "focal", "gamma": 2.0},
}


def dark_and_bright(dark: int, bright: int) -> ImageSplit:
    rng = np.random.default_rng(dark)
    labels = np.array([0] * dark + [1] * bright)
    images = rng.integers(0, 60, (len(labels), 1, SIDE, SIDE)) + 150 * labels[:, None, None, None]
    return ImageSplit(
        torch.from_numpy(images.astype(np.uint8)),
        torch.from_numpy(labels),
        tuple(f"{k}.png" for k in range(len(labels))),
    )


TRAIN, VAL = dark_and_bright(300, 5), dark_and_bright(40, 10)


@pytest.mark.parametrize(
    ("imbalance", "loss", "mixup", "ema_decay"),
    [*itertools.product(IMBALANCE, LOSSES, [0.0, 0.2], [0.0, 0.9])],
)
def test_a_rare_class_is_learned(imbalance: str, loss: str, mixup: float, ema_decay: float) -> None:
    # with nothing to even them out, 5 of 305 images take longer to be learned
    phase = Phase(30 if imbalance == "none" else 8)
    recipe = small_fit.recipe((phase,), imbalance=imbalance, ema_decay=ema_decay, batch_size=32)
    recipe = dataclasses.replace(
        recipe,
        loss=LOSSES[loss],
        optimizer=recipe.optimizer | {"lr": 0.05},
    )
    model = {
        "backbone": small_fit.MODEL["backbone"] | {"widths": [4], "dropout": 0.0},
        "attention": {"name": "none"},
        "head": small_fit.MODEL["head"] | {"noise": 0.0, "dropout": 0.0},
    }
    torch.manual_seed(0)
    state = FitState(build_model(model, 2, SIDE), BestCheckpoint(recipe.train.early_stopping))
    augment = Augment(dataclasses.replace(small_fit.NONE, mixup=mixup), 2)
    *_, last = fit(state, TRAIN, VAL, recipe, augment)
    assert mixup or last.train_accuracy >= 0.95  # else the running figures are of blends
    answers = predict_logits(state.evaluated, VAL.images, batch_size=64).argmax(dim=1)
    recalls = [(answers == k)[VAL.labels == k].float().mean().item() for k in (0, 1)]
    assert min(recalls) >= 0.9, recalls
    assert last.val_balanced_accuracy >= 0.95 or ema_decay
