"""train.batch_size=auto: what the data bear, and what the memory does."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from braintumor.training import batches
from braintumor.training.batches import choose_batch_size
from small_fit import new_state, recipe

PICTURE = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "expected"),
    [(100_000, 256), (12_800, 256), (12_799, 128), (3_200, 64), (600, 8), (20, 8)],
)
def test_an_epoch_keeps_fifty_steps_where_it_can(images: int, expected: int) -> None:
    model = new_state(recipe()).model
    assert choose_batch_size(model, images, PICTURE, torch.float32) == expected


@pytest.mark.parametrize(("bearable", "expected"), [(300, 256), (100, 64), (3, 8)])
def test_on_a_gpu_the_size_is_halved_until_it_fits(bearable: int, expected: int) -> None:
    model, tried = new_state(recipe()).model, []

    def fits(_: object, x: torch.Tensor, dtype: torch.dtype) -> bool:
        tried.append(len(x))
        return len(x) <= bearable

    sample = mock.MagicMock(spec=torch.Tensor)
    sample.device = torch.device("cuda")
    sample.expand = lambda size, *_: PICTURE.expand(size, -1, -1, -1)
    with mock.patch.object(batches, "_fits", fits):
        assert choose_batch_size(model, 10**6, sample, torch.float32) == expected
    assert tried == [256, 128, 64, 32, 16][: len(tried)]


def test_the_trial_leaves_no_trace_in_the_model() -> None:
    model = new_state(recipe()).model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert batches._fits(model, PICTURE.expand(8, -1, -1, -1), torch.float32)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_batch_that_does_not_fit_is_a_no() -> None:
    model = new_state(recipe()).model
    with mock.patch.object(type(model), "forward", side_effect=torch.OutOfMemoryError):
        assert not batches._fits(model, PICTURE, torch.float32)
