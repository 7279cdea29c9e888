"""Local contrast of pictures, and how alike two are once one is moved onto the other."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# P pairs of pictures, or N pictures, T their side in px

_WINDOW_PX = 5  # of local contrast: about a gyrus at 64 px
_FLOOR = 4.0  # grey levels; keeps the noise of air from counting as contrast
_STEPS = 4  # of the alignment
_LARGEST = 0.06  # scale and shift, as a share of the side: beyond, it is another picture


def local_contrast(images: np.ndarray) -> np.ndarray:
    """Local contrast normalisation of float32 (N, T, T), then mean 0 and length 1 a picture.

    Source: Jarrett et al. 2009, What is the best multi-stage architecture for object
    recognition?, with a box window.
    """
    window = (0, _WINDOW_PX, _WINDOW_PX)
    mean = ndimage.uniform_filter(images, window)
    variance = ndimage.uniform_filter(images * images, window) - mean * mean
    return unit((images - mean) / (np.sqrt(np.maximum(variance, 0)) + _FLOOR))


def unit(images: np.ndarray) -> np.ndarray:
    images = images - images.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((images**2).sum(axis=(1, 2), keepdims=True))
    return images / np.maximum(length, 1e-6)


def pooled(images: np.ndarray, cell_px: int) -> np.ndarray:
    count, side = images.shape[0], images.shape[1] // cell_px
    return images.reshape(count, side, cell_px, side, cell_px).mean(axis=(2, 4))


def aligned_correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation of local contrast after moving and scaling `one` onto `other`: (P,).

    Where the moved picture has no pixels, both are left out.
    """
    one, other = one.astype(np.float32), other.astype(np.float32)
    # half the side, blurred: a move of a pixel must stay within the slope of an edge
    soft = [ndimage.gaussian_filter(pooled(each, 2), (0, 0.7, 0.7)) for each in (one, other)]
    move = _align(*soft)
    move[:, 1::2] *= 2  # shifts were in pixels of the halved pictures
    (moved,), inside = sample([one], move)
    a, b = (local_contrast(np.where(inside, each, 0)) * inside for each in (moved, other))
    return np.einsum("nij,nij->n", unit(a), unit(b))


def _align(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Scale y, shift y, scale x, shift x that bring one onto other: float32 (P, 4).

    Least squares over these, gain and offset, by Gauss-Newton from the identity; good for moves
    of about a pixel and a half of the full pictures.
    Source: Lucas and Kanade 1981, An iterative image registration technique.
    """
    count, side = one.shape[:2]
    target = other.reshape(count, -1)
    slope_y, slope_x = np.gradient(one, axis=(1, 2))
    line = np.arange(side, dtype=np.float32) - (side - 1) / 2  # px from the centre
    y, x = np.repeat(line, side), np.tile(line, side)
    limit = _LARGEST * side * np.array([2 / side, 1, 2 / side, 1], np.float32)
    move = np.zeros((count, 4), np.float32)
    for _ in range(_STEPS):
        sampled, inside = sample([one, slope_y, slope_x], move)
        image, dy, dx = (part.reshape(count, -1) for part in sampled)
        # d(image)/d(move), then what gain and offset can explain
        jacobian = np.stack([dy * y, dy, dx * x, dx, image, np.ones_like(image)], axis=-1)
        jacobian *= inside.reshape(count, -1, 1)
        transposed = jacobian.transpose(0, 2, 1)
        normal = transposed @ jacobian
        right = transposed @ (target - image)[..., None]
        damping = 1e-6 * np.trace(normal, axis1=1, axis2=2)[:, None, None]
        step = np.linalg.solve(normal + damping * np.eye(6, dtype=np.float32), right)
        move = np.clip(move + step[:, :4, 0], -limit, limit)
    return move


def sample(images: list[np.ndarray], move: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Bilinear samples of each (P, T, T) at the moved positions, and whether they lie inside.

    Both axes are moved on their own, so sampling is a product with a matrix on either side, in
    which each row holds the two shares of a position's neighbours; half the time of gathering.
    """
    side = images[0].shape[1]
    line = np.arange(side, dtype=np.float32)
    centred = line - (side - 1) / 2
    y, x = (line + move[:, i : i + 1] * centred + move[:, i + 1 : i + 2] for i in (0, 2))
    left, right = (np.maximum(1 - np.abs(p[:, :, None] - line), 0) for p in (y, x))
    sampled = [left @ image @ right.transpose(0, 2, 1) for image in images]
    inside_y, inside_x = ((p >= 0) & (p <= side - 1) for p in (y, x))
    return sampled, inside_y[:, :, None] & inside_x[:, None, :]
