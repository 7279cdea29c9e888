"""All names of the table as classifiers: shapes, scaling, freezing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from braintumor.config import component_names, config_dir
from braintumor.errors import ConfigError, DataError
from braintumor.models.classifier import Classifier, build_model, model_name

FOLDER = config_dir() / "model"
BACKBONES = sorted(path.stem for path in (FOLDER / "backbone").glob("*.yaml"))
ATTENTIONS = component_names("braintumor.models.attention")
FREEZABLE = ["cnn", "vgg16", "mobilenetv2_035", "xception", "timm"]


def section(backbone: str, attention: str = "none", **head: Any) -> dict[str, Any]:
    def read(group: str, name: str) -> dict[str, Any]:
        text = (FOLDER / group / f"{name}.yaml").read_text(encoding="utf-8")
        return dict(yaml.safe_load(text))

    about = read("backbone", backbone) | {"weights": "none"}
    if backbone == "timm":
        about["timm_name"] = "resnet18"
    return {
        "backbone": about,
        "attention": read("attention", attention),
        "head": read("head", "default") | head,
    }


def make(
    backbone: str, attention: str = "none", size: int | None = None, **head: Any
) -> Classifier:
    torch.manual_seed(0)
    size = size or (75 if backbone == "inceptionv3" else 64)
    return build_model(section(backbone, attention, **head), num_classes=4, image_size=size)


def images(model: Classifier, count: int = 2, channels: int = 1) -> torch.Tensor:
    size = model.backbone.image_size
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)


def batch_norm_state(module: nn.Module) -> list[torch.Tensor]:
    return [b.clone() for b in module.buffers()]


@pytest.mark.slow
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_name_trains_a_step_and_evaluates(backbone: str, attention: str) -> None:
    model = make(backbone, attention)
    x = images(model)
    before = [p.detach().clone() for p in model.parameters()]
    # AdamW: Inception's random weights and two pictures give gradients of norm 1e7
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    nn.functional.cross_entropy(model(x), torch.tensor([0, 3])).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    optimizer.step()
    pairs = zip(before, model.parameters(), strict=True)
    assert any(not torch.equal(old, new) for old, new in pairs)
    with torch.no_grad():
        logits = model.eval()(x)
    assert logits.shape == (2, 4) and logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_names_of_the_command_line() -> None:
    assert model_name(section("mobilenet", "mhsa")) == "mobilenet_mhsa"
    assert model_name(section("cnn")) == "cnn"
    assert model_name(section("timm", "se")) == "resnet18_se"


def test_scaling_is_the_backbones_for_grey_rgb_uint8_and_float() -> None:
    model = make("cnn").eval()
    seen: list[torch.Tensor] = []
    model.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    grey = images(model, 3)
    rgb = grey.expand(-1, 3, -1, -1)
    outputs = [model(x) for x in (grey, rgb, grey.float(), rgb.float())]
    assert all(torch.equal(output, outputs[0]) for output in outputs)
    # by hand: (200 / 255 - mean) / std of ImageNet
    model(torch.full((1, 1, 64, 64), 200, dtype=torch.uint8))
    expected = torch.tensor([1.30656, 1.46543, 1.68873])
    torch.testing.assert_close(seen[-1][0, :, 0, 0], expected, atol=2e-2, rtol=0)
    torch.testing.assert_close(
        seen[-1][0, :, 5, 5],
        (200 / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225]),
    )


def test_scaling_travels_with_the_checkpoint() -> None:
    model, other = make("cnn"), make("cnn")
    other.mean_255.fill_(1.0)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.mean_255, model.mean_255)


@pytest.mark.parametrize("backbone", FREEZABLE)
@pytest.mark.parametrize("what", ["head", "last_block", 2])
def test_frozen_stages_do_not_move_and_open_ones_do(backbone: str, what: str | int) -> None:
    model = make(backbone, "se", hidden=8, batch_norm=True)
    model.set_trainable(what)
    model.train()
    opened = {"head": 0, "last_block": 1}.get(what, what) if isinstance(what, str) else what
    split = len(model.backbone.stages) - opened
    stages = [nn.ModuleList(stage) for stage in model.backbone.stages]
    before = [copy.deepcopy(stage.state_dict()) for stage in stages]
    groups = model.parameter_groups()
    optimizer = torch.optim.SGD([*groups["backbone"], *groups["head"]], lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images(model)), torch.tensor([0, 1])).backward()
        optimizer.step()
    for index, (stage, old) in enumerate(zip(stages, before, strict=True)):
        same = all(torch.equal(old[name], value) for name, value in stage.state_dict().items())
        assert same == (index < split), f"stage {index}"
        assert all(m.training == (index >= split) for m in stage.modules() if m is not stage)
    assert (len(groups["backbone"]) == 0) == (opened == 0)


def test_frozen_batch_norm_stays_after_train_and_opens_with_all() -> None:
    model = make("mobilenetv2_035")
    model.set_trainable("head")
    model.eval()
    model.train()
    before = batch_norm_state(model.backbone)
    model(images(model, 4))
    assert all(torch.equal(a, b) for a, b in zip(before, model.backbone.buffers(), strict=True))
    model.set_trainable("all")  # in training mode already: no .train() needed
    model(images(model, 4))
    layers = [m for m in model.backbone.modules() if isinstance(m, _BatchNorm)]
    assert all(m.training and m.num_batches_tracked == 1 for m in layers)
    assert sum(map(len, model.parameter_groups().values())) == len(list(model.parameters()))


def test_frozen_backbone_is_deterministic_and_records_no_gradient() -> None:
    model = make("cnn", "mhsa")  # its blocks have dropout
    model.set_trainable("head")
    model.train()
    x = images(model)
    first, second = model.forward_features(x), model.forward_features(x)
    assert torch.equal(first, second) and not first.requires_grad
    assert not model.forward_features(x.float().requires_grad_()).requires_grad
    assert model.forward_head(first).requires_grad
    assert all(p.requires_grad for p in [*model.attention.parameters(), *model.head.parameters()])


def test_logits_are_the_head_of_the_features() -> None:
    model = make("mobilenetv2_035", "cbam").eval()
    x = images(model)
    assert torch.equal(model(x), model.forward_head(model.forward_features(x)))


def test_vit_tokens_are_trained_with_all_alone() -> None:
    values = section("timm")
    values["backbone"]["timm_name"] = "vit_tiny_patch16_224"
    model = build_model(values, 4, 64)
    net: Any = model.backbone.net
    model.set_trainable(11)
    assert not net.pos_embed.requires_grad and not net.blocks[0].attn.qkv.weight.requires_grad
    assert net.blocks[1].attn.qkv.weight.requires_grad and net.norm.weight.requires_grad
    model.set_trainable("all")
    assert net.pos_embed.requires_grad


@pytest.mark.parametrize("what", ["heads", "", 6, -1, True, 1.5, None])
def test_what_cannot_be_trained_gets_an_answer(what: Any) -> None:
    with pytest.raises(ConfigError, match="head, last_block, all or a number of stages"):
        make("cnn").set_trainable(what)


@pytest.mark.parametrize("trainable", ["all", "last_block", "head"])
def test_a_last_batch_of_one_image_trains_and_moves_no_statistics(trainable: str) -> None:
    model = make("mobilenetv2_035", size=32, hidden=8, batch_norm=True)  # its map is one cell
    model.set_trainable(trainable)
    model.train()
    before = batch_norm_state(model)
    model(images(model, 1)).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))
    assert model.head[-1].weight.grad is not None  # type: ignore[index,union-attr]
    layers = [m for m in model.head.modules() if isinstance(m, _BatchNorm)]
    assert layers and all(m.training for m in layers)


def test_channels_last_changes_no_logits() -> None:
    model = make("mobilenetv2_035", "mhsa").eval()
    x = images(model, channels=3)
    plain = model(x)
    fast = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        fast(x.to(memory_format=torch.channels_last)), plain, atol=1e-4, rtol=1e-4
    )


def test_bf16_autocast_still_gives_float32_logits() -> None:
    model = make("cnn", "mhsa").eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert model(images(model)).dtype == torch.float32


def test_settings_rebuild_the_same_model_without_its_weights_file(tmp_path: Path) -> None:
    values = section("mobilenetv2_035", "cbam", pooling="flatten")
    source: Any = make("mobilenetv2_035").backbone
    save_file(source.net.state_dict(), tmp_path / "net.safetensors")
    (tmp_path / "net.json").write_text('{"mean": [0.5, 0.5, 0.5], "pad_type": "same"}')
    values["backbone"]["weights"] = str(tmp_path / "net.safetensors")
    model = build_model(values, 4, 64).eval()
    (tmp_path / "net.safetensors").unlink()
    again = build_model(model.settings, 4, 64).eval()
    again.load_state_dict(model.state_dict())
    x = images(model)
    assert torch.equal(again(x), model(x))


def test_flatten_fits_the_map_of_the_picture_size() -> None:
    model = make("cnn", size=80, pooling="flatten")
    assert model(images(model)).shape == (2, 4)


@pytest.mark.parametrize("pooling", ["avg", "max", "avgmax"])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_way_to_the_logits_may_be_short_but_leads_there(attention: str, pooling: str) -> None:
    model = make("cnn", attention, pooling=pooling).eval()
    for parameter in model.attention.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = images(model)
    with torch.no_grad():
        map_BChw = model.forward_features(x)
        expected = model.head(model.attention(map_BChw))
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
        frozen = model.forward_cacheable(x)
        torch.testing.assert_close(model.forward_head(frozen), expected, rtol=1e-4, atol=1e-5)
    is_pooled = attention == "none" or (attention, pooling) == ("se", "avg")
    assert frozen.ndim == (2 if is_pooled else 4)


def test_floats_of_0_to_1_are_refused_since_the_answer_would_be_another() -> None:
    model = make("cnn").eval()
    pixels = images(model)
    torch.testing.assert_close(model(pixels), model(pixels.float()))
    with pytest.raises(DataError, match="multiply by 255"):
        model(pixels / 255)
    assert torch.isfinite(model(torch.zeros(1, 1, 64, 64))).all()  # a black picture is one
