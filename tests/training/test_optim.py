"""Learning rates over a phase, and what the optimizer is given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from braintumor.training.optim import Schedule, build_optimizer

ADAMW = {
    "name": "adamw", "lr": 1.0, "head_lr_scale": 3.0, "weight_decay": 0.1,
    "beta1": 0.9, "beta2": 0.999, "eps": 1e-8,
}  # fmt: skip


def rates(options: dict, epochs: int = 10, steps: int = 4, base: float = 1.0) -> list[float]:
    """The rate before every step of a phase."""
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "base_lr": base}], lr=9)
    schedule = Schedule(options, epochs, steps)
    found = []
    for step in range(epochs * steps):
        schedule.set_lr(optimizer, step)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_cosine_equals_torch() -> None:
    ours = rates({"name": "cosine", "warmup_epochs": 0.0, "min_factor": 0.1}, epochs=5, steps=3)
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=15, eta_min=0.1)
    expected = []
    for _ in range(15):
        expected.append(schedule.get_last_lr()[0])
        reference.step()
        schedule.step()
    assert ours == pytest.approx(expected)


def test_warm_restarts_equal_torch() -> None:
    options = {
        "name": "warm_restarts",
        "warmup_epochs": 0.0,
        "first_epochs": 2,
        "growth": 2,
        "min_factor": 0.0,
    }
    ours = rates(options, epochs=9, steps=2)
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(reference, T_0=2, T_mult=2)
    expected = []
    for step in range(18):
        schedule.step(step / 2)
        expected.append(schedule.get_last_lr()[0])
    assert ours == pytest.approx(expected)


def test_onecycle_rises_to_the_base_rate_then_falls_to_its_floor() -> None:
    options = {
        "name": "onecycle",
        "warmup_epochs": 0.0,
        "rise": 0.25,
        "start_factor": 0.1,
        "min_factor": 0.0,
    }
    found = rates(options, epochs=10, steps=8, base=0.5)
    peak = found.index(max(found))
    assert found[0] == pytest.approx(0.05)
    assert found[peak] == pytest.approx(0.5)
    assert peak == 20  # a quarter of 80 steps
    assert found[:21] == sorted(found[:21])
    assert found[20:] == sorted(found[20:], reverse=True)
    assert found[-1] < 1e-3


def test_warmup_is_linear_and_reaches_the_full_rate() -> None:
    found = rates({"name": "constant", "warmup_epochs": 2.0}, epochs=4, steps=5)
    assert found[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert found[10:] == [1.0] * 10


def test_plateau_drops_after_more_than_patience_bad_epochs_and_not_below_its_floor() -> None:
    """Factors by torch's ReduceLROnPlateau(patience=1, factor=0.5, min_lr=0.2)."""
    costs = [1.0, 0.9, 0.95, 0.95, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
    options = {
        "name": "plateau",
        "warmup_epochs": 0.0,
        "patience": 1,
        "factor": 0.5,
        "min_factor": 0.2,
    }
    schedule = Schedule(options, epochs=20, steps_per_epoch=1)
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    torch_schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        reference, patience=1, factor=0.5, min_lr=0.2, threshold=0.0
    )
    for cost in costs:
        schedule.observe(cost)
        torch_schedule.step(cost)
        assert schedule.factor == pytest.approx(reference.param_groups[0]["lr"])


def test_groups_get_their_own_rates_and_vectors_no_decay() -> None:
    backbone, head = nn.Linear(2, 2), nn.Linear(2, 2)
    groups = {"backbone": list(backbone.parameters()), "head": list(head.parameters())}
    optimizer = build_optimizer(ADAMW, groups, 0.01, {"backbone": 0.1, "head": 3.0})
    found = {
        (g["name"], len(g["params"][0].shape)): (g["base_lr"], g["weight_decay"])
        for g in optimizer.param_groups
    }
    assert found == {
        ("backbone", 2): (pytest.approx(0.001), 0.1),
        ("backbone", 1): (pytest.approx(0.001), 0.0),
        ("head", 2): (pytest.approx(0.03), 0.1),
        ("head", 1): (pytest.approx(0.03), 0.0),
    }


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_every_optimizer_takes_a_step_downhill(name: str) -> None:
    adam = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    own = {"momentum": 0.9, "nesterov": True} if name == "sgd" else adam
    weight = nn.Parameter(torch.tensor([[2.0]]))
    options = {"name": name, "lr": 0.1, "head_lr_scale": 1.0, "weight_decay": 0.0, **own}
    optimizer = build_optimizer(options, {"head": [weight]}, 0.1, {"head": 1.0})
    (weight**2).sum().backward()
    optimizer.step()
    assert abs(weight.item()) < 2.0
