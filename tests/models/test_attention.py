"""Attention against references: torch's own layer, hand-worked gates, symmetries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from braintumor.config import component_names, config_dir
from braintumor.errors import ConfigError
from braintumor.models.attention import build_attention

NAMES = component_names("braintumor.models.attention")


def options(name: str, **changes: Any) -> dict[str, Any]:
    text = (config_dir() / "model" / "attention" / f"{name}.yaml").read_text(encoding="utf-8")
    return {**yaml.safe_load(text), **changes}


def plain_mhsa(channels: int, **changes: Any) -> Any:
    plain = {"residual": False, "norm": False, "position": "none", "dim": None, "heads": 4}
    return build_attention(options("mhsa", **{**plain, **changes}), channels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_attention_keeps_the_shape(name: str, size: tuple[int, int]) -> None:
    x = torch.randn(2, 64, *size).to(memory_format=torch.channels_last).requires_grad_()
    y = build_attention(options(name), 64)(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


class _OtherLayouts(TorchDispatchMode):
    """Maps as large as `shape` that are written in a layout other than channels_last."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, tuple) else (result,):
            if isinstance(made, torch.Tensor) and made.shape == self.shape:
                whole = 0 not in made.stride()  # else a view of something small
                if whole and not made.is_contiguous(memory_format=torch.channels_last):
                    self.found.append(str(func))
        return result


@pytest.mark.parametrize(
    ("name", "changes"),
    [("se", {}), ("cbam", {"channel_pool": "avg"}), ("cbam", {"channel_pool": "avgmax"})],
)
def test_gates_leave_gradients_in_the_layout_of_their_map(
    name: str, changes: dict[str, Any]
) -> None:
    x = torch.randn(2, 32, 6, 5).to(memory_format=torch.channels_last)
    gate = build_attention(options(name, **changes), 32)
    with _OtherLayouts((2, 32, 6, 5)) as layouts:
        gate(x.requires_grad_()).square().sum().backward()
    assert layouts.found == []


def test_mhsa_equals_torch_multihead_attention() -> None:
    torch.manual_seed(0)
    ours = plain_mhsa(32)
    theirs = nn.MultiheadAttention(32, 4, batch_first=True)
    nn.init.normal_(ours.qkv.bias)
    nn.init.normal_(ours.out.bias)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight, ours.qkv.bias
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = ours.out.weight, ours.out.bias
    x = torch.randn(3, 32, 4, 5)
    tokens = x.flatten(2).transpose(1, 2)
    expected = theirs(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)


def test_mhsa_residual_adds_the_input_and_norm_ignores_its_scale() -> None:
    torch.manual_seed(0)
    ours = plain_mhsa(16, norm=True)
    x = torch.randn(2, 16, 3, 3)
    without = ours(x)
    torch.testing.assert_close(ours(100 * x), without, atol=1e-4, rtol=1e-4)
    ours.residual = True
    torch.testing.assert_close(ours(x), x + without)


def test_mhsa_with_residual_starts_as_the_identity_and_can_leave_it() -> None:
    """So that pretrained features survive the first steps."""
    torch.manual_seed(0)
    ours, x = plain_mhsa(16, residual=True), torch.randn(2, 16, 3, 3)
    torch.testing.assert_close(ours(x), x)
    ours(x).square().mean().backward()
    assert ours.out.weight.grad.norm() > 0


def test_mhsa_without_positions_commutes_with_permuting_cells() -> None:
    torch.manual_seed(0)
    x, order = torch.randn(2, 16, 3, 4), torch.randperm(12)

    def permute(map_: torch.Tensor) -> torch.Tensor:
        return map_.flatten(2)[..., order].reshape(map_.shape)

    blind, placed = plain_mhsa(16), plain_mhsa(16, position="sine")
    torch.testing.assert_close(blind(permute(x)), permute(blind(x)))
    assert not torch.allclose(placed(permute(x)), permute(placed(x)), atol=1e-3)


def test_sine_positions_differ_in_every_cell() -> None:
    from braintumor.models.attention.mhsa import sine_positions

    for channels in (16, 18):  # 18: not a multiple of four
        table = sine_positions(7, 9, torch.zeros(1, 63, channels))
        assert table.shape == (63, channels)
        assert torch.unique(table, dim=0).shape[0] == 63
        assert table.abs().max() <= 1


