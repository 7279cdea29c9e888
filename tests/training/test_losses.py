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
