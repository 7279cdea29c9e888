"""What a GPU alone would show, without one: mixed devices, hidden waits, float64 (fake_gpu.py)."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensor,
    FakeTensorDeviceMismatchError,
)

from braintumor.config import component_names, config_dir
from braintumor.data.host_images import HostImages, ImageSplit
from braintumor.data.tensors import Augment
from braintumor.eager import without_compiler
from braintumor.evaluation.heatmaps import heat_cells
from braintumor.evaluation.predict import (
    EvalView,
    FeatureExtractor,
    Inference,
    features_of,
    halves_by_slices,
    predict,
    predict_with_features,
)
from braintumor.models.attention import build_attention
from braintumor.models.backbones import Backbone, build_backbone
from braintumor.models.classifier import Classifier, build_model
from braintumor.models.ensemble import Ensemble
from braintumor.training.batches import PictureBatches, predict_logits, validate
from braintumor.training.features import FeatureStore, joined
from braintumor.training.losses import build_loss
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.training.step import Step
from fake_gpu import FakeGPU, fake_gpu
from small_fit import AUGMENT, CLASSES, MODEL, NONE, SIDE, recipe, section

GPU, COUNT = torch.device("cuda", 0), 12
NAMES = tuple("wxyz"[:CLASSES])
TABLE = sorted(path.stem for path in (config_dir() / "model" / "backbone").glob("*.yaml"))
ATTENTION = component_names("braintumor.models.attention")
HEADS: list[dict[str, Any]] = [
    {"pooling": "avg"},
    {"pooling": "max", "hidden": 8, "batch_norm": True},
    {"pooling": "avgmax", "batch_norm": True},
    {"pooling": "flatten", "hidden": 8},
]
FOCAL = {"name": "focal", "gamma": 2.0}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGPU]:
    with fake_gpu(monkeypatch) as gpu:
        yield gpu
        assert gpu.doubles == [], "Apple's GPUs have no float64, and others are slow at it"


def model_with(attention: str, **head: Any) -> Classifier:
    model = MODEL | {"attention": section("attention", attention), "head": MODEL["head"] | head}
    return build_model(model, CLASSES, SIDE)


def on_gpu(gpu: FakeGPU, attention: str = "none", **head: Any) -> Classifier:
    return gpu.put(lambda: model_with(attention, **head))


def images(*, on_host: bool = False, channels: int = 1) -> ImageSplit:
    paths = tuple(map(str, range(COUNT)))
    labels = torch.from_numpy(np.arange(COUNT) % CLASSES).to(GPU)
    if on_host:
        pixels = torch.zeros((COUNT, SIDE, SIDE), dtype=torch.uint8)
        return ImageSplit(HostImages(pixels, torch.arange(COUNT)), labels, paths)
    shape = (COUNT, channels, SIDE, SIDE)
    return ImageSplit(torch.zeros(shape, dtype=torch.uint8, device=GPU), labels, paths)


def is_there(x: torch.Tensor) -> bool:
    return isinstance(x, FakeTensor) and x.device == GPU


def test_the_fake_refuses_what_a_gpu_would_refuse_or_wait_for(gpu: FakeGPU) -> None:
    x = torch.ones(3, device=GPU)
    with pytest.raises(FakeTensorDeviceMismatchError):
        x + torch.ones(3)
    with pytest.raises(DataDependentOutputException):
        x.sum().item()
    with pytest.raises(DataDependentOutputException):
        bool(x.any())
    assert gpu.reads == 0 and x.cpu().sum().item() == 0 and gpu.reads == 1
    x.double()
    assert len(gpu.doubles) == 1
    gpu.doubles.clear()


def step(model: Classifier, train: ImageSplit, augment: Augment, dtype: torch.dtype) -> None:
    """A training step without its backward pass, as the loop does it."""
    batches = PictureBatches(train, None, augment, seed=0, batch_size=8, dtype=dtype)
    model.train()
    ((fetched, labels_B),) = batches.fetch((torch.arange(8),), epoch=1)
    x, target = batches.prepare(fetched, labels_B, torch.Generator(GPU), None)
    with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        logits_BK = batches.forward(model, x)
    assert is_there(logits_BK) and logits_BK.dtype == torch.float32
    loss = build_loss({"name": "cross_entropy", "label_smoothing": 0.1}, None)(logits_BK, target)
    assert is_there(loss)
    assert is_there((logits_BK.argmax(dim=1) == labels_B).sum())


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A device without values, where backward runs; a read and a mixed device raise there too."""
    name = "_get_fused_kernels_supported_devices"
    monkeypatch.setattr(importlib.import_module("torch.optim.optimizer"), name, lambda: ["meta"])
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # fp32 alone
    return torch.device("meta")


