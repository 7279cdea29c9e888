"""Losses against hand-worked values and torch's own."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from braintumor.errors import ConfigError
from braintumor.training.losses import balanced_weights, build_loss

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5], [-3.0, 1.0, 2.0]])
TARGET = torch.tensor([0, 2, 1])


def test_uniform_logits_cost_log_k() -> None:
    loss = build_loss({"name": "cross_entropy", "label_smoothing": 0.1}, None)
    assert loss(torch.zeros(5, 4), torch.arange(5) % 4).item() == pytest.approx(math.log(4))


def test_focal_without_gamma_is_cross_entropy() -> None:
    focal = build_loss({"name": "focal", "gamma": 0.0}, None)
    torch.testing.assert_close(focal(LOGITS, TARGET), F.cross_entropy(LOGITS, TARGET))


def test_focal_matches_the_paper_by_hand() -> None:
    """p_t = 0.8 and gamma = 2: (1 - 0.8)^2 * -ln 0.8."""
    logits = torch.tensor([[math.log(0.8), math.log(0.2)]])
    focal = build_loss({"name": "focal", "gamma": 2.0}, None)
    expected = 0.04 * -math.log(0.8)
    assert focal(logits, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_index_and_one_hot_targets_agree(name: str) -> None:
    own = {"cross_entropy": {"label_smoothing": 0.1}, "focal": {"gamma": 2.0}}[name]
    loss = build_loss({"name": name, **own}, None)
    torch.testing.assert_close(loss(LOGITS, TARGET), loss(LOGITS, F.one_hot(TARGET, 3).float()))


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_class_weights_scale_images_of_that_class(name: str) -> None:
    own = {"cross_entropy": {"label_smoothing": 0.0}, "focal": {"gamma": 0.0}}[name]
    weights = torch.tensor([1.0, 3.0, 0.5])
    loss = build_loss({"name": name, **own}, weights)
    each = F.cross_entropy(LOGITS, TARGET, reduction="none")
    expected = (each * weights[TARGET]).sum() / weights[TARGET].sum()
    torch.testing.assert_close(loss(LOGITS, TARGET), expected)


def test_balanced_weights_give_every_class_the_same_sum() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [3] * 1)
    weights = balanced_weights(labels, 4)
    counts = torch.bincount(labels, minlength=4)
    assert (weights * counts)[counts > 0].tolist() == pytest.approx([2.5, 2.5, 2.5])
    assert weights[2] == 0


def test_unknown_loss_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean `focal`"):
        build_loss({"name": "fokal"}, None)


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"loss\.gama.*did you mean `gamma`"):
        build_loss({"name": "focal", "gama": 2.0}, None)


def test_weights_come_after_smoothing_by_hand() -> None:
    """Class 0 with p = (.8, .2) and class 1 with p = (.4, .6), smoothing .2, weights 1 and 3."""
    logits = torch.log(torch.tensor([[0.8, 0.2], [0.4, 0.6]]))
    own = [
        -(0.9 * math.log(0.8) + 0.1 * math.log(0.2)),
        -(0.1 * math.log(0.4) + 0.9 * math.log(0.6)),
    ]
    loss = build_loss({"name": "cross_entropy", "label_smoothing": 0.2}, torch.tensor([1.0, 3.0]))
    expected = (1 * own[0] + 3 * own[1]) / 4
    assert loss(logits, torch.tensor([0, 1])).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equal_weights_weigh_nothing(smoothing: float) -> None:
    loss = build_loss(
        {"name": "cross_entropy", "label_smoothing": smoothing}, torch.full((3,), 7.0)
    )
    expected = F.cross_entropy(LOGITS, TARGET, label_smoothing=smoothing)
    torch.testing.assert_close(loss(LOGITS, TARGET), expected)


LOSSES = {"cross_entropy": {"label_smoothing": 0.1}, "focal": {"gamma": 2.0}}


@pytest.mark.parametrize("name", LOSSES)
def test_a_mixed_image_costs_its_two_parts_each_with_its_own_weight(name: str) -> None:
    """70 % of class 1 and 30 % of class 2, weights 3 and 0.5: (2.1 a + 0.15 b) / 2.25."""
    loss = build_loss({"name": name, **LOSSES[name]}, torch.tensor([1.0, 3.0, 0.5]))
    logits = LOGITS[:1]
    as_1, as_2 = (loss(logits, torch.tensor([k])) for k in (1, 2))
    mixed = loss(logits, torch.tensor([[0.0, 0.7, 0.3]]))
    torch.testing.assert_close(mixed, (2.1 * as_1 + 0.15 * as_2) / 2.25)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 30.0])])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_has_a_gradient_where_the_model_is_sure(
    gamma: float, weights: torch.Tensor | None
) -> None:
    """p is exactly 1 in float32; right and wrong answers."""
    logits = torch.tensor([[60.0, 0.0], [0.0, 60.0]], requires_grad=True)
    build_loss({"name": "focal", "gamma": gamma}, weights)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_rare_class_does_not_draw_all_images_to_it() -> None:
    """300 images against 5, apart on one feature: any network can tell them apart."""
    labels = torch.tensor([0] * 300 + [1] * 5)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(305, 1, generator=generator).clamp(-2, 2) + 6.0 * labels[:, None] - 3
    weights = balanced_weights(labels, 2)
    loss = build_loss({"name": "cross_entropy", "label_smoothing": 0.05}, weights)
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(30):
        for batch in torch.randperm(305, generator=generator).split(32):
            optimizer.zero_grad()
            loss(model(x[batch]), labels[batch]).backward()
            optimizer.step()
    assert (model(x).argmax(dim=1) == labels).float().mean().item() >= 0.95
