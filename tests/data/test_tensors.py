"""Order of an epoch and oversampling; and augmentation: what it keeps, and who draws."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from braintumor.data.tensors import Augment, AugmentSettings, _grid, epoch_order

CPU = torch.device("cpu")
LABELS = np.array([0] * 10 + [1] * 4 + [2] * 7)


def test_order_visits_every_image_once() -> None:
    order = epoch_order(LABELS, seed=0, epoch=0, oversample=False)
    assert sorted(order) == list(range(len(LABELS)))


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return epoch_order(LABELS, seed, epoch, oversample=True).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_oversampling_balances_classes_and_loses_no_image() -> None:
    order = epoch_order(LABELS, seed=0, epoch=3, oversample=True)
    assert np.bincount(LABELS[order]).tolist() == [10, 10, 10]
    assert set(order) == set(range(len(LABELS)))


def test_oversampling_repeats_evenly() -> None:
    """Four images filled up to ten: each twice or three times, never seven times one."""
    order = epoch_order(LABELS, seed=0, epoch=0, oversample=True)
    repeats = np.bincount(order, minlength=len(LABELS))[LABELS == 1]
    assert set(repeats) == {2, 3}


OFF = AugmentSettings(
    horizontal_flip=0, vertical_flip=0, rotation_deg=0, shift=0, zoom=0, brightness=0,
    contrast=0, noise=0, erasing=0, erasing_area=0, mixup=0,
)  # fmt: skip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, side: int = 16, channels: int = 1) -> torch.Tensor:
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, generator=seeded(7), dtype=torch.uint8)


def apply(x: torch.Tensor, seed: int = 0, **strengths: float) -> torch.Tensor:
    augment = Augment(dataclasses.replace(OFF, **strengths), num_classes=4)
    return augment(x, torch.zeros(len(x), dtype=torch.long), seeded(seed))[0]


def test_nothing_on_changes_nothing() -> None:
    x = pictures()
    assert torch.equal(apply(x), x.float())


def test_certain_flip_is_the_mirror_image() -> None:
    x = pictures()
    torch.testing.assert_close(apply(x, horizontal_flip=1.0), x.float().flip(-1), atol=1e-2, rtol=0)
    torch.testing.assert_close(apply(x, vertical_flip=1.0), x.float().flip(-2), atol=1e-2, rtol=0)


def test_flip_twice_is_identity() -> None:
    x = pictures()
    twice = apply(apply(x, horizontal_flip=1.0), horizontal_flip=1.0)
    torch.testing.assert_close(twice, x.float(), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    "strength",
    [
        {"rotation_deg": 30.0}, {"shift": 0.2}, {"zoom": 0.3}, {"brightness": 0.5},
        {"contrast": 0.5}, {"noise": 0.2}, {"erasing": 1.0, "erasing_area": 0.3},
    ],
)  # fmt: skip
def test_each_image_of_a_batch_draws_for_itself(strength: dict[str, float]) -> None:
    """torchvision v2 transforms on a batch draw once for all images; this must not."""
    same = pictures(1, side=32).expand(6, -1, -1, -1)
    out = apply(same, **strength)
    distinct = {tuple(image.flatten().tolist()) for image in out}
    assert len(distinct) == 6


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_stay_in_range_and_shape(channels: int) -> None:
    x = pictures(8, channels=channels)
    out = apply(
        x, horizontal_flip=0.5, rotation_deg=20, shift=0.1, zoom=0.2, brightness=0.9,
        contrast=0.9, noise=0.5, erasing=0.5, erasing_area=0.2,
    )  # fmt: skip
    assert out.shape == x.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 255


def test_same_seed_same_pictures_other_seed_other_pictures() -> None:
    x = pictures()
    one, again, other = (apply(x, s, rotation_deg=20, noise=0.1) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_rotation_keeps_a_centred_disc() -> None:
    side = torch.arange(33) - 16
    disc = ((side[:, None] ** 2 + side[None] ** 2) <= 100).float()[None, None] * 200
    out = apply(disc, rotation_deg=90.0)
    assert (out - disc).abs().mean() < 5


def test_black_stays_black_when_brightness_and_contrast_rise() -> None:
    x = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    assert apply(x, brightness=0.5).max() == 0


def test_erasing_blacks_out_no_more_than_its_area() -> None:
    x = torch.full((64, 1, 40, 40), 255, dtype=torch.uint8)
    share = (apply(x, erasing=1.0, erasing_area=0.2) == 0).float().mean(dim=(1, 2, 3))
    assert share.max() <= 0.2 + 0.06  # pixels on the border round up
    assert share.max() > 0.1


def test_mixup_blends_labels_as_it_blends_pictures() -> None:
    y = torch.arange(12) % 3
    x = (100.0 * y)[:, None, None, None].expand(12, 1, 4, 4)
    augment = Augment(dataclasses.replace(OFF, mixup=1.0), num_classes=3)
    mixed, target = augment(x, y, seeded(1))
    assert target.shape == (12, 3)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(12))
    # a pixel is the label-weighted mean of the three flat pictures
    torch.testing.assert_close(mixed[:, 0, 0, 0], target @ torch.tensor([0.0, 100.0, 200.0]))
    assert (target.argmax(dim=1) == y).all()
    assert (target.max(dim=1).values < 1).any()


@pytest.mark.parametrize("side_px", [5, 64])
def test_the_grid_of_an_affine_map_is_that_of_torch(side_px: int) -> None:
    theta = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = F.affine_grid(theta, [3, 1, side_px, side_px], align_corners=False)
    torch.testing.assert_close(_grid(theta, side_px), expected, rtol=1e-5, atol=1e-5)
