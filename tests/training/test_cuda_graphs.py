"""CUDA graphs: a recorded step trains as the plain one does, in every phase, and leaves nothing."""

from __future__ import annotations

import dataclasses
import gc
import logging
from typing import Any

import pytest
import torch

from braintumor.data.host_images import ImageSplit
from braintumor.data.tensors import Augment
from braintumor.errors import ConfigError
from braintumor.models.classifier import Classifier
from braintumor.records import EpochRecord
from braintumor.training.loop import fit
from braintumor.training.recipe import Phase, Recipe
from braintumor.training.state import FitState
from small_fit import AUGMENT, CLASSES, TRAIN, VAL, new_state, recipe, run, split

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
PHASES = (Phase(2, "head", 1e-2), Phase(2, "all"))


def on_gpu(images: ImageSplit) -> ImageSplit:
    return ImageSplit(images.images.cuda(), images.labels.cuda(), images.paths)


def train_on_gpu(plan: Recipe, **more: Any) -> tuple[FitState, list[EpochRecord]]:
    """On 130 pictures in batches of 16: nine an epoch, the last filled up with the first ones."""
    state = new_state(plan)
    state.model.cuda()
    train, val = on_gpu(split(130, 1)), on_gpu(VAL)
    records = fit(state, train, val, plan, Augment(AUGMENT, CLASSES), **more)
    return state, list(records)


def assert_close(one: list[EpochRecord], other: list[EpochRecord], tolerance: float) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=tolerance)
        assert a.val_loss == pytest.approx(b.val_loss, rel=tolerance)
        assert a.lr == pytest.approx(b.lr)


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each replay of a graph."""
    counted: list[int] = []
    replay = torch.cuda.CUDAGraph.replay

    def noted(graph: torch.cuda.CUDAGraph) -> None:
        counted.append(len(counted))
        replay(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", noted)
    return counted


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        ({}, 1e-3),
        ({"ema_decay": 0.9}, 1e-3),
        ({"clip_norm": None}, 1e-3),
        ({"precision": "bf16"}, 2e-2),
        ({"precision": "fp16"}, 2e-2),
        ({"precision": "fp16", "clip_norm": None}, 2e-2),
        ({"imbalance": "class_weights"}, 1e-3),
    ],
    ids=["clip", "ema", "plain", "bf16", "fp16 clip", "fp16", "class_weights"],
)
def test_a_graph_trains_as_the_plain_way(
    changes: dict[str, Any], tolerance: float, replays: list[int]
) -> None:
    """Augmentation, mixup, dropout and noise included: the draws are the same."""
    plan = recipe(**({"phases": PHASES, "imbalance": "none", "cuda_graphs": False} | changes))
    _, plain = train_on_gpu(plan)
    assert not replays
    settings = dataclasses.replace(plan.train, cuda_graphs=True)
    _, recorded = train_on_gpu(dataclasses.replace(plan, train=settings))
    assert_close(recorded, plain, tolerance)
    # of the nine batches of an epoch the first three of a phase go the plain way
    assert len(replays) == 2 * (2 * 9 - 3)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_every_optimizer_goes_into_a_graph(name: str, replays: list[int]) -> None:
    options: dict[str, Any] = {"name": name, "lr": 3e-3, "head_lr_scale": 1.0, "weight_decay": 0.01}
    options |= {"momentum": 0.9, "nesterov": True} if name == "sgd" else {}
    options |= {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8} if name == "adam" else {}
    plan = recipe(PHASES, imbalance="none", cuda_graphs=False)
    plan = dataclasses.replace(plan, optimizer=options)
    _, plain = train_on_gpu(plan)
    assert not replays
    settings = dataclasses.replace(plan.train, cuda_graphs=True)
    _, recorded = train_on_gpu(dataclasses.replace(plan, train=settings))
    assert_close(recorded, plain, 1e-3)
    assert replays


@pytest.mark.gpu
@needs_gpu
def test_a_resumed_graph_goes_on_as_the_uninterrupted_one() -> None:
    plan = recipe((Phase(3),), cuda_graphs=True, ema_decay=0.9, imbalance="none")
    _, whole = train_on_gpu(plan)
    first = new_state(plan)
    first.model.cuda()
    data = on_gpu(split(130, 1)), on_gpu(VAL)
    epochs = fit(first, *data, plan, Augment(AUGMENT, CLASSES))
    next(epochs)
    saved = first.snapshot()
    epochs.close()
    _, rest = train_on_gpu(plan, resume_from=saved)
    assert_close(rest, whole[1:], 1e-3)


@pytest.mark.gpu
@needs_gpu
def test_what_cannot_be_recorded_is_trained_all_the_same(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Classifier.forward

    def reading(self: Classifier, x: torch.Tensor) -> torch.Tensor:
        x.sum().item()  # waits for the device, which no graph can
        return forward(self, x)

    monkeypatch.setattr(Classifier, "forward", reading)
    plan = recipe((Phase(2),), cuda_graphs=True, imbalance="none")
    with caplog.at_level(logging.WARNING):
        _, records = train_on_gpu(plan)
    assert len(records) == 2
    assert caplog.text.count("train.cuda_graphs=true does not work here") == 1


@pytest.mark.gpu
@needs_gpu
def test_a_phase_leaves_no_memory_of_its_graph() -> None:
    """Two trainings end with as much as one: no graph outlives its phase, in cycles neither."""
    plan, used = recipe(PHASES, cuda_graphs=True, imbalance="none"), []
    gc.disable()
    try:
        for _ in range(3):
            train_on_gpu(plan)
            torch.cuda.empty_cache()
            used.append(torch.cuda.memory_reserved())
    finally:
        gc.enable()
    assert used[2] <= used[1]


def test_two_ways_to_the_same_end_are_refused() -> None:
    with pytest.raises(ConfigError, match="choose one"):
        recipe(compile=True, cuda_graphs=True)


def test_without_a_gpu_nothing_is_recorded() -> None:
    """A run that began on a GPU goes on elsewhere, bit for bit as one that never had a graph."""
    plan = recipe((Phase(2),))
    expected, state = new_state(plan), new_state(plan)
    run(expected, plan)
    run(state, dataclasses.replace(plan, train=dataclasses.replace(plan.train, cuda_graphs=True)))
    for name, tensor in expected.model.state_dict().items():
        assert torch.equal(tensor, state.model.state_dict()[name])


def test_a_state_of_a_graph_goes_on_without_one() -> None:
    """Its optimizer's rates were tensors on the device, and its step was for a graph to hold."""
    plan = recipe((Phase(2),))
    whole = run(new_state(plan), plan)
    first = new_state(plan)
    epochs = fit(first, TRAIN, VAL, plan, Augment(AUGMENT, CLASSES))
    next(epochs)
    saved = first.snapshot()
    for group in saved["optimizer"]["param_groups"]:
        group["lr"], group["capturable"] = torch.tensor(group["lr"]), True
    second = new_state(plan)
    rest = run(second, plan, resume_from=saved)
    assert [r.train_loss for r in rest] == [r.train_loss for r in whole[1:]]
    assert all(not group["capturable"] for group in second.optimizer.param_groups)
