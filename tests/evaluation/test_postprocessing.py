"""What validation fits is kept with the checkpoint as it was handed on."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import torch

from braintumor.data.host_images import ImageSplit
from braintumor.evaluation.postprocessing import FitImages, add_postprocessing, load_postprocessing
from braintumor.evaluation.predict import Inference, predict_with_features
from braintumor.runs.checkpoint import load_classifier
from braintumor.statistics.decisions import DecisionSettings

SETTINGS = DecisionSettings(sensitivity=0.9, prevalence=None, coverage=0.8, risk=0.3, reject=0.1)
HOW = Inference(batch_size=16, dtype=torch.float32)
CPU = torch.device("cpu")


def split(count: int, seed: int, size_px: int) -> ImageSplit:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(
        0, 256, (count, 1, size_px, size_px), generator=generator, dtype=torch.uint8
    )
    return ImageSplit(images, torch.arange(count) % 4, tuple(f"{i}.png" for i in range(count)))


def test_what_is_handed_on_is_what_the_files_hold(trained: Path, tmp_path: Path) -> None:
    """Model, card and rules; a second checkpoint takes the decisions of the first."""
    paths = [tmp_path / name for name in ("selected.safetensors", "best.safetensors")]
    for path in paths:
        shutil.copyfile(trained / "best.safetensors", path)
    size_px = load_classifier(paths[0], CPU)[1].image_size
    images = FitImages(split(40, 0, size_px), split(32, 1, size_px), np.arange(32) // 2)
    model, card, fitted = add_postprocessing(paths, images, SETTINGS, HOW, views=2)
    again, stored = load_classifier(paths[1], CPU)
    assert card == stored
    assert dataclasses.asdict(fitted.decisions) == stored.decisions
    assert load_classifier(paths[0], CPU)[1].decisions == stored.decisions
    loaded = load_postprocessing(paths[1], stored)
    assert loaded is not None and loaded.decisions == fitted.decisions
    (one, features), (other, same) = (
        predict_with_features(m, images.val, card.classes, HOW, views=2) for m in (model, again)
    )
    np.testing.assert_array_equal(one.logits, other.logits)
    for mine, theirs in zip(fitted.scores(features), loaded.scores(same), strict=True):
        np.testing.assert_array_equal(mine, theirs)
