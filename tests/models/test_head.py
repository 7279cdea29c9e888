"""The head's order of layers, its pooling, its noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import yaml
from torch import nn

from braintumor import config as settings
from braintumor.errors import ConfigError
from braintumor.models import head
from braintumor.models.head import GaussianNoise

DEFAULT = yaml.safe_load((settings.config_dir() / "model" / "head" / "default.yaml").read_text())


def build(**changes: Any) -> Any:
    given: dict[str, Any] = {"channels": 8, "num_classes": 4, "map_size_px": (2, 3)}
    return settings.call(head.build, {**DEFAULT, **changes}, "model.head", **given)


def test_pooling_equals_hand_worked_values() -> None:
    x = torch.arange(12.0).reshape(1, 2, 2, 3)
    expected = {
        "avg": [[2.5, 8.5]],
        "max": [[5.0, 11.0]],
        "avgmax": [[2.5, 8.5, 5.0, 11.0]],
        "flatten": [list(range(12))],
    }
    for pooling, values in expected.items():
        torch.testing.assert_close(head.Pool(pooling)(x), torch.tensor(values).float())  # type: ignore[arg-type]


@pytest.mark.parametrize("pooling", ["avg", "max", "avgmax", "flatten"])
@pytest.mark.parametrize("hidden", [None, 16])
def test_head_gives_one_logit_a_class(pooling: str, hidden: int | None) -> None:
    module = build(pooling=pooling, hidden=hidden, batch_norm=True, noise=0.1)
    assert module(torch.randn(5, 8, 2, 3)).shape == (5, 4)


def test_layers_stand_in_the_order_of_the_recipes() -> None:
    module = build(hidden=512, batch_norm=True, noise=0.25, dropout=0.25)
    kinds = [head.Pool, nn.Linear, nn.ReLU, nn.BatchNorm1d, GaussianNoise, nn.Dropout, nn.Linear]
    assert [type(layer) for layer in module] == kinds
    plain = build(batch_norm=True, dropout=0.5)  # pooled vector, batch norm, dropout, linear
    assert [type(layer) for layer in plain] == [
        head.Pool, nn.BatchNorm1d, nn.Dropout, nn.Linear,
    ]  # fmt: skip


def test_noise_has_its_std_in_training_and_is_absent_in_evaluation() -> None:
    torch.manual_seed(0)
    noise, x = GaussianNoise(0.25), torch.zeros(100_000)
    assert noise(x).std().item() == pytest.approx(0.25, rel=0.02)
    assert noise.eval()(x) is x


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"hidden": 0}, "hidden=0` should be 1 or more"),
        ({"dropout": 1.5}, "dropout=1.5` should be 0 or more and below 1"),
        ({"noise": -0.1}, "noise=-0.1` should be 0 or more"),
        ({"pooling": "mean"}, "avgmax"),
    ],
)
def test_wrong_options_get_an_answer(changes: dict[str, Any], answer: str) -> None:
    with pytest.raises(ConfigError, match=answer):
        build(**changes)
