"""The order of an epoch, and augmentation in batches.

All geometry of the augmentation is one affine resampling, so a picture is interpolated once
however many transforms are on. Every draw comes from the generator that is passed in.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from braintumor.ranges import NotNegative, Share, ShareBelow1, Within
from braintumor.runtime import mix_seed

# N images, B of them a batch, C channels (1 when all pictures are grey, else 3), S side in px,
# K classes

_AFFINE_DRAWS = 6  # angle, zoom, both flips, both shifts


@dataclass(frozen=True)
class Part:
    """Rows `start::step` of a batch of `count`: what one of several processes has of it."""

    start: int
    step: int
    count: int

    def of(self, whole: Tensor, dim: int = 0) -> Tensor:
        """Its rows along that dimension: a view."""
        rows = slice(self.start, None, self.step)
        return whole[(slice(None),) * dim + (rows,)]


def epoch_order(labels: np.ndarray, seed: int, epoch: int, *, oversample: bool) -> np.ndarray:
    """Positions in the order of this epoch: int64 (M,); a function of (seed, epoch) alone.

    labels: int (N,).  M = N, each position once; under `oversample` every class is repeated
    to the size of the largest: whole copies first, then a random part without repetition.
    """
    rng = np.random.default_rng(mix_seed(seed, "order", epoch))
    if not oversample:
        return rng.permutation(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    target, parts = counts.max(), []
    for label, count in zip(classes, counts, strict=True):
        members = np.flatnonzero(labels == label)
        parts.append(np.tile(members, target // count))
        parts.append(rng.choice(members, target % count, replace=False))
    return rng.permutation(np.concatenate(parts))


@dataclass(frozen=True)
class AugmentSettings:
    """Strengths; 0 turns a transform off. Documented in configs/augment/."""

    horizontal_flip: Share
    vertical_flip: Share
    rotation_deg: Annotated[float, Within(0, 180)]
    shift: Share
    zoom: ShareBelow1
    brightness: Share
    contrast: Share
    noise: Share
    erasing: Share
    erasing_area: Share
    mixup: NotNegative


@dataclass(frozen=True)
class Augment:
    """What is done to a batch of training pictures. num_classes: K, of the blended labels."""

    settings: AugmentSettings
    num_classes: int

    @property
    def is_identity(self) -> bool:
        """Whether pictures come back as they are."""
        area_alone = dataclasses.replace(self.settings, erasing_area=0)  # it says nothing
        return not any(dataclasses.astuple(area_alone))

    @property
    def blends(self) -> bool:
        """Whether an image becomes a mixture with another one of its batch."""
        return self.settings.mixup > 0

    def __call__(
        self, x: Tensor, y: Tensor, generator: torch.Generator, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """The batch with a draw of its own for each image.

        x: uint8 or float (B, C, S, S), pixels in 0..255; comes back as float32 in 0..255.
        y: int64 (B,); comes back as it was, or as float32 (B, K) rows summing to 1 under mixup.
        part: these are the rows of one of several processes, and come back as they would in one:
            draws are made for the whole batch. Where images blend, `x` and `y` are all of it, and
            its rows come back.
        """
        if part and self.blends:
            x, y = self(x, y, generator)
            return part.of(x), part.of(y)
        whole = Part(0, 1, len(x)) if part is None else part
        s = self.settings
        is_moved = any((s.horizontal_flip, s.vertical_flip, s.rotation_deg, s.shift, s.zoom))
        is_toned = bool(s.brightness or s.contrast)
        # all at once: a draw of its own for each is a launch each, on a GPU
        count = _AFFINE_DRAWS * is_moved + 2 * is_toned + bool(s.noise)
        draws = torch.empty(0)
        if count:
            draws = whole.of(_uniform((count, whole.count), generator), dim=1)
        x = x.float()
        if is_moved:
            x, draws = _resample(x, _affine(s, draws[:_AFFINE_DRAWS])), draws[_AFFINE_DRAWS:]
        if is_toned:
            x, draws = _change_intensity(x, s, *draws[:2]), draws[2:]
        if s.noise:
            # an image draws its own strength, so clean pictures stay in the diet
            std_B111 = 255 * s.noise * draws[0][:, None, None, None]
            shape = (whole.count, *x.shape[1:])
            noise = torch.randn(shape, generator=generator, device=x.device)
            x = (x + std_B111 * whole.of(noise)).clamp(0, 255)
        if s.erasing:
            x = _erase(x, s, whole.of(_uniform((5, whole.count), generator), dim=1))
        if self.blends:
            return _mixup(x, F.one_hot(y, self.num_classes).float(), s.mixup, generator)
        return x, y


def move_alike(x: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """All pictures by one and the same draw, on whichever device they are: float32 (B, C, S, S).

    x: uint8 or float (B, C, S, S), pixels in 0..255.  generator: of the CPU, so that devices agree.
    """
    theta_123 = _affine(settings, _uniform((_AFFINE_DRAWS, 1), generator)).to(x.device)
    return _resample(x.float(), theta_123.expand(len(x), -1, -1))


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _affine(s: AugmentSettings, uniform_6B: Tensor) -> Tensor:
    """theta (B, 2, 3) for affine_grid: output coordinates in [-1, 1] -> input coordinates."""
    angle_B, zoom_B, _, _, *shift = 2 * uniform_6B - 1
    scale_B = (1 + s.zoom * zoom_B).reciprocal()
    angle_B = math.radians(s.rotation_deg) * angle_B
    cos_B, sin_B = angle_B.cos() * scale_B, angle_B.sin() * scale_B
    flip_x_B = 1 - 2 * (uniform_6B[2] < s.horizontal_flip).float()
    flip_y_B = 1 - 2 * (uniform_6B[3] < s.vertical_flip).float()
    shift_x_B, shift_y_B = (2 * s.shift * part for part in shift)
    row_x = [flip_x_B * cos_B, -flip_x_B * sin_B, shift_x_B]
    row_y = [flip_y_B * sin_B, flip_y_B * cos_B, shift_y_B]
    return torch.stack(row_x + row_y, dim=1).unflatten(1, (2, 3))


def _resample(x: Tensor, theta_B23: Tensor) -> Tensor:
    """Bilinear; outside the picture there is air, and air is black in MRI."""
    return F.grid_sample(x, _grid(theta_B23, x.shape[-1]), align_corners=False)


def _grid(theta_B23: Tensor, side_px: int) -> Tensor:
    """F.affine_grid for squares: (B, S, S, 2).

    That one multiplies every place by its matrix: on a CPU 80 % of the whole augmentation. Here
    each coordinate is the sum of a part by column and a part by row.
    """
    place_S = torch.arange(1, 2 * side_px, 2, device=theta_B23.device) / side_px - 1
    by_column_B2S = theta_B23[:, :, :1] * place_S
    by_row_B2S = theta_B23[:, :, 1:2] * place_S + theta_B23[:, :, 2:]
    grid_BSS2 = theta_B23.new_empty((len(theta_B23), side_px, side_px, 2))
    for k in range(2):
        torch.add(by_column_B2S[:, k, None], by_row_B2S[:, k, :, None], out=grid_BSS2[..., k])
    return grid_BSS2


def _change_intensity(x: Tensor, s: AugmentSettings, contrast_B: Tensor, gain_B: Tensor) -> Tensor:
    """Contrast about each image's mean, then gain: a gain keeps air black, an offset would not.

    contrast_B, gain_B: draws in [0, 1).
    """
    contrast = (1 + s.contrast * (2 * contrast_B - 1))[:, None, None, None]
    gain = (1 + s.brightness * (2 * gain_B - 1))[:, None, None, None]
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    # ((x - mean) * contrast + mean) * gain, in one pass over the pixels
    return torch.addcmul(mean * (1 - contrast) * gain, x, contrast * gain).clamp_(0, 255)


def _erase(x: Tensor, s: AugmentSettings, uniform_5B: Tensor) -> Tensor:
    """Black out one rectangle of up to `erasing_area` of the picture, aspect 1/2 to 2.

    Source: Zhong et al. 2020, Random Erasing, arXiv:1708.04896; filled with black, not noise.
    """
    hit, area, aspect, centre_y, centre_x = uniform_5B
    hit, area = hit < s.erasing, s.erasing_area * (0.1 + 0.9 * area)
    aspect = torch.exp2(2 * aspect - 1)
    half_h, half_w = (area * aspect).sqrt() / 2, (area / aspect).sqrt() / 2
    position_S = (torch.arange(x.shape[-1], device=x.device) + 0.5) / x.shape[-1]
    in_y_BS = (position_S - centre_y[:, None]).abs() <= half_h[:, None]
    in_x_BS = (position_S - centre_x[:, None]).abs() <= half_w[:, None]
    box = (in_y_BS[:, :, None] & in_x_BS[:, None, :] & hit[:, None, None])[:, None]
    return x.masked_fill(box, 0.0)


def _mixup(
    x: Tensor, y_BK: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blend each image and its label with another image's; share ~ Beta(alpha, alpha).

    Source: Zhang et al. 2018, arXiv:1710.09412. Drawn per image, not once a batch.
    """
    shape = torch.full((2, len(x)), alpha, device=x.device)
    # torch.distributions takes no generator; a Beta draw is a ratio of two gamma draws
    gamma = torch._standard_gamma(shape, generator=generator)
    share = (gamma[0] / gamma.sum(dim=0)).nan_to_num(0.5)
    share = torch.maximum(share, 1 - share)  # an image stays the larger part of itself
    other = torch.randperm(len(x), generator=generator, device=x.device)
    x = x.lerp(x[other], (1 - share)[:, None, None, None])
    return x, y_BK.lerp(y_BK[other], (1 - share)[:, None])
