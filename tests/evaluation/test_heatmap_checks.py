"""Trust checks tell a map that is right about the model from one that is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from braintumor.evaluation import heatmap_checks as checks
from braintumor.evaluation.heatmap_checks import STEPS, check_explanations, perturbation_curves
from braintumor.evaluation.heatmap_scores import area_under, similarity
from braintumor.evaluation.heatmaps import cam_heatmaps, forgetful_copy
from braintumor.models.attention import mhsa
from braintumor.models.classifier import Classifier

pytestmark = pytest.mark.usefixtures("one_thread")
PLAIN = ("gradcam", "after_attention")
SIDE, CELL = 64, 16  # px; the map has 4 x 4 cells


class Cells(nn.Module):
    """Channel c of the map is the brightness of cell c, in that cell alone."""

    mean, std, stages = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ()

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Conv2d(1, 16, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        nn.init.ones_(self.gain.weight)
        self.register_buffer("own", torch.eye(16).view(1, 16, 4, 4))

    def forward(self, x_B3SS: torch.Tensor) -> torch.Tensor:
        cells_B144 = nn.functional.avg_pool2d(x_B3SS[:, :1], CELL)
        return self.norm(self.gain(cells_B144)) * self.own


def oracle(cell: int) -> Classifier:
    """Its logits are (-5, 5) where cell `cell` is dark and (5, -5) where it is bright."""
    head = nn.Linear(16, 2)
    with torch.no_grad():
        head.weight.zero_()
        # 16: the pool is a mean over 16 cells
        head.weight[:, cell] = 10 * 16 * torch.tensor([1.0, -1.0])
        head.bias.copy_(torch.tensor([-5.0, 5.0]))
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Classifier(Cells(), nn.Identity(), nn.Sequential(pool, head), 2, {})  # type: ignore[arg-type]
    return model.eval()


def in_cell(cell: int) -> np.ndarray:
    """bool (S, S), True in the cell."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    row, column = divmod(cell, 4)
    mask[CELL * row : CELL * (row + 1), CELL * column : CELL * (column + 1)] = True
    return mask


def pictures(cell: int, count: int = 3) -> np.ndarray:
    """Noise, bright in the cell: uint8 (count, S, S)."""
    noise = np.random.default_rng(0).integers(60, 120, (count, SIDE, SIDE), dtype=np.uint8)
    return np.where(in_cell(cell), 255, noise).astype(np.uint8)


def edges(
    model: Classifier,
    images: np.ndarray,
    *_: Any,
) -> np.ndarray:
    """An edge detector in the dress of a heat map: it never asks the model."""
    down, across = np.gradient(images.astype(np.float32), axis=(1, 2))
    size = np.hypot(down, across)
    return np.asarray(size / size.max(axis=(1, 2), keepdims=True), dtype=np.float32)


def check(heatmaps: np.ndarray, images: np.ndarray, **options: Any) -> checks.Checks:
    targets = np.zeros(len(images), dtype=np.int64)
    return check_explanations(
        oracle(5), images, targets, heatmaps, "gradcam", "after_attention", **options
    )


@pytest.mark.parametrize("part", ["head", "all"])
def test_a_map_of_the_model_changes_with_its_weights(part: Any) -> None:
    model, images, targets = oracle(5), pictures(5), np.zeros(3, dtype=np.int64)
    before = cam_heatmaps(model, images, targets, *PLAIN)
    random = forgetful_copy(model, images, part, 0)
    after = cam_heatmaps(random, images, targets, *PLAIN)
    assert similarity(before, before).tolist() == [1, 1, 1]
    assert similarity(before, after).max() < 0.9


def test_an_edge_detector_stays_the_same_whatever_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = pictures(5)
    of_model = check(cam_heatmaps(oracle(5), images, np.zeros(3, int), *PLAIN), images)
    monkeypatch.setattr(checks, "cam_heatmaps", edges)
    of_edges = check(edges(oracle(5), images), images)
    for name in ("ssim_head_random", "ssim_all_random"):
        assert of_edges[name]["value"] == pytest.approx(1)
        assert of_model[name]["value"] < 0.9


def test_shuffled_weights_are_the_same_values_elsewhere_and_seeded() -> None:
    model, images = oracle(5), pictures(5)
    one, again, other = (forgetful_copy(model, images, "all", seed) for seed in (0, 0, 1))
    own, weight = model.head[1].weight, one.head[1].weight
    assert torch.equal(own.flatten().sort().values, weight.flatten().sort().values)
    assert not torch.equal(own, weight)
    assert torch.equal(weight, again.head[1].weight)
    assert not torch.equal(weight, other.head[1].weight)


