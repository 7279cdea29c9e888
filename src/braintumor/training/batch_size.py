"""train.batch_size=auto: as large as the data make sense of and the memory holds."""

# B batch, C channels, S side in px

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from braintumor.data.host_images import ImageSplit
from braintumor.data.tensors import Augment
from braintumor.models.classifier import Classifier
from braintumor.runtime import choose_precision, seeded
from braintumor.training.batches import PictureBatches
from braintumor.training.losses import build_loss
from braintumor.training.recipe import Recipe
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.training.step import Step

_LARGEST, _SMALLEST = 256, 8
_STEPS = 50  # an epoch at least: larger batches learn less from as many images
_SLACK = 1.15  # more images than are taken have to fit: memory falls apart, and others use it


def choose_batch_size(
    model: Classifier, images: int, sample: Tensor, recipe: Recipe, augment: Augment
) -> int:
    """A power of two from 8 to 256, with 50 steps an epoch or more where the data allow it.

    images: of one epoch.  sample: one picture, uint8 (1, C, S, S), on the device. On a GPU steps
    of every phase are tried with 15 % more images, and their number halved until they fit.
    The model stays as it is; the steps train a copy.
    """
    size = _LARGEST
    while size > _SMALLEST and images / size < _STEPS:
        size //= 2
    if sample.device.type == "cuda":
        while size > _SMALLEST and not _fits(model, size, sample, recipe, augment):
            size //= 2
    return size


def _fits(model: Classifier, size: int, sample: Tensor, recipe: Recipe, augment: Augment) -> bool:
    """Whether the device's memory holds training steps of that many pictures, and some more."""
    images = sample.expand(math.ceil(_SLACK * size), -1, -1, -1)
    try:
        _try_phases(copy.deepcopy(model), images, recipe, augment)
    except torch.OutOfMemoryError:
        fits = False
    else:
        fits = True
    torch.cuda.empty_cache()
    return fits


def _try_phases(model: Classifier, images: Tensor, recipe: Recipe, augment: Augment) -> None:
    """Two steps of every phase: the first makes what the optimizer keeps."""
    device = images.device
    labels, paths = torch.zeros(len(images), dtype=torch.long, device=device), ("",) * len(images)
    dtype = choose_precision(recipe.train.precision, device)
    split = ImageSplit(images, labels, paths)
    batches = PictureBatches(split, None, augment, recipe.seed, len(images), dtype)
    state = FitState(model, BestCheckpoint(recipe.train.early_stopping))
    loss_of = build_loss(recipe.loss, None)
    with seeded(0, device):
        for index in range(len(recipe.train.phases)):
            state.enter(index, recipe, steps_per_epoch=1, dtype=dtype)
            step = Step(
                state, batches, loss_of, dtype, recipe.train.clip_norm, torch.Generator(device)
            )
            model.train()
            for _ in range(2):
                step(images, labels)
                if state.ema:
                    state.ema.update()