@pytest.mark.parametrize(
    ("changes", "width"),
    [
        ({"dim": 32}, 32),
        ({"head_dim": 10}, 40),
        ({"head_dim": "channels"}, 256),  # Keras: 4 heads of the full 64
        ({}, 64),
    ],
)
def test_mhsa_width_follows_dim_and_head_dim(changes: dict[str, Any], width: int) -> None:
    module = plain_mhsa(64, **changes)
    assert module.qkv.out_features == 3 * width and module.out.in_features == width


def test_heads_that_do_not_divide_the_channels_are_answered_with_divisors() -> None:
    with pytest.raises(ConfigError, match=r"heads=3.* 20; give heads of 1, 2, 4, 5, 10, 20"):
        plain_mhsa(20, heads=3)
    with pytest.raises(ConfigError, match=r"dim=30` is not heads x head_dim = 32"):
        plain_mhsa(20, dim=30, head_dim=8)


def test_mhsa_noise_only_in_training() -> None:
    torch.manual_seed(0)
    module, x = plain_mhsa(16, noise=0.25), torch.randn(64, 16, 4, 4)
    module.eval()
    clean = module(x)
    torch.testing.assert_close(module(x), clean)
    module.train()
    assert (module(x) - clean).std().item() == pytest.approx(0.25, rel=0.05)


def test_se_equals_the_hand_worked_gate() -> None:
    module: Any = build_attention(options("se", reduction=2), 2)
    first, second = module.gate[0], module.gate[2]
    first.weight.data, first.bias.data = torch.tensor([[1.0, -1.0]]), torch.tensor([0.5])
    second.weight.data = torch.tensor([[1.0], [-2.0]])
    second.bias.data = torch.zeros(2)
    # means 3 and 1: hidden relu(3 - 1 + 0.5) = 2.5; gates sigmoid(2.5), sigmoid(-5)
    x = torch.tensor([[[[2.0, 4.0]], [[0.0, 2.0]]]])
    expected = x * torch.tensor([0.924142, 0.006693])[None, :, None, None]
    torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=1e-4)


def test_cbam_equals_the_hand_worked_gates() -> None:
    module: Any = build_attention(options("cbam", reduction=2, kernel_px=1), 2)
    channel, spatial = module[0], module[1]
    channel.mlp[0].weight.data, channel.mlp[0].bias.data = (
        torch.tensor([[1.0, 0.0]]),
        torch.zeros(1),
    )
    channel.mlp[2].weight.data = torch.tensor([[1.0], [0.0]])
    channel.mlp[2].bias.data = torch.tensor([0.0, 1.0])
    spatial.conv.weight.data = torch.tensor([[[[1.0]], [[-1.0]]]])
    # channel 0: mean 1, max 2, score 1 + 2 = 3, gate 0.952574; channel 1: 1 + 1 = 2, 0.880797
    x = torch.tensor([[[[0.0, 2.0]], [[1.0, 1.0]]]])
    after = torch.tensor([[[[0.0, 1.905148]], [[0.880797, 0.880797]]]])
    # cell 0: mean 0.440399, max 0.880797; cell 1: mean 1.392973, max 1.905148
    gates = torch.sigmoid(torch.tensor([0.440399 - 0.880797, 1.392973 - 1.905148]))
    torch.testing.assert_close(module(x), after * gates, atol=1e-5, rtol=1e-4)


def test_cbam_with_average_pooling_is_se_then_space() -> None:
    torch.manual_seed(0)
    cbam: Any = build_attention(options("cbam", channel_pool="avg"), 32)
    se: Any = build_attention(options("se"), 32)
    se.gate[0].load_state_dict(cbam[0].mlp[0].state_dict())
    se.gate[2].load_state_dict(cbam[0].mlp[2].state_dict())
    x = torch.randn(2, 32, 4, 4)
    torch.testing.assert_close(cbam(x), cbam[1](se(x)))


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"name": "mhas"}, "did you mean `mhsa`"),
        ({"name": "se", "reductoin": 8}, "did you mean `reduction`"),
        (options("se", reduction=0), "reduction=0` should be 1 or more"),
        (options("cbam", kernel_px=4), "must be odd"),
        (options("mhsa", noise=-1.0), "noise=-1.0` should be 0 or more"),
        (options("mhsa", dropout=1.0), "dropout=1.0` should be 0 or more and below 1"),
        (options("mhsa", heads=0), "heads=0` should be 1 or more"),
    ],
)
def test_wrong_options_get_an_answer(changed: dict[str, Any], answer: str) -> None:
    with pytest.raises(ConfigError, match=answer):
        build_attention(changed, 64)


