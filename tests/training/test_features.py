"""Kept features: the same training as on pictures, computed once, and never the wrong ones."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from braintumor.cache_folder import cache_dir
from braintumor.data.host_images import ImageSplit
from braintumor.data.tensors import Augment, AugmentSettings
from braintumor.models.classifier import Classifier, build_model
from braintumor.records import EpochRecord
from braintumor.training.batches import PictureBatches
from braintumor.training.features import FeatureBatches, feature_batches
from braintumor.training.loop import fit
from braintumor.training.recipe import FeatureSettings, Phase, Recipe
from braintumor.training.state import BestCheckpoint, FitState
from small_fit import CLASSES, MODEL, NONE, SIDE, TRAIN, VAL, images_through, recipe

LIGHT = dataclasses.replace(NONE, horizontal_flip=0.5, rotation_deg=20, shift=0.1, brightness=0.1)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))


def build(attention: dict[str, Any] | None = None, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    model = MODEL | {"attention": attention or {"name": "none"}}
    return build_model(model, CLASSES, SIDE)


def head_only(views: int, epochs: int = 3) -> Recipe:
    plan = recipe((Phase(epochs, "head", 1e-2),), ema_decay=0.9)
    return dataclasses.replace(plan, features=FeatureSettings(views))


def train(
    model: Classifier, plan: Recipe, augment: AugmentSettings
) -> tuple[FitState, list[EpochRecord]]:
    state = FitState(model, BestCheckpoint(plan.train.early_stopping))
    return state, list(fit(state, TRAIN, VAL, plan, Augment(augment, CLASSES)))


def open_batches(model: Classifier, augment: AugmentSettings, **changes: Any) -> FeatureBatches:
    model.set_trainable("head")
    pictures = PictureBatches(TRAIN, VAL, Augment(augment, CLASSES), 1, 16, torch.float32)
    epochs = changes.pop("epochs", 9)
    pictures = dataclasses.replace(pictures, **changes)
    return feature_batches(model, pictures, FeatureSettings(3), epochs=epochs, progress=False)


@pytest.mark.parametrize(
    "attention",
    [None, {"name": "se", "reduction": 4}],
    ids=["none", "se"],
)
def test_without_augmentation_the_training_is_the_plain_one(
    attention: dict[str, Any] | None,
) -> None:
    plain, expected = train(build(attention), head_only(0), NONE)
    kept, got = train(build(attention), head_only(1), NONE)
    for one, other in zip(expected, got, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-5)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-5)
        assert one.val_accuracy == other.val_accuracy
    for name, weights in plain.best.weights.items():
        torch.testing.assert_close(kept.best.weights[name], weights, rtol=1e-4, atol=1e-6)


def test_the_backbone_computes_every_view_once() -> None:
    images = len(TRAIN) + len(VAL)
    with_views = images_through(lambda: train(build(), head_only(2, epochs=5), LIGHT))
    assert with_views == 2 * len(TRAIN) + len(VAL)
    again = images_through(lambda: train(build({"name": "none"}), head_only(2, epochs=5), LIGHT))
    assert again == 0, "known from the first training"
    assert images_through(lambda: train(build(), head_only(0, epochs=5), LIGHT)) >= 5 * images


def test_no_more_views_than_epochs() -> None:
    assert len(open_batches(build(), LIGHT, epochs=2).views) == 2
    assert len(open_batches(build(), NONE, epochs=2).views) == 1


def test_every_picture_goes_through_its_views_in_turn() -> None:
    batches = open_batches(build(), LIGHT)
    everything = torch.arange(len(TRAIN))
    shown: list[dict[int, int]] = []  # of each epoch: image -> view
    for epoch in range(6):
        parts = list(batches.fetch(everything.split(batches.batch_size), epoch))
        assert [len(x) for x, _ in parts[:-1]] == [batches.batch_size] * (len(parts) - 1)
        x, labels = (torch.cat(each) for each in zip(*parts, strict=True))
        places = [(v, i) for row in x for v in range(3) for i in row_of(batches.views[v], row)]
        shown.append({image: view for view, image in places})
        assert sorted(shown[-1]) == everything.tolist(), "every picture once"
        images = [image for _, image in places]
        assert torch.equal(labels, TRAIN.labels[images]), "with its own label"
    for image in range(len(TRAIN)):
        first = shown[0][image]
        assert [epoch[image] for epoch in shown] == [(first + e) % 3 for e in range(6)]
    assert len(set(shown[0].values())) == 3, "an epoch mixes the views"
    ((_, labels),) = batches.fetch((everything[:7],), 2)
    assert torch.equal(labels.sort()[0], TRAIN.labels[:7].sort()[0])


def row_of(features: torch.Tensor, row: torch.Tensor) -> list[int]:
    return (features == row).flatten(1).all(dim=1).nonzero()[:, 0].tolist()


def test_a_view_is_the_augmented_picture_of_its_own_draw() -> None:
    model = build()
    views = open_batches(model, LIGHT).views
    plain = open_batches(model, NONE).views[0]
    assert not any(torch.equal(view, plain) for view in views)
    assert not torch.equal(views[0], views[1])
    other_seed = open_batches(model, LIGHT, seed=2).views[0]
    assert not torch.equal(views[0], other_seed)
    with torch.no_grad():
        expected = model.forward_cacheable(TRAIN.images.float())
    torch.testing.assert_close(plain, expected)


def other_images() -> ImageSplit:
    images = TRAIN.images.clone()
    images[3, 0, 5, 5] ^= 1
    return dataclasses.replace(TRAIN, images=images)


@pytest.mark.parametrize(
    "change",
    ["weights", "statistics", "images", "pooling", "draws", "seed"],
)
def test_what_features_depend_on_makes_them_anew(change: str) -> None:
    open_batches(build(), LIGHT)
    model, images, augment, seed = build(), TRAIN, LIGHT, 1
    if change == "weights":
        with torch.no_grad():
            next(model.backbone.parameters()).view(-1)[0] += 1e-3
    elif change == "statistics":
        next(b for n, b in model.backbone.named_buffers() if "running_var" in n)[0] += 1e-3
    elif change == "images":
        images = other_images()
    elif change == "pooling":
        changed = MODEL | {"attention": {"name": "none"}}
        changed["head"] = MODEL["head"] | {"pooling": "max"}
        torch.manual_seed(0)
        model = build_model(changed, CLASSES, SIDE)
    elif change == "draws":
        augment = dataclasses.replace(LIGHT, rotation_deg=21)
    else:
        seed = 2
    done = images_through(lambda: open_batches(model, augment, seed=seed, train=images))
    known = len(VAL) if change in ("images", "draws", "seed") else 0
    assert done == 3 * len(TRAIN) + len(VAL) - known


def test_the_same_again_computes_nothing() -> None:
    first = open_batches(build(), LIGHT)
    assert images_through(lambda: open_batches(build(), LIGHT)) == 0
    again = open_batches(build(), LIGHT)
    assert all(torch.equal(a, b) for a, b in zip(first.views, again.views, strict=True))


@pytest.mark.parametrize("what", ["a trained block", "mixup", "views=0"])
def test_features_are_not_kept_where_they_would_be_wrong(what: str) -> None:
    plan, augment = head_only(0 if what == "views=0" else 2, epochs=2), LIGHT
    if what == "a trained block":
        phases = (Phase(2, "last_block", 1e-2),)
        plan = dataclasses.replace(plan, train=dataclasses.replace(plan.train, phases=phases))
    if what == "mixup":
        augment = dataclasses.replace(LIGHT, mixup=0.2)
    train(build(), plan, augment)
    assert not (cache_dir() / "features").exists()


def test_phases_change_between_features_and_pictures() -> None:
    """After the backbone has moved, the features of the phase before would be wrong."""
    phases = (Phase(1, "head", 1e-2), Phase(1, "all", 1e-2), Phase(1, "head", 1e-2))
    plan = dataclasses.replace(recipe(phases), features=FeatureSettings(1))
    plain = dataclasses.replace(plan, features=FeatureSettings(0))
    _, expected = train(build(), plain, NONE)
    _, got = train(build(), plan, NONE)
    for one, other in zip(expected, got, strict=True):
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-4)


def test_a_resumed_training_ends_with_the_same_weights() -> None:
    plan = head_only(2, epochs=4)
    whole, _ = train(build(), plan, LIGHT)
    cut = FitState(build(), BestCheckpoint(plan.train.early_stopping))
    epochs = fit(cut, TRAIN, VAL, plan, Augment(LIGHT, CLASSES))
    next(epochs), next(epochs)
    rest = FitState(build(seed=5), BestCheckpoint(plan.train.early_stopping))
    list(fit(rest, TRAIN, VAL, plan, Augment(LIGHT, CLASSES), resume_from=cut.state_dict()))
    for name, weights in whole.best.weights.items():
        assert torch.equal(rest.best.weights[name], weights)


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = open_batches(build(), LIGHT).views
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "file"))
    got = open_batches(build(), LIGHT).views
    assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))
    assert "not kept" in caplog.text


def test_bfloat16_features_come_back_as_they_were() -> None:
    model = build()
    first = open_batches(model, NONE, dtype=torch.bfloat16).views[0]
    again = open_batches(model, NONE, dtype=torch.bfloat16).views[0]
    assert first.dtype == again.dtype == torch.float32  # pooled, so with all their bits
    assert torch.equal(first, again)
    assert math.isfinite(first.float().abs().sum().item())


@pytest.mark.parametrize("damage", ["cut", "flipped", "header", "no checksums"])
def test_a_damaged_file_is_made_anew(damage: str, caplog: pytest.LogCaptureFixture) -> None:
    expected = open_batches(build(), NONE).views[0].clone()
    for path in (cache_dir() / "features").glob("*.npy"):
        content = bytearray(path.read_bytes())
        if damage == "no checksums":  # killed between the two writes
            path.with_suffix(".npz").unlink()
        elif damage == "cut":
            path.write_bytes(content[:-40])
        else:
            content[{"flipped": -40, "header": 30}[damage]] ^= 1
            path.write_bytes(content)
    got = open_batches(build(), NONE).views[0]
    assert torch.equal(got, expected)
    assert ("is damaged" in caplog.text) == (damage != "no checksums")
    assert images_through(lambda: open_batches(build(), NONE)) == 0  # kept again, and whole


def test_a_sweep_over_rates_and_heads_computes_once() -> None:
    open_batches(build(), LIGHT)
    changed = MODEL | {"attention": {"name": "none"}}
    changed["backbone"] = MODEL["backbone"] | {"weights": "none"}
    changed["head"] = MODEL["head"] | {"dropout": 0.5, "hidden": 12}
    torch.manual_seed(0)
    other = build_model(changed, CLASSES, SIDE)
    other.settings["backbone"]["lr_scale"] = 0.1
    assert images_through(lambda: open_batches(other, LIGHT)) == 0
