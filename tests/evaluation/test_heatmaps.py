"""Heat maps look where the logit comes from, and leave no trace."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from braintumor.config import component_names, config_dir
from braintumor.errors import ConfigError
from braintumor.evaluation import heatmaps
from braintumor.evaluation.heatmaps import Layer, Method, cam_heatmaps, heat_cells
from braintumor.models.classifier import Classifier, build_model

pytestmark = pytest.mark.usefixtures("one_thread")
PLAIN = ("gradcam", "after_attention")
CAMS: tuple[Method, ...] = ("gradcam", "hirescam", "layercam")
FOLDER = config_dir() / "model"
BACKBONES = sorted(path.stem for path in (FOLDER / "backbone").glob("*.yaml"))
ATTENTIONS = component_names("braintumor.models.attention")


def make(backbone: str, attention: str, size: int = 64) -> Classifier:
    def read(group: str, name: str) -> dict[str, Any]:
        text = (FOLDER / group / f"{name}.yaml").read_text(encoding="utf-8")
        return dict(yaml.safe_load(text))

    torch.manual_seed(0)
    about = read("backbone", backbone) | {"weights": "none"}
    if backbone == "timm":
        about["timm_name"] = "vit_tiny_patch16_224"  # tokens, not maps
    parts = {
        "backbone": about,
        "attention": read("attention", attention),
        "head": read("head", "default"),
    }
    return build_model(parts, num_classes=3, image_size=size)


def pictures(count: int, size: int, channels: int | None = None) -> np.ndarray:
    shape = (count, size, size) if channels is None else (count, size, size, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


class Quadrants(nn.Module):
    """Logit q is the mean of quadrant q of the map's first channel: a head of known gaze."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))  # a model without parameters has no device

    def forward(self, x_BChw: torch.Tensor) -> torch.Tensor:
        half = x_BChw.shape[-1] // 2
        first = x_BChw[:, 0]
        parts = [first[:, r : r + half, c : c + half] for r in (0, half) for c in (0, half)]
        return self.scale * torch.stack([part.mean(dim=(1, 2)) for part in parts], dim=1)


class Brightness(nn.Module):
    """The first channel is the brightness of the picture, in 8 x 8 cells."""

    stages = ()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x[:, :1] + 3, 8)


