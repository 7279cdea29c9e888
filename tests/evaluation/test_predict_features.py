"""What the backbone gives of evaluated images: kept, and never the wrong one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from braintumor.cache_folder import cache_dir
from braintumor.evaluation.predict import Inference, features_of, predict, predict_with_features
from braintumor.models.classifier import Classifier, build_model
from braintumor.training.features import FeatureStore, digest_of
from small_fit import CLASSES, MODEL, SIDE, TRAIN, VAL, images_through

NAMES = tuple("wxyz"[:CLASSES])
HOW = Inference(batch_size=16, dtype=torch.float32)
KEPT = dataclasses.replace(HOW, keep=True)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))


def build(attention: str = "none", head_seed: int = 0, **head: Any) -> Classifier:
    torch.manual_seed(0)
    options = {"name": attention} | ({"reduction": 4} if attention == "se" else {})
    section = MODEL | {"attention": options, "head": MODEL["head"] | head}
    model = build_model(section, CLASSES, SIDE).eval()
    torch.manual_seed(head_seed)
    for parameter in (*model.attention.parameters(), *model.head.parameters()):
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("attention", ["none", "se"])
def test_kept_or_not_the_answers_are_the_same(attention: str) -> None:
    model = build(attention)
    plain, features = predict_with_features(model, VAL, NAMES, HOW, 4)
    for _ in range(2):  # computed, and taken from disk
        kept, again = predict_with_features(model, VAL, NAMES, KEPT, 4)
        np.testing.assert_allclose(kept.logits, plain.logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(again, features, rtol=1e-4, atol=1e-5)
    only = features_of(model, VAL, KEPT)
    np.testing.assert_array_equal(only, again)


@pytest.mark.parametrize("attention", ["none", "se"])
def test_another_head_needs_no_pass_through_the_backbone(attention: str) -> None:
    def evaluate(seed: int) -> np.ndarray:
        model = build(attention, head_seed=seed)
        return predict_with_features(model, VAL, NAMES, KEPT, 3)[0].logits

    answers: list[np.ndarray] = []
    assert images_through(lambda: answers.append(evaluate(1))) == 3 * len(VAL)
    assert images_through(lambda: answers.append(evaluate(2))) == 0
    assert not np.allclose(*answers), "the head is the new one"
    fresh = predict(build(attention, head_seed=2), VAL, NAMES, HOW, 3).logits
    np.testing.assert_allclose(answers[1], fresh, rtol=1e-4, atol=1e-5)


def test_other_pictures_other_weights_and_other_pooling_are_read_anew() -> None:
    predict(build(), VAL, NAMES, KEPT)
    other = build()
    with torch.no_grad():
        next(other.backbone.parameters()).add_(0.1)
    for model, split in ((build(), TRAIN), (other, VAL), (build(pooling="max"), VAL)):
        before = images_through(lambda m=model, s=split: predict(m, s, NAMES, KEPT))
        assert before == len(split)


def test_what_training_keeps_of_the_same_pictures_is_another_thing() -> None:
    model = build()
    model.set_trainable("head")
    store = FeatureStore(model, torch.device("cpu"), torch.float32, False)
    pooled = store.features(VAL.images, digest_of(VAL.images), None)
    halves = features_of(model, VAL, KEPT)
    np.testing.assert_allclose(halves, features_of(model, VAL, HOW), rtol=1e-4, atol=1e-5)
    assert pooled.shape == (len(VAL), model.backbone.channels)


def test_nothing_is_kept_unless_asked() -> None:
    predict(build(), VAL, NAMES, HOW, 2)
    assert not list(cache_dir().rglob("*.npy"))
