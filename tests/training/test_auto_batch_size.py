"""train.batch_size=auto: what the data bear, and what the memory does."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from braintumor.data.tensors import Augment
from braintumor.eager import eager
from braintumor.training import batch_size
from braintumor.training.batch_size import choose_batch_size
from braintumor.training.recipe import Phase
from small_fit import AUGMENT, CLASSES, new_state, recipe

PICTURE = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
PLAN = recipe((Phase(1, "head"), Phase(1)), ema_decay=0.9)
AUG = Augment(AUGMENT, CLASSES)


@pytest.mark.parametrize(
    ("images", "expected"),
    [(100_000, 256), (12_800, 256), (12_799, 128), (3_200, 64), (600, 8), (20, 8)],
)
def test_an_epoch_keeps_fifty_steps_where_it_can(images: int, expected: int) -> None:
    assert choose_batch_size(new_state(PLAN).model, images, PICTURE, PLAN, AUG) == expected


@pytest.mark.parametrize(("bearable", "expected"), [(300, 256), (100, 64), (3, 8)])
def test_on_a_gpu_the_size_is_halved_until_it_fits(bearable: int, expected: int) -> None:
    tried = []

    def fits(_: object, size: int, *rest: object) -> bool:
        tried.append(size)
        return size <= bearable

    sample = mock.MagicMock(spec=torch.Tensor)
    sample.device = torch.device("cuda")
    with mock.patch.object(batch_size, "_fits", fits):
        model = new_state(PLAN).model
        assert choose_batch_size(model, 10**6, sample, PLAN, AUG) == expected
    assert tried == [256, 128, 64, 32, 16][: len(tried)]


def test_what_is_tried_are_whole_steps_of_more_pictures_and_no_trace_is_left() -> None:
    """15 % more; augmented, in every phase, with the optimizer and the average."""
    model, seen = new_state(PLAN).model, []
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adamw = eager(torch.optim.AdamW)
    generator, step = torch.get_rng_state(), adamw.step
    forward = type(model).forward

    def noted(self: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        seen.append((len(x), x.dtype))
        return forward(self, x)

    with (
        mock.patch.object(type(model), "forward", noted),
        mock.patch.object(adamw, "step", autospec=True, side_effect=step) as steps,
    ):
        assert batch_size._fits(model, 20, PICTURE, PLAN, AUG)
    assert seen == [(23, torch.float32)] * 4
    assert steps.call_count == 4
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_batch_that_does_not_fit_is_a_no() -> None:
    model = new_state(PLAN).model
    with mock.patch.object(type(model), "forward", side_effect=torch.OutOfMemoryError):
        assert not batch_size._fits(model, 8, PICTURE, PLAN, AUG)
