"""Attention maps show the weights that the module itself uses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from braintumor.errors import ConfigError
from braintumor.evaluation.heatmaps import (
    attention_weights,
    cam_heatmaps,
    check_method,
)
from braintumor.models.attention import mhsa, none
from braintumor.models.attention.mhsa import SelfAttention
from braintumor.models.classifier import Classifier


class Cells(nn.Module):
    """The map is the brightness of the picture in 8 x 8 cells, in every channel alike."""

    mean, std, stages = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ()

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, self.dropout = channels, nn.Dropout(0.5)

    def forward(self, x_B3SS: torch.Tensor) -> torch.Tensor:
        cells_B1hw = nn.functional.avg_pool2d(x_B3SS[:, :1], 8)
        return self.dropout(cells_B1hw.expand(-1, self.channels, -1, -1))


def attention(channels: int, heads: int, *, plain: bool) -> SelfAttention:
    """With random weights; plain: neither norm nor positions nor sum."""
    torch.manual_seed(0)
    options = mhsa.Options(
        heads=heads, head_dim=None, dim=None, residual=not plain, norm=not plain,
        position="none" if plain else "sine", noise=0.0, dropout=0.0,
    )  # fmt: skip
    module = mhsa.build(channels, options)
    assert isinstance(module, SelfAttention)
    return module


def classifier(attention: nn.Module, channels: int) -> Classifier:
    head = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    head[1](torch.zeros(1, channels * 64))
    return Classifier(Cells(channels), attention, head, 3, {"attention": {"name": "se"}})  # type: ignore[arg-type]


def attention_maps(model: Classifier, images: np.ndarray) -> np.ndarray:
    targets = np.zeros(len(images), int)
    return cam_heatmaps(model, images, targets, "attention", "after_attention")


def test_weights_are_those_of_torch_multihead_attention() -> None:
    own, reference = attention(8, 2, plain=True), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(own.qkv.weight)
        reference.in_proj_bias.copy_(own.qkv.bias)
    x = torch.randn(3, 8, 4, 5)
    tokens = x.flatten(2).transpose(1, 2)
    _, expected = reference(tokens, tokens, tokens, average_attn_weights=False)
    assert torch.allclose(attention_weights(own, x), expected, atol=1e-6)


def test_the_module_mixes_by_these_weights_with_norm_and_positions_too() -> None:
    module, x = attention(8, 2, plain=False), torch.randn(2, 8, 3, 4)
    nn.init.normal_(module.out.weight)  # zero at first, under the sum
    tokens = module.norm(x.flatten(2).transpose(1, 2))
    tokens = tokens + mhsa.sine_positions(3, 4, tokens)
    values = module.qkv(tokens)[..., 16:].unflatten(-1, (2, 4)).transpose(1, 2)
    mixed = (attention_weights(module, x) @ values).transpose(1, 2).flatten(2)
    expected = x + module.out(mixed).transpose(1, 2).unflatten(2, (3, 4))
    assert torch.allclose(module(x), expected, atol=1e-5)


def test_the_place_that_all_look_at_is_the_hottest() -> None:
    module = attention(4, 1, plain=True)
    with torch.no_grad():  # queries are 1 whatever the token, keys are the brightness
        module.qkv.weight.zero_()
        module.qkv.bias[:4] = 1
        module.qkv.weight[4:8] = torch.eye(4)
    image = np.zeros((1, 64, 64), dtype=np.uint8)
    image[0, 40:48, 16:24] = 255
    heat = attention_maps(classifier(module, 4), image)[0]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (row // 8, column // 8) == (5, 2)
    # brightness 1 in four channels over sqrt(4): the bright cell weighs e^2, every other 1
    # and the pixel nearest to its middle lies 1/16 of a cell away from it, both ways
    rest, near = np.exp(-2), (15 / 16) ** 2
    assert heat[0, 63] == pytest.approx(rest / (near + (1 - near) * rest), abs=1e-5)


def test_attention_that_is_spread_evenly_is_not_stretched_into_a_pattern() -> None:
    module = attention(4, 1, plain=True)
    nn.init.zeros_(module.qkv.weight)
    image = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    np.testing.assert_allclose(attention_maps(classifier(module, 4), image), 1)


def test_a_model_in_training_gives_the_same_map_and_is_left_in_training() -> None:
    model = classifier(attention(4, 1, plain=False), 4).eval()
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64), dtype=np.uint8)
    expected = attention_maps(model, image)
    model.train()
    np.testing.assert_array_equal(attention_maps(model, image), expected)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_other_attention_is_refused_in_words() -> None:
    model = classifier(none.build(4), 4)
    with pytest.raises(ConfigError, match=r"model\.attention\.name=se has no attention between"):
        attention_maps(model, np.zeros((1, 64, 64), np.uint8))
    with pytest.raises(ConfigError, match=r"use eval\.cam=gradcam, hirescam or layercam"):
        check_method(model, "attention")
    for method in ("gradcam", "hirescam", "layercam"):
        check_method(model, method)
    check_method(classifier(attention(4, 1, plain=True), 4), "attention")


def test_as_a_method_it_is_the_same_map_whatever_the_class_and_the_layer() -> None:
    model = classifier(attention(4, 1, plain=False), 4).eval()
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    expected = attention_maps(model, images)
    for targets, layer in (([0, 1, 2], "after_attention"), ([2, 2, 0], "backbone")):
        found = cam_heatmaps(model, images, np.array(targets), "attention", layer)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, expected)