def test_random_heads_leave_the_backbone_alone_and_random_nets_fit_batch_norm_anew() -> None:
    model, images = oracle(5), pictures(5)
    head = forgetful_copy(model, images, "head", 0)
    assert torch.equal(head.backbone.norm.running_mean, model.backbone.norm.running_mean)  # type: ignore[union-attr]
    everything = forgetful_copy(model, images, "all", 0)
    # every channel sees all cells before the norm: the mean brightness, in 0..1
    mean = torch.full((16,), float(images.mean()) / 255)
    assert torch.allclose(everything.backbone.norm.running_mean, mean, atol=1e-5)  # type: ignore[union-attr, arg-type]


def test_deletion_lies_below_insertion_for_the_patch_that_decides() -> None:
    model, images, targets = oracle(5), pictures(5, 2), np.zeros(2, dtype=np.int64)
    right = np.repeat(in_cell(5)[None].astype(np.float32), 2, axis=0)
    (deletion, insertion), wrong = perturbation_curves(model, images, targets, [right, 1 - right])
    assert deletion.shape == insertion.shape == (2, STEPS + 1)
    # both share the clear and the blurred picture
    np.testing.assert_allclose(deletion[:, 0], insertion[:, -1])
    np.testing.assert_allclose(deletion[:, -1], insertion[:, 0])
    # one cell is one step of 16: after it the rest of the picture changes nothing
    np.testing.assert_allclose(insertion[:, 1:], deletion[:, :1].repeat(STEPS, axis=1), atol=1e-6)
    np.testing.assert_allclose(deletion[:, 1:], insertion[:, :1].repeat(STEPS, axis=1), atol=1e-6)
    assert (area_under(deletion) < area_under(insertion)).all()
    assert (area_under(wrong[0]) > area_under(wrong[1])).all()


def test_probability_of_the_deciding_patch_is_worked_out_by_hand() -> None:
    # bright 1 -> logits (5, -5): p = 1 / (1 + e^-10)
    (curves,) = perturbation_curves(
        oracle(0), np.full((1, SIDE, SIDE), 255, np.uint8), np.array([0]),
        [np.ones((1, SIDE, SIDE), np.float32)],
    )  # fmt: skip
    for curve in curves:  # blurring one grey level gives the same picture
        np.testing.assert_allclose(curve, 1 / (1 + math.exp(-10)), atol=1e-6)