def test_the_meta_device_refuses_it_too(meta: torch.device) -> None:
    x = torch.ones(3, device=meta, requires_grad=True)
    (x * x).sum().backward()
    assert x.grad is not None and x.grad.device == meta
    with pytest.raises(RuntimeError, match="not on the expected device"):
        x + torch.ones(3)
    with pytest.raises(RuntimeError, match="meta"):
        x.sum().item()
    with pytest.raises(RuntimeError, match="meta"):
        bool(x.any())


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head["pooling"])
@pytest.mark.parametrize("attention", ATTENTION)
def test_a_whole_step_with_backward_reads_nothing(
    meta: torch.device, attention: str, head: dict[str, Any]
) -> None:
    with without_compiler():
        model = model_with(attention, **head).to(meta)
        plan = recipe(ema_decay=0.9)
        state = FitState(model, BestCheckpoint(plan.train.early_stopping))
        state.enter(0, plan, 1, torch.float32)
        labels = torch.zeros(CLASSES * 3, dtype=torch.long, device=meta)
        pixels = torch.zeros((len(labels), 1, SIDE, SIDE), dtype=torch.uint8, device=meta)
        train = ImageSplit(pixels, labels, tuple(map(str, range(len(labels)))))
        batches = PictureBatches(train, None, Augment(NONE, CLASSES), 0, 8, torch.float32)
        loss_of, clip_norm = build_loss(plan.loss, None), plan.train.clip_norm
        step = Step(state, batches, loss_of, torch.float32, clip_norm, torch.Generator())
        model.train()
        ((fetched, labels_B),) = batches.fetch((torch.arange(8),), epoch=1)
        loss, hits = step(fetched, labels_B)
        assert state.ema is not None
        state.ema.update()
    assert loss.device == hits.device == meta and loss.dtype == torch.float32
    assert all(p.grad is not None and p.grad.device == meta for p in model.parameters())
    assert {t.device for t in state.ema.state_dict().values()} == {meta}


@pytest.mark.parametrize("options", [{"name": "cross_entropy", "label_smoothing": 0.1}, FOCAL])
def test_every_loss(gpu: FakeGPU, options: dict[str, Any]) -> None:
    logits_BK = torch.zeros(4, CLASSES, device=GPU)
    for target in (torch.ones(4, dtype=torch.long, device=GPU), logits_BK.softmax(dim=1)):
        for weights in (None, torch.ones(CLASSES, device=GPU)):
            assert is_there(build_loss(options, weights)(logits_BK, target))
    assert gpu.reads == 0


