"""A snapshot is what was, to the bit and the stride, whatever training does next."""

from __future__ import annotations

import copy
import dataclasses

import torch

from braintumor.data.tensors import Augment
from braintumor.training.loop import fit
from braintumor.training.recipe import Phase
from braintumor.training.snapshot import to_host
from small_fit import AUGMENT, CLASSES, TRAIN, VAL, new_state, recipe, run


def test_values_and_strides_come_back_and_nothing_is_shared() -> None:
    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    tree = {
        "a": [weight, {"b": torch.zeros(3).expand(2, 3)}], "again": weight,
        "part": torch.randn(6, 6)[::2, 1:4], "step": torch.tensor(3.0),
        "count": torch.tensor(2), "none": torch.zeros(0), "text": "x", "lr": 0.1,
    }  # fmt: skip
    copied = to_host(tree)
    assert copied["a"][0].stride() == weight.stride()
    before = weight.clone()
    weight.zero_()
    assert torch.equal(copied["a"][0], before) and copied["again"] is copied["a"][0]
    for name in ("part", "step", "count", "none"):
        assert torch.equal(copied[name], tree[name])
    tree["count"].add_(1)  # the only one of its type, which a copy of one block could leave out
    assert copied["count"] == 2
    assert copied["a"][1]["b"].tolist() == [[0.0] * 3] * 2
    assert (copied["text"], copied["lr"]) == ("x", 0.1)


def test_later_epochs_do_not_change_a_snapshot() -> None:
    plan = recipe((Phase(3),), ema_decay=0.9)
    expected, state = new_state(plan), new_state(plan)
    whole = run(expected, plan)
    epochs = fit(state, TRAIN, VAL, plan, Augment(AUGMENT, CLASSES))
    next(epochs)
    saved = state.snapshot()
    list(epochs)
    rest = run(new_state(plan), plan, resume_from=saved)
    assert [r.train_loss for r in rest] == [r.train_loss for r in whole[1:]]
    assert [r.val_loss for r in rest] == [r.val_loss for r in whole[1:]]


def test_a_run_in_fp32_goes_on_where_losses_are_scaled() -> None:
    """GradScaler refused the state of one that had scaled nothing."""
    plan = recipe((Phase(2),))
    state = new_state(plan)
    next(fit(state, TRAIN, VAL, plan, Augment(AUGMENT, CLASSES)))
    saved = copy.deepcopy(state.snapshot())
    assert saved["scaler"] == {}
    other = new_state(dataclasses.replace(plan))
    other.load_state_dict(saved, plan, 4, torch.float16)
    assert other.scaler.is_enabled() and other.scaler.get_scale() == 65536.0
