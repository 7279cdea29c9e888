"""From model to predictions: order kept, no image lost, views averaged."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from braintumor.data.host_images import ImageSplit
from braintumor.errors import CheckpointError, ConfigError
from braintumor.evaluation.predict import Inference, predict
from braintumor.models.backbones import Backbone
from braintumor.models.classifier import Classifier

CLASSES = ("left", "right")


class Pixels(Backbone):
    """Its map is the red channel as it is."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1]


class Halves(nn.Module):
    """The brightness of the two halves: a mirror image swaps them. What is pooled stays."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 2:
            return x
        return torch.stack([x[..., :4].mean(dim=(1, 2, 3)), x[..., 4:].mean(dim=(1, 2, 3))], dim=1)


def left_or_right() -> Classifier:
    """Logits are the brightness of the two halves in 0..1."""
    backbone = Pixels(
        channels=1, map_size_px=(8, 8), image_size=8, mean=(0, 0, 0), std=(1, 1, 1),
        stages=[[]], resolved={},
    )  # fmt: skip
    return Classifier(backbone, nn.Identity(), nn.Sequential(Halves(), nn.Identity()), 2, {})


def split(count: int = 7) -> ImageSplit:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return ImageSplit(images, torch.arange(count) % 2, tuple(f"{i}.png" for i in range(count)))


def run(views: int, batch_size: int = 3) -> torch.Tensor:
    found = predict(left_or_right(), split(), CLASSES, Inference(batch_size, torch.float32), views)
    assert found.paths == split().paths
    assert found.labels.tolist() == split().labels.tolist()
    return torch.from_numpy(found.probs)


def test_every_image_is_predicted_once_in_order_whatever_the_batch_size() -> None:
    expected = left_or_right()(split().images).double().softmax(dim=1)
    for batch_size in (1, 3, 7, 100):
        torch.testing.assert_close(run(1, batch_size), expected, atol=1e-6, rtol=0)


def test_every_second_view_is_mirrored_and_all_but_the_first_are_moved() -> None:
    """Mirrored, the bright half is the other one, so their average hardly knows a side."""
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    images[..., :4] = 255
    bright = dataclasses.replace(split(4), images=images)
    how = Inference(3, torch.float32)
    one, two, three = (
        predict(left_or_right(), bright, CLASSES, how, views).probs for views in (1, 2, 3)
    )
    assert one[:, 0].min() > 0.7
    assert 1e-4 < abs(two - 0.5).max() < 0.05
    assert abs(3 * three - 2 * two - one).max() > 1e-4  # the third is not the first


def test_more_views_are_the_same_at_every_call_and_differ_from_one() -> None:
    torch.testing.assert_close(run(10), run(10), atol=0, rtol=0)
    assert not torch.allclose(run(3), run(1), atol=1e-4)


def test_a_picture_is_judged_alike_whatever_stands_beside_it() -> None:
    torch.testing.assert_close(run(6, batch_size=1), run(6, batch_size=7), atol=1e-6, rtol=0)


def test_no_view_is_refused() -> None:
    with pytest.raises(ConfigError, match="views=0"):
        run(0)


@pytest.mark.parametrize("views", [1, 3])
def test_what_is_not_finite_is_no_answer(views: int) -> None:
    model = left_or_right()
    model.std_255 = model.std_255.float() * float("nan")
    with pytest.raises(CheckpointError, match=r"not finite for 7 of 7 images \(first: 0.png\)"):
        predict(model, split(), CLASSES, Inference(3, torch.float32), views)