@pytest.mark.parametrize(
    ("dtype", "mixup", "on_host"), [(torch.float32, 0.2, False), (torch.bfloat16, 0.0, True)]
)
def test_a_step_waits_for_nothing(
    gpu: FakeGPU, dtype: torch.dtype, mixup: float, on_host: bool
) -> None:
    strong = dataclasses.replace(AUGMENT, vertical_flip=0.5, mixup=mixup)
    for settings in (NONE, strong):
        step(on_gpu(gpu, "se"), images(on_host=on_host), Augment(settings, CLASSES), dtype)
    assert gpu.reads == 0


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head["pooling"])
@pytest.mark.parametrize("attention", ATTENTION)
def test_every_attention_and_head_in_training_and_evaluation(
    gpu: FakeGPU, attention: str, head: dict[str, Any]
) -> None:
    model = on_gpu(gpu, attention, **head)
    split = images(channels=3)
    step(model, split, Augment(NONE, CLASSES), torch.bfloat16)
    logits = predict_logits(model, split.images, batch_size=8, dtype=torch.bfloat16)
    assert is_there(logits) and logits.shape == (COUNT, CLASSES)
    read = FeatureExtractor(model, split.images, Inference(COUNT, torch.float32))
    assert is_there(read(read.logits, EvalView(2)))
    assert gpu.reads == 0
    if attention == "mhsa":
        how = (np.zeros(5, int), "attention", "backbone")
        assert len(heat_cells(model, np.zeros((5, SIDE, SIDE), np.uint8), *how)) == 5  # type: ignore[arg-type]


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("name", ATTENTION)
def test_every_attention_alone(gpu: FakeGPU, name: str, noise: float) -> None:
    options = section("attention", name) | (
        {"noise": noise, "dropout": noise} if name == "mhsa" else {}
    )
    layer: Any = gpu.put(lambda: build_attention(options, 16))
    for size in ((1, 1), (3, 5), (21, 20)):
        assert is_there(layer(torch.ones((2, 16, *size), device=GPU)))
        if hasattr(layer, "forward_pooled"):
            assert is_there(layer.forward_pooled(torch.ones((2, 16, *size), device=GPU)))


@pytest.mark.parametrize("name", TABLE)
def test_every_backbone(gpu: FakeGPU, name: str) -> None:
    values = section("backbone", name) | {"weights": "none"}
    if name == "timm":
        values["timm_name"] = "resnet18"
    size = 75 if name == "inceptionv3" else 64

    def build() -> Backbone:
        with torch.device("meta"):  # no weights are drawn, which would take seconds
            return build_backbone(values, size)

    net = gpu.put(build)
    with torch.no_grad():
        features = net.train()(torch.ones((2, 3, size, size), device=GPU))
    assert is_there(features) and features.shape == (2, net.channels, *net.map_size_px)
    assert gpu.reads == 0


def test_validation_reads_its_answers_once(gpu: FakeGPU) -> None:
    model, val = on_gpu(gpu, "mhsa"), images()
    assert validate(model, val, 4, torch.bfloat16)["val_loss"] > 0
    assert gpu.reads <= 2  # the answers, and then the labels, for which it waits no more


@pytest.mark.parametrize("attention", ["se", "mhsa"])
def test_evaluation_with_all_its_views(gpu: FakeGPU, attention: str) -> None:
    model, split, how = on_gpu(gpu, attention), images(), Inference(8, torch.float32)
    predictions, features = predict_with_features(model, split, NAMES, how, 4)
    assert predictions.logits.shape == (COUNT, CLASSES)
    assert features.shape == features_of(model, split, how).shape
    together = Ensemble([model, on_gpu(gpu, "none")], [1.0, 2.0]).eval()
    assert predict(together, split, NAMES, how, 2).logits.shape == (COUNT, CLASSES)
    with torch.no_grad():
        assert is_there(together(split.images))


@pytest.mark.parametrize("rows", [1, 2, 7, 8])
def test_halves_are_those_of_adaptive_pooling(rows: int) -> None:
    x = torch.randn(2, 3, rows, 5)
    expected = torch.nn.functional.adaptive_avg_pool2d(x, (2, 1)).squeeze(3).mT
    torch.testing.assert_close(halves_by_slices(x), expected)


def test_features_without_room_on_disk_lie_in_host_memory(
    gpu: FakeGPU, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("braintumor.training.features.cache.write_entry", lambda *_: False)
    store = FeatureStore(on_gpu(gpu), GPU, torch.float32, progress=False)
    features = store.features(images().images, "of zeros, without room", None)
    assert features.device.type == "cpu" and len(features) == COUNT
    assert is_there(joined(iter([features, features]), 2 * COUNT, GPU))
