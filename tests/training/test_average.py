"""The moving average of the weights: its values by hand, what it shares, and old states."""

from __future__ import annotations

import pytest
import torch

from braintumor.training.average import Average
from small_fit import TRAIN, new_state, recipe


def set_all(model: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(value)


def test_the_average_is_the_one_worked_by_hand() -> None:
    """1, then 1 + 9/11 * (3 - 1) under a decay of 2/11, then the decay that was asked for."""
    model = new_state(recipe()).model
    average = Average(model, decay=0.2)
    bias = average.model.head[-1].bias
    set_all(model, 1.0)
    average.update()
    assert bias.tolist() == [1.0] * len(bias)
    set_all(model, 3.0)
    average.update()
    assert bias.tolist() == pytest.approx([1 + 9 / 11 * 2] * len(bias))
    set_all(model, 0.0)
    average.update()
    assert bias.tolist() == pytest.approx([0.2 * (1 + 9 / 11 * 2)] * len(bias))


def test_statistics_of_norms_are_averaged_too() -> None:
    model = new_state(recipe()).model
    average = Average(model, decay=0.5)
    mean = dict(average.model.named_buffers())
    name = next(name for name in mean if name.endswith("running_mean"))
    for value in (2.0, 4.0):
        set_all(model, value)
        average.update()
    assert mean[name].tolist() == pytest.approx([2 + 9 / 11 * 2] * len(mean[name]))


def test_what_rests_is_shared_and_what_is_trained_is_not() -> None:
    model = new_state(recipe()).model
    model.set_trainable("head")
    average = Average(model, decay=0.9)
    pairs = zip(model.named_parameters(), average.model.parameters(), strict=True)
    for (name, own), averaged in pairs:
        assert (own is averaged) == name.startswith("backbone."), name


def test_a_copy_does_not_call_the_compiled_code_of_the_original() -> None:
    """Under train.compile=true validation went through the original, in training mode."""
    model = new_state(recipe()).model
    model.compile(backend="eager")
    average = Average(model, decay=0.9)
    average.update()
    set_all(model, 0.0)
    average.model.eval()
    with torch.no_grad():
        logits = average.model(TRAIN.images[:4])
    assert logits.abs().sum() > 0
    assert torch.equal(logits, average.model(TRAIN.images[:4]))
