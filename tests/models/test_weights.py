"""Weights from a file: fit exactly, or an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from braintumor.config import config_dir
from braintumor.errors import WeightsError
from braintumor.models.backbones import build_backbone

FOLDER = config_dir() / "model" / "backbone"


def options(name: str, **changes: Any) -> dict[str, Any]:
    return {**yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")), **changes}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of mobilenetv2_035 with random values and a classifier, as timm would save it."""
    import timm

    torch.manual_seed(1)
    net = timm.create_model("mobilenetv2_035", num_classes=7)
    path = tmp_path / "net.safetensors"
    save_file(net.state_dict(), path)
    return path


def test_weights_arrive_bit_identical_and_the_classifier_is_dropped(weights: Path) -> None:
    net: Any = build_backbone(options("mobilenetv2_035", weights=str(weights)), 64)
    file = load_file(weights)
    state = net.net.state_dict()
    assert set(file) - set(state) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(file[name], tensor) for name, tensor in state.items())
    assert net.mean == (0.485, 0.456, 0.406)


def test_json_beside_the_file_gives_scaling_and_padding(weights: Path) -> None:
    about = {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "pad_type": "same", "bn_eps": 0.01}
    weights.with_suffix(".json").write_text(json.dumps(about))
    net: Any = build_backbone(options("mobilenetv2_035", weights=str(weights)), 64)
    assert net.mean == (0.1, 0.2, 0.3) and net.std == (1.0, 1.0, 1.0)
    assert net.net.bn1.eps == 0.01
    assert type(net.net.conv_stem).__name__ == "Conv2dSame"
    # a checkpoint rebuilds the same net where the file is not at hand
    again: Any = build_backbone({**options("mobilenetv2_035"), **net.resolved}, 64)
    again.load_state_dict(net.state_dict())
    x = torch.randn(1, 3, 64, 64)
    assert again.mean == net.mean and torch.equal(again.eval()(x), net.eval()(x))


def test_options_win_over_the_json(weights: Path) -> None:
    weights.with_suffix(".json").write_text(json.dumps({"mean": [0.1, 0.2, 0.3]}))
    values = options("mobilenetv2_035", weights=str(weights), mean=[0.4, 0.4, 0.4])
    assert build_backbone(values, 64).mean == (0.4, 0.4, 0.4)


def test_cnn_takes_its_own_weights(tmp_path: Path) -> None:
    first = build_backbone(options("cnn"), 64)
    save_file(first.state_dict(), tmp_path / "cnn.safetensors")
    second = build_backbone(options("cnn", weights=str(tmp_path / "cnn.safetensors")), 64)
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )


def test_files_that_do_not_fit_are_refused(weights: Path) -> None:
    tensors = load_file(weights)

    def refused(changed: dict[str, torch.Tensor], answer: str) -> None:
        save_file(changed, weights)
        with pytest.raises(WeightsError, match=answer):
            build_backbone(options("mobilenetv2_035", weights=str(weights)), 64)

    refused({k: v for k, v in tensors.items() if k != "conv_head.weight"}, "lacks conv_head.weight")
    refused({**tensors, "bn1.bias": torch.zeros(3)}, r"bn1.bias \(3,\) where the net has \(16,\)")
    refused({**tensors, "blocks.99.bias": torch.zeros(3)}, "unknown blocks.99.bias")
    refused({}, r"lacks conv_stem.weight, .* and \d+ more")


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ('{"arch": "resnet18"}', "weights of `resnet18`.*timm_name=resnet18"),
        ('{"mean": [0.5]}', r"\.json: `mean=\[0\.5\]` should have 3 values"),
        ('{"std": [0, 1, 1]}', r"`std\[0\]=0\.0` should be above 0"),
        ('{"bn_eps": "small"}', "`bn_eps=small` should be a number"),
        ("{", "is not JSON"),
        ("[]", "is not a mapping"),
    ],
)
def test_wrong_json_gets_an_answer(weights: Path, content: str, answer: str) -> None:
    weights.with_suffix(".json").write_text(content)
    with pytest.raises(WeightsError, match=answer):
        build_backbone(options("mobilenetv2_035", weights=str(weights)), 64)


def test_other_formats_and_damaged_files_are_refused(weights: Path, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "net.pth")
    weights.write_bytes(weights.read_bytes()[:1000])
    for path, answer in (
        (tmp_path / "net.pth", "safetensors.torch.save_file"),
        (weights, "cannot be read"),
        (tmp_path / "absent.safetensors", "there is no file"),
        ("imagent", "is not imagenet, none or a .safetensors file"),
    ):
        with pytest.raises(WeightsError, match=answer):
            build_backbone(options("mobilenetv2_035", weights=str(path)), 64)


@pytest.mark.weights
def test_real_weights_bring_their_padding_and_scaling(imagenet_weights: Path) -> None:
    net: Any = build_backbone(options("mobilenetv2_035", weights=str(imagenet_weights)), 224)
    assert net.mean == net.std == (0.5, 0.5, 0.5)
    assert type(net.net.conv_stem).__name__ == "Conv2dSame"
    assert {m.eps for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}