def test_the_ends_of_all_curves_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads are found once, too, and the model and its spots share the clear and the blurred."""
    passes, heads = [], []
    predict, masks = checks.predict_logits, checks.head_masks
    monkeypatch.setattr(
        checks, "predict_logits", lambda *a, **k: passes.append(a) or predict(*a, **k)
    )
    monkeypatch.setattr(checks, "head_masks", lambda x: heads.append(len(x)) or masks(x))
    images, targets = pictures(5, 3), np.zeros(3, dtype=np.int64)
    maps = cam_heatmaps(oracle(5), images, targets, *PLAIN)
    check_explanations(oracle(5), images, targets, maps, *PLAIN)
    assert len(passes) == 2 + 2 * 2 * (STEPS - 1), "30, and 32 where each kind has its own"
    assert heads == [3]


def test_area_is_that_of_trapezes() -> None:
    assert area_under(np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])).tolist() == [0.25, 1.0]


def test_places_of_the_lesion_are_counted_where_masks_are_known() -> None:
    images = pictures(5, 4)
    heat = np.repeat(in_cell(5)[None].astype(np.float32), 4, axis=0)
    masks = np.stack([in_cell(5), in_cell(6), in_cell(15), np.zeros((SIDE, SIDE), bool)])
    found = check(heat, images, masks=masks)
    # 5 hits; 6 is its neighbour, but the hottest pixel is the first of the cell, 16 px away
    assert found["pointing_hits"]["value"] == pytest.approx(1 / 3)
    assert found["lesion_iou"]["value"] == pytest.approx(1 / 3)
    assert found["pointing_hits"]["n"] == found["lesion_iou"]["n"] == 3
    assert "pointing_hits" not in check(heat, images)


def test_every_figure_has_a_sentence_and_a_count() -> None:
    images = pictures(5, 40)
    heat = cam_heatmaps(oracle(5), images, np.zeros(40, int), *PLAIN)
    found = check(heat, images, masks=np.repeat(in_cell(5)[None], 40, axis=0))
    assert list(found) == [
        "ssim_head_random", "ssim_all_random", "deletion", "insertion",
        "outside_head", "pointing_hits", "lesion_iou",
    ]  # fmt: skip
    for figure in found.values():
        assert 0 <= figure["value"] <= 1 and figure["meaning"].endswith(".")
    assert found["deletion"]["n"] == found["ssim_all_random"]["n"] == 16  # the dear ones
    assert found["pointing_hits"]["n"] == found["outside_head"]["n"] == 40


def looking(cell: int) -> Classifier:
    """The oracle behind attention that looks at bright cells, `cell` above all."""
    model = oracle(cell)
    options = mhsa.Options(
        heads=1, head_dim=None, dim=None, residual=True, norm=False, position="none",
        noise=0.0, dropout=0.0,
    )  # fmt: skip
    module = mhsa.build(16, options)
    with torch.no_grad():  # queries are 1 whatever the token, keys are the brightness
        module.qkv.weight.zero_()  # type: ignore[union-attr, operator]
        module.qkv.bias[:16] = 1  # type: ignore[index]
        module.qkv.weight[16:32] = 9 * torch.eye(16)  # type: ignore[index]
    model.attention = module
    return model


def test_attention_is_not_tried_with_another_head_on_which_it_cannot_depend() -> None:
    model, images, targets = looking(5), pictures(5), np.zeros(3, dtype=np.int64)
    how = ("attention", "after_attention")
    heat = cam_heatmaps(model, images, targets, *how)  # type: ignore[arg-type]
    other_head = forgetful_copy(model, images, "head", 0)
    same = cam_heatmaps(other_head, images, targets, *how)  # type: ignore[arg-type]
    np.testing.assert_array_equal(heat, same)
    masks = np.repeat(in_cell(5)[None], 3, axis=0)
    found = check_explanations(model, images, targets, heat, *how, masks=masks)  # type: ignore[arg-type]
    assert list(found) == [
        "ssim_all_random", "deletion", "insertion", "outside_head", "pointing_hits", "lesion_iou",
    ]  # fmt: skip
    # compared with attention under random weights, and not with a map of another method
    random = forgetful_copy(model, images, "all", 0)
    after = cam_heatmaps(random, images, targets, *how)  # type: ignore[arg-type]
    assert found["ssim_all_random"]["value"] == pytest.approx(similarity(heat, after).mean())
    assert found["ssim_all_random"]["value"] < 0.9
    assert found["pointing_hits"]["value"] == 1
    assert found["deletion"]["value"] < found["insertion"]["value"]


def test_no_images_and_empty_maps_give_nan_and_no_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    nothing = check(np.zeros((0, SIDE, SIDE), np.float32), pictures(5, 0))
    assert all(math.isnan(figure["value"]) and figure["n"] == 0 for figure in nothing.values())
    empty = check(np.zeros((1, SIDE, SIDE), np.float32), pictures(5, 1))
    assert math.isnan(empty["outside_head"]["value"])
    assert math.isnan(empty["ssim_all_random"]["value"])
    assert not [str(warning.message) for warning in recwarn]


def test_the_model_is_left_bit_for_bit() -> None:
    model, images = oracle(5).train(), pictures(5)
    model(torch.zeros(2, 1, SIDE, SIDE)).sum().backward()
    model.head.requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = [(m.training, len(m._forward_hooks)) for m in model.modules()]
    wanted = [p.requires_grad for p in model.parameters()]
    grads = [p.grad for p in model.parameters()]
    heat, targets = np.ones(images.shape, np.float32), np.zeros(3, int)
    with torch.autocast("cpu", torch.bfloat16):
        check_explanations(model, images, targets, heat, "layercam", "backbone", masks=heat > 0)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert [(m.training, len(m._forward_hooks)) for m in model.modules()] == found
    assert [p.requires_grad for p in model.parameters()] == wanted
    assert all(p.grad is grad for p, grad in zip(model.parameters(), grads, strict=True))


def test_a_map_is_compared_with_the_middle_of_the_head_image_by_image() -> None:
    """Gains of 0.1, 0.2 and 0.3: mean 0.2, t of 2 degrees 4.3027, deviation 0.1 over root 3."""
    scores = np.array([0.3, 0.5, np.nan, 0.4])
    of_spots = np.array([0.2, 0.2, np.nan, 0.2])
    found = checks._check_beside_middle("more than {:.1f}", scores, of_spots)
    assert found["meaning"] == "more than 0.2"
    assert found["middle"] == pytest.approx(0.2)
    assert found["gain_ci"] == pytest.approx([0.2 - 0.24841, 0.2 + 0.24841], abs=1e-4)


def test_a_map_of_the_middle_is_no_better_than_the_middle() -> None:
    images = pictures(5)
    spots = checks.spots_in_head(checks.head_masks(images))
    found = check(spots, images, masks=np.stack([in_cell(5)] * 3))
    for name in ("deletion", "insertion", "pointing_hits", "lesion_iou"):
        assert found[name]["gain_ci"] == pytest.approx([0, 0], abs=1e-6), name
        assert found[name]["middle"] == pytest.approx(found[name]["value"], abs=1e-6)