AVERAGED = [
    ("se", {}),
    ("cbam", {}),
    ("cbam", {"channel_pool": "avg", "kernel_px": 3}),
    ("mhsa", {}),
    ("mhsa", {"residual": False, "norm": False, "position": "none", "dim": None}),
    ("mhsa", {"head_dim": "channels", "dim": None}),
]


@pytest.mark.parametrize(
    ("name", "changes"), AVERAGED, ids=[f"{n}-{i}" for i, (n, _) in enumerate(AVERAGED)]
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_average_alone_is_that_of_the_map_and_so_are_its_gradients(
    name: str, changes: dict[str, Any], channels_last: bool
) -> None:
    torch.manual_seed(0)
    module: Any = build_attention(options(name, **changes), 32).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(3, 32, 4, 5, dtype=torch.float64)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    x.requires_grad_()
    weights = torch.randn(3, 32)

    def gradients(y_BC: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad((y_BC * weights).sum(), [x, *module.parameters()]))

    of_map, alone = module(x).mean(dim=(2, 3)), module.forward_pooled(x)
    torch.testing.assert_close(alone, of_map)
    for got, expected in zip(gradients(alone), gradients(of_map), strict=True):
        torch.testing.assert_close(got, expected)
    if getattr(module, "takes_pooled", False):
        torch.testing.assert_close(module.forward_pooled(x.mean(dim=(2, 3))), of_map)


@pytest.mark.parametrize("cells", ["many", "few"])
def test_mhsa_makes_the_map_where_that_is_cheaper_or_has_noise(
    cells: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = build_attention(options("mhsa", noise=0.1), 16)
    x = torch.randn(2, 16, 25, 20) if cells == "many" else torch.randn(2, 16, 3, 3)
    module.train(cells == "few")
    torch.manual_seed(1)
    expected = module(x).mean(dim=(2, 3))
    torch.manual_seed(1)
    torch.testing.assert_close(module.forward_pooled(x), expected, atol=0, rtol=0)


def test_dropout_of_attention_is_the_same_in_the_mean_of_many() -> None:
    torch.manual_seed(0)
    module: Any = plain_mhsa(8, heads=2, dropout=0.5).train()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(1, 8, 3, 3).expand(4000, -1, -1, -1)
    of_map, alone = module(x).mean(dim=(2, 3)), module.forward_pooled(x)
    error = 4 * of_map.std(dim=0) / 4000**0.5
    assert ((of_map.mean(dim=0) - alone.mean(dim=0)).abs() < 1.5 * error).all()
    torch.testing.assert_close(of_map.std(dim=0), alone.std(dim=0), rtol=0.1, atol=0)


def test_features_that_need_no_gradient_cause_none_in_front_of_the_projection() -> None:
    """Queries, keys and values of frozen features: two products of matrices a step, not three."""
    module: Any = build_attention(options("mhsa"), 64)
    x = torch.randn(2, 64, 4, 4)
    with FlopCounterMode(display=False) as frozen:
        module.forward_pooled(x).sum().backward()
    with FlopCounterMode(display=False) as trained:
        module.forward_pooled(x.requires_grad_()).sum().backward()
    with FlopCounterMode(display=False) as of_map:
        module(x).mean(dim=(2, 3)).sum().backward()
    assert frozen.get_total_flops() < 0.85 * trained.get_total_flops()
    assert trained.get_total_flops() < 0.85 * of_map.get_total_flops()


@pytest.mark.parametrize(
    ("name", "wrong"), [("se", "reduction"), ("cbam", "kernel_px"), ("mhsa", "heads")]
)
def test_a_wrong_option_is_named_where_it_stands(name: str, wrong: str) -> None:
    where = "model.backbone.block_attention"
    with pytest.raises(ConfigError, match=f"^`{where}.{wrong}=0`"):
        build_attention(options(name, **{wrong: 0}), 64, where)
