"""CUDA graphs: recording changes nothing, and only full batches go through it."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from braintumor.data.tensors import Augment
from braintumor.errors import ConfigError
from braintumor.training.batches import PictureBatches, record_forward
from small_fit import CLASSES, NONE, TRAIN, VAL, new_state, recipe


def recorded(step: nn.Module, samples: tuple[Tensor, ...]) -> Callable[[Tensor], Tensor]:
    """Stands for the recording where there is no GPU: runs the step thrice, as it does."""
    for _ in range(3):
        step(*samples).sum().backward()
    return lambda x: step(x) + 1000  # told from the plain way


@pytest.fixture
def batches() -> PictureBatches:
    return PictureBatches(TRAIN, VAL, Augment(NONE, CLASSES), 0, 16, torch.float32)


def test_recording_changes_nothing_of_the_model(batches: PictureBatches) -> None:
    model = new_state(recipe()).model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with mock.patch("torch.cuda.make_graphed_callables", recorded):
        record_forward(batches, model, TRAIN.images[:16].float(), torch.float32)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert "forward" not in vars(model)


def test_a_batch_of_another_shape_goes_the_plain_way(batches: PictureBatches) -> None:
    model = new_state(recipe()).model.train()
    with mock.patch("torch.cuda.make_graphed_callables", recorded):
        forward = record_forward(batches, model, TRAIN.images[:16].float(), torch.float32)
    assert forward(TRAIN.images[16:32].float()).min() > 500
    assert forward(TRAIN.images[:5].float()).max() < 500


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_graph_gives_what_the_model_gives() -> None:
    device = torch.device("cuda")
    model = new_state(recipe()).model.to(device).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    x = TRAIN.images.float().to(device)
    plain = PictureBatches(TRAIN, VAL, Augment(NONE, CLASSES), 0, 16, torch.float32)
    forward = record_forward(plain, model, x[:16], torch.float32)
    for part in (x[:16], x[16:32], x[32:37]):
        model.zero_grad()
        got = forward(part)
        got.sum().backward()
        grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        expected = model(part)
        expected.sum().backward()
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
        for grad, parameter in zip(grads, model.parameters(), strict=True):
            torch.testing.assert_close(grad, parameter.grad, rtol=1e-2, atol=1e-2)


def test_two_ways_to_the_same_end_are_refused() -> None:
    with pytest.raises(ConfigError, match="choose one"):
        recipe(compile=True, cuda_graphs=True)
