"""Batch norm in evaluation: done by the convolution before it, with the same answers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from braintumor.config import config_dir
from braintumor.models import classifier
from braintumor.models.backbones import Backbone
from braintumor.models.classifier import Classifier, build_model
from braintumor.models.folding import fold_batch_norm
from braintumor.training.batches import predict_logits

FOLDER = config_dir() / "model"
BACKBONES = sorted(path.stem for path in (FOLDER / "backbone").glob("*.yaml"))


def make(backbone: str, attention: str = "none") -> Classifier:
    def read(group: str, name: str) -> dict[str, Any]:
        return dict(yaml.safe_load((FOLDER / group / f"{name}.yaml").read_text()))

    about = read("backbone", backbone) | {"weights": "none"}
    if backbone == "timm":
        about["timm_name"] = "resnet18"
    section = {
        "backbone": about,
        "attention": read("attention", attention),
        "head": read("head", "default"),
    }
    torch.manual_seed(0)
    return build_model(section, 4, 75 if backbone == "inceptionv3" else 64)


def images(model: Classifier, count: int) -> Tensor:
    size = model.backbone.image_size
    return torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8)


def norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def trained(model: Classifier | nn.Module) -> None:
    """Statistics and scales as training leaves them, none of them 0 or 1; in evaluation mode."""
    torch.manual_seed(1)
    for norm in norms(model):
        nn.init.normal_(norm.running_mean, std=0.2)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.2)
    model.eval()


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if not name.startswith("vgg")])
def test_every_backbone_answers_the_same_without_its_norms(backbone: str) -> None:
    model = make(backbone)
    if not norms(model.backbone):
        pytest.skip(f"{backbone} has no batch norm")
    trained(model)
    folded = fold_batch_norm(model.backbone)
    assert folded is not None
    assert norms(model.backbone) and not norms(folded), "none is left"
    size = model.backbone.image_size
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected, got = model.backbone(x), folded(x)
    assert (got - expected).abs().max() < 1e-4 * expected.abs().max()


def test_a_backbone_without_norms_stays() -> None:
    assert fold_batch_norm(make("vgg16").backbone.eval()) is None


class Twice(nn.Module):
    """One convolution before two norms, and one norm called twice: neither can be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.one, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.conv, self.again = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.shared(x)
        both = self.one(y) + self.other(y)
        return self.again(self.again(self.conv(both)))


class Branches(nn.Module):
    """Goes another way for dark pictures, which nobody can follow beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) if x.mean() > 0 else x


class Standardised(nn.Conv2d):
    """Its weights are made anew at every pass, as in timm's ScaledStdConv2d."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / self.weight.std()
        return nn.functional.conv2d(x, weight, self.bias)


@pytest.mark.parametrize(
    "net",
    [
        Twice(),
        Branches(),
        nn.Sequential(Standardised(3, 3, 1), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
    ],
    ids=["used twice", "branches", "other convolution", "not behind it", "no statistics"],
)
def test_what_cannot_be_folded_stays(net: nn.Module) -> None:
    trained_norms = [n for n in norms(net) if n.running_mean is not None]
    for norm in trained_norms:
        nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
    assert fold_batch_norm(net.eval()) is None


def test_a_fused_model_keeps_its_weights_and_its_answers() -> None:
    model = make("mobilenetv2_035", "se")
    trained(model)
    x, before = images(model, 4), {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        expected = model(x)
        with model.fused():
            assert list(model.state_dict()) == list(before), "a checkpoint of now is whole"
            with model.fused():
                torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
        model.backbone.requires_grad_(False)
        for norm in norms(model.backbone):
            norm.bias += 1
        changed = model(x)
    assert (changed - expected).abs().max() > 1e-3, "afterwards it follows its weights again"
    torch.testing.assert_close(
        predict_logits(model, x, batch_size=4), changed, rtol=1e-4, atol=1e-5
    )  # and so does the next fusing


def test_a_copy_made_while_fused_follows_its_own_weights() -> None:
    model = make("cnn").eval()
    x = images(model, 2)
    with model.fused(), torch.no_grad():
        copied = copy.deepcopy(model)
        for norm in norms(copied):
            norm.bias += 1
        assert (copied(x) - model(x)).abs().max() > 1e-3


@pytest.mark.parametrize("trainable", ["all", "last_block"])
def test_a_backbone_in_training_is_not_fused(trainable: str) -> None:
    model = make("mobilenetv2_035")
    model.set_trainable(trainable)
    model.train()
    with model.fused(), torch.no_grad():
        model(images(model, 4))
    assert any(norm.num_batches_tracked for norm in norms(model.backbone)), "its norms went on"


def test_many_images_go_through_the_fused_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("cnn")
    monkeypatch.setattr(Backbone, "__call__", lambda *_: pytest.fail("with its norms"))
    predict_logits(model, images(model, 4), batch_size=2)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks that are folded from now on."""
    done: list[nn.Module] = []

    def fold(net: nn.Module) -> nn.Module | None:
        done.append(net)
        return fold_batch_norm(net)

    monkeypatch.setattr(classifier, "fold_batch_norm", fold)
    return done


def test_a_backbone_that_never_runs_is_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    folded, model = counted(monkeypatch), make("cnn").eval()
    pooled = torch.rand(4, model.backbone.channels)
    predict_logits(model, pooled, batch_size=2, forward=model.forward_head)
    assert not folded
    with model.fused():
        for _ in range(3):
            predict_logits(model, images(model, 4), batch_size=2)
    assert len(folded) == 1


def test_what_computes_to_the_last_bit_says_so_within() -> None:
    model = make("mobilenetv2_035")
    trained(model)
    x = images(model, 4)
    with torch.no_grad():
        expected = model(x)
        with model.fused():
            faster = model(x)
            with model.unfused():
                assert torch.equal(model(x), expected)
            assert torch.equal(model(x), faster)
    assert not torch.equal(faster, expected), "else the test shows nothing"


def test_no_other_device_than_a_cpu_waits_for_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    folded, model = counted(monkeypatch), make("cnn").eval().to("meta")
    with model.fused(), torch.no_grad():
        model.forward_features(images(model, 4).to("meta"))
    assert not folded