class OneCellDown(nn.Module):
    """Every cell takes what the cell above it had."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.roll(1, dims=2)


def known_gaze() -> Classifier:
    """A model that can be worked out by hand: brightness, no attention, quadrants."""
    model = make("cnn", "none")
    model.backbone, model.head = Brightness(), Quadrants()  # type: ignore[assignment]
    model._num_trainable_stages = 0
    return model


def bright_in(*quadrants: int) -> np.ndarray:
    """One picture with a bright square in the middle of each of the quadrants."""
    image = np.zeros((1, 64, 64), dtype=np.uint8)
    for row, column in (divmod(quadrant, 2) for quadrant in quadrants):
        image[0, 32 * row + 8 : 32 * row + 24, 32 * column + 8 : 32 * column + 24] = 255
    return image


def share_in(heat: np.ndarray, quadrant: int) -> float:
    row, column = divmod(quadrant, 2)
    corner = heat[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
    return float(corner.sum() / heat.sum())


@pytest.mark.parametrize("quadrant", [0, 1, 2, 3])
@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize("layer", get_args(Layer))
def test_heat_lies_where_the_logit_comes_from(method: Method, layer: Layer, quadrant: int) -> None:
    image = bright_in(quadrant)
    heat = cam_heatmaps(known_gaze(), image, np.array([quadrant]), method, layer)[0]
    top = np.unravel_index(heat.argmax(), heat.shape)
    assert (top[0] // 32, top[1] // 32) == divmod(quadrant, 2)
    assert share_in(heat, quadrant) > 0.9


@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize("layer", get_args(Layer))
@pytest.mark.parametrize("attention", ["none", "mhsa", "cbam"])
def test_maps_are_those_of_the_library_grad_cam(
    method: Method, layer: Layer, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heatmaps, "_BATCH", 3)
    import pytorch_grad_cam as library  # seconds to import, for this test alone
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model = make("mobilenetv2_035", attention).eval()
    for parameter in model.attention.parameters():
        if parameter.ndim > 1:  # some layers begin as the identity
            torch.nn.init.normal_(parameter, std=0.1)
    images, targets = pictures(5, 64), np.array([0, 2, 1, 1, 0])
    found = heat_cells(model, images, targets, method, layer)
    kinds = {"gradcam": library.GradCAM, "hirescam": library.HiResCAM, "layercam": library.LayerCAM}
    rest = nn.Sequential(nn.Identity(), model.attention, model.head)
    reference = kinds[method](rest, [rest[0 if layer == "backbone" else 1]])
    features = model.forward_features(torch.from_numpy(images)[:, None]).detach()
    expected = reference(features.requires_grad_(), [ClassifierOutputTarget(t) for t in targets])
    assert found.max() == 1
    assert found == pytest.approx(expected, abs=1e-4)


def test_only_gradcam_spreads_to_what_the_logit_does_not_read() -> None:
    # the mean gradient of the channel counts for all its cells: Draelos 2020, arXiv:2011.08891
    image, model = bright_in(0, 3), known_gaze()
    share = {
        method: share_in(cam_heatmaps(model, image, np.array([3]), method, "after_attention")[0], 3)
        for method in CAMS
    }
    assert share["gradcam"] == pytest.approx(0.5, abs=0.01)
    assert share["hirescam"] > 0.9 and share["layercam"] > 0.9


@pytest.mark.parametrize("method", ["hirescam", "layercam"])
def test_layer_says_on_which_side_of_attention_the_cells_lie(method: Method) -> None:
    model = known_gaze()
    model.attention = OneCellDown()
    image = np.zeros((1, 64, 64), dtype=np.uint8)
    image[0, 16:24, 16:24] = 255  # row 2 of the cells before attention, row 3 after
    for layer, row in (("backbone", 2), ("after_attention", 3)):
        heat = cam_heatmaps(model, image, np.array([0]), method, layer)[0]
        assert np.unravel_index(heat.argmax(), heat.shape)[0] // 8 == row


def test_both_layers_are_one_where_there_is_no_attention() -> None:
    model, images, targets = make("cnn", "none"), pictures(2, 64), np.array([0, 1])
    maps = [cam_heatmaps(model, images, targets, "layercam", x) for x in get_args(Layer)]
    np.testing.assert_array_equal(*maps)


@pytest.mark.parametrize(("method", "layer"), [("gradcamm", "backbone"), ("gradcam", "backbon")])
def test_an_unknown_name_is_answered_with_the_nearest(method: Any, layer: Any) -> None:
    with pytest.raises(ConfigError, match=r"did you mean `(gradcam|backbone)`"):
        cam_heatmaps(make("cnn", "none"), pictures(1, 64), np.array([0]), method, layer)


def test_an_error_in_the_model_is_not_swallowed_and_leaves_no_hook() -> None:
    model = known_gaze()
    with pytest.raises(RuntimeError, match="out of bounds"):
        cam_heatmaps(model, bright_in(0), np.array([4]), *PLAIN)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_name_has_a_heatmap(backbone: str) -> None:
    size = 96 if backbone == "inceptionv3" else 64
    for attention in ATTENTIONS:
        model = make(backbone, attention, size)
        heat = cam_heatmaps(model, pictures(3, size), np.array([0, 1, 2]), *PLAIN)
        assert heat.shape == (3, size, size) and heat.dtype == np.float32
        assert heat.min() >= 0 and heat.max() <= 1 and np.isfinite(heat).all()


@pytest.mark.parametrize("trainable", ["head", "last_block", "all"])
def test_frozen_weights_change_no_heatmap_and_the_model_is_left_as_found(trainable: str) -> None:
    model = make("cnn", "mhsa")
    images, targets = pictures(3, 64, 3), np.array([2, 1, 0])
    expected = cam_heatmaps(model, images, targets, *PLAIN)
    assert expected.max() > 0
    model.set_trainable(trainable)
    model.train()
    model(torch.zeros(2, 1, 64, 64)).sum().backward()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = [(m.training, len(m._forward_hooks)) for m in model.modules()]
    wanted = [p.requires_grad for p in model.parameters()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]

    with torch.no_grad():  # as the evaluation calls it
        again = cam_heatmaps(model, images, targets, *PLAIN)
    # running statistics moved in the open blocks: their map is compared where all is frozen
    if trainable == "head":
        np.testing.assert_allclose(again, expected, atol=1e-4)
    assert [(m.training, len(m._forward_hooks)) for m in model.modules()] == found
    assert [p.requires_grad for p in model.parameters()] == wanted
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        assert (grad is None) == (parameter.grad is None)
        assert grad is None or torch.equal(parameter.grad, grad)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_heat_maps_do_not_wait_for_the_plans_of_cudnn_and_others_have_it() -> None:
    model, used = make("cnn", "se"), list[bool]()
    model.head.register_forward_hook(lambda *_: used.append(torch.backends.cudnn.enabled))
    cam_heatmaps(model, pictures(2, 64), np.array([0, 1]), *PLAIN)
    model(torch.zeros(2, 1, 64, 64))
    assert used == [False, True]
    with pytest.raises(RuntimeError, match="out of bounds"):
        cam_heatmaps(model, pictures(1, 64), np.array([7]), *PLAIN)
    assert torch.backends.cudnn.enabled


def test_heatmaps_are_float32_under_autocast() -> None:
    model = make("cnn", "se").eval()
    images, targets = pictures(2, 64), np.array([0, 1])
    expected = cam_heatmaps(model, images, targets, *PLAIN)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(cam_heatmaps(model, images, targets, *PLAIN), expected)


def test_no_images_give_no_heatmaps() -> None:
    empty = cam_heatmaps(make("cnn", "none"), pictures(0, 64), np.array([], int), *PLAIN)
    assert empty.shape == (0, 64, 64)
