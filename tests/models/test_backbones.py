"""Every backbone of the table: shape, stages, options, and what it refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from braintumor.config import config_dir
from braintumor.errors import ConfigError, WeightsError
from braintumor.models.backbones import build_backbone
from braintumor.models.backbones._probe import cut_stages

FOLDER = config_dir() / "model" / "backbone"
TABLE = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def options(name: str, /, **changes: Any) -> dict[str, Any]:
    values = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    if name == "timm":
        values["timm_name"] = "resnet18"
    return {**values, "weights": "none", **changes}


def size_of(name: str) -> int:
    return 75 if name == "inceptionv3" else 64


@pytest.mark.parametrize("name", TABLE)
def test_backbone_keeps_its_word(name: str) -> None:
    size = size_of(name)
    net = build_backbone(options(name), size).eval().to(memory_format=torch.channels_last)
    features = net(torch.randn(1, 3, size, size))
    assert features.shape == (1, net.channels, *net.map_size_px)
    assert len(net.mean) == len(net.std) == 3 and net.image_size == size


@pytest.mark.parametrize("name", [*TABLE, "convnext_atto", "vit_tiny_patch16_224"])
def test_stages_partition_all_parameters(name: str) -> None:
    values = options(name) if name in TABLE else options("timm", timm_name=name)
    net = build_backbone(values, size_of(name))
    staged = [p for stage in net.stages for module in stage for p in module.parameters()]
    loose = {"net.cls_token", "net.pos_embed"}  # a ViT's own, trained with `all` alone
    expected = [p for n, p in net.named_parameters() if n not in loose]
    assert sorted(map(id, staged)) == sorted(map(id, expected))
    assert all(any(True for m in stage for _ in m.parameters()) for stage in net.stages)
    counts = {"cnn": 3, "convnext_atto": 4, "vit_tiny_patch16_224": 12}
    assert len(net.stages) == counts.get(name, 5) or values["name"] not in ("timm", "cnn")


def test_stages_run_from_input_to_output() -> None:
    for name in ("vgg16", "mobilenetv2_035", "xception"):
        net = build_backbone(options(name), 64)
        order = {id(module): index for index, module in enumerate(net.modules())}
        flat = [order[id(module)] for stage in net.stages for module in stage]
        assert flat == sorted(flat)


def test_what_follows_the_last_boundary_joins_the_last_stage() -> None:
    net = build_backbone(options("mobilenetv2_035"), 64)
    inner: Any = net.net
    assert {id(inner.conv_head), id(inner.bn2)} <= {id(m) for m in net.stages[-1]}
    assert id(inner.conv_stem) in {id(m) for m in net.stages[0]}


def test_cut_inside_a_container_and_before_a_block() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.conv = nn.ReLU(), nn.Conv2d(1, 1, 1)

    net = nn.Sequential()
    net.add_module("body", nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, 1)))
    net.add_module("block", Block())
    net.add_module("pool", nn.MaxPool2d(2))
    body: Any = net.body
    stages = cut_stages(net, ["body.1", "block.act", "pool"])
    assert stages == [[body[0], body[1]], [body[2]], [net.block, net.pool]]


def test_vgg_carries_no_fully_connected_layers() -> None:
    net = build_backbone(options("vgg16"), 64)
    assert sum(p.numel() for p in net.parameters()) == 14_714_688  # Keras' VGG16 without top


def test_parameters_equal_those_of_keras_without_top() -> None:
    # https://keras.io/api/applications: trainable and moving values, counted by Keras
    known = {"vgg19": 20_024_384, "xception": 20_806_952, "mobilenetv2": 2_223_872}
    for name, count in known.items():
        net = build_backbone(options(name), size_of(name))
        assert sum(p.numel() for p in net.parameters()) == count


def test_cnn_baseline_has_about_128_thousand_parameters() -> None:
    from braintumor.models.classifier import build_model

    head = yaml.safe_load((config_dir() / "model" / "head" / "default.yaml").read_text())
    model = build_model(
        {
            "backbone": options("cnn"),
            "attention": {"name": "none"},
            "head": {**head, "hidden": 256, "dropout": 0.5},
        },
        num_classes=4,
        image_size=224,
    )
    assert sum(p.numel() for p in model.parameters()) == 127_748


def test_cnn_takes_attention_in_every_block() -> None:
    cbam = {"name": "cbam", "reduction": 16, "kernel_px": 7, "channel_pool": "avg"}
    net = build_backbone(options("cnn", block_attention=cbam), 64)
    assert [n for n, _ in net.named_parameters() if n.endswith("3.1.conv.weight")] == [
        f"blocks.{i}.3.1.conv.weight" for i in range(3)
    ]
    assert net(torch.randn(2, 3, 64, 64)).shape == (2, 128, 8, 8)


@pytest.mark.parametrize(
    ("timm_name", "layout", "map_size"),
    [
        ("vit_tiny_patch16_224", "tokens", (6, 6)),
        ("deit_tiny_distilled_patch16_224", "tokens", (6, 6)),  # two prefix tokens
        ("swin_tiny_patch4_window7_224", "map_last", (3, 3)),
        ("convnext_atto", "map", (3, 3)),
    ],
)
def test_tokens_and_channels_last_maps_become_maps(
    timm_name: str, layout: str, map_size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    net: Any = build_backbone(options("timm", timm_name=timm_name), 96).eval()
    x = torch.randn(2, 3, 96, 96)
    features = net(x)
    assert net.layout == layout and features.shape == (2, net.channels, *map_size)
    raw = net.net.forward_features(x)
    # the cell of row 1, column 2 stands where timm has it
    cell = raw[:, 1, 2] if raw.ndim == 4 else raw[:, net.num_prefix + map_size[1] + 2]
    cell = raw[:, :, 1, 2] if layout == "map" else cell
    torch.testing.assert_close(features[:, :, 1, 2], cell)


def test_a_deep_copy_has_stages_of_its_own() -> None:
    net = build_backbone(options("cnn"), 64)
    copied = copy.deepcopy(net)
    own = {id(module) for module in copied.modules()}
    assert all(id(module) in own for stage in copied.stages for module in stage)


@pytest.mark.parametrize(
    ("name", "changes", "size", "answer"),
    [
        ("timm", {"timm_name": None}, 64, r"give a net of timm as model.backbone.timm_name=NAME"),
        ("timm", {"timm_name": "resnet81"}, 64, r"did you mean .*`resnet18`"),
        ("timm", {"timm_name": "resnet18.a9_in1k"}, 64, r"tags: .*a1_in1k"),
        ("timm", {"timm_name": "hf-hub:timm/resnet18"}, 64, r"not a net of timm"),
        ("inceptionv3", {}, 64, r"inception_v3.* cannot take pictures of 64 px"),
        ("vgg16", {}, 16, r"cannot take pictures of 16 px"),
        ("timm", {"timm_name": "vit_tiny_patch16_224"}, 8, r"cannot take pictures of 8 px"),
        ("cnn", {}, 4, r"give data.image_size=8 or more"),
        ("cnn", {"widths": []}, 64, r"give \[32, 64, 128\]"),
        ("resnet50", {"pad_type": "same"}, 64, r"does not take \{'pad_type': 'same'\}"),
        ("resnet50", {"mean": [0.5, 0.5]}, 64, r"should have 3 values, not 2"),
        ("resnet50", {"std": [0.5, 0.5, 0.0]}, 64, r"std\[2\]=0\.0` should be above 0"),
        ("resnet50", {"wieghts": "none"}, 64, r"did you mean `weights`"),
        ("resnet50", {"name": "tim"}, 64, r"did you mean `timm`"),
    ],
)
def test_wrong_options_get_an_answer(
    name: str, changes: dict[str, Any], size: int, answer: str
) -> None:
    with pytest.raises(ConfigError, match=answer):
        build_backbone(options(name, **changes), size)


def test_nets_without_imagenet_weights_say_so() -> None:
    for name in ("cnn", "mobilenetv2_035"):
        with pytest.raises(
            WeightsError, match=r"no (ImageNet|pretrained) weights.*FILE.safetensors"
        ):
            build_backbone(options(name, weights="imagenet"), 64)


def test_every_weights_tag_of_the_table_exists() -> None:
    import timm

    for name in TABLE:
        values = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        if values["name"] != "timm" or name in ("timm", "mobilenetv2_035"):
            continue
        source = timm.models.get_pretrained_cfg(values["timm_name"])
        assert source is not None and source.has_weights
        assert source.input_size[1] == values["image_size"]
