"""Small moves that bring one picture onto another: shift and scale along both axes."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# P pairs, T side in px, n = T * T pixels

_STEPS = 4
_LARGEST = 0.06  # scale and shift, as a share of the side: beyond, it is another picture


def align(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`one` moved onto `other`, and where it has pixels: float32 and bool (P, T, T).

    one, other: float32 (P, T, T).  Least squares over scale and shift along each axis, gain
    and offset, by Gauss-Newton from the identity; good for moves of about a pixel and a half.
    Source: Lucas and Kanade 1981, An iterative image registration technique.
    """
    move = _solve(_halved(one), _halved(other))
    move[:, 1::2] *= 2  # shifts were in pixels of the halved pictures
    moved, inside = _sample([one], move)
    return moved[0], inside


def _halved(images: np.ndarray) -> np.ndarray:
    """Half the side, blurred: a move of a pixel must stay within the slope of an edge."""
    count, side = images.shape[:2]
    halved = images.reshape(count, side // 2, 2, side // 2, 2).mean(axis=(2, 4))
    return ndimage.gaussian_filter(halved, (0, 0.7, 0.7))


def _solve(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Scale y, shift y, scale x, shift x that bring one onto other: float32 (P, 4)."""
    count, side = one.shape[:2]
    target = other.reshape(count, -1)
    slope_y, slope_x = np.gradient(one, axis=(1, 2))
    y, x = _axes(side)
    limit = _LARGEST * side * np.array([2 / side, 1, 2 / side, 1], np.float32)
    move = np.zeros((count, 4), np.float32)
    for _ in range(_STEPS):
        sampled, inside = _sample([one, slope_y, slope_x], move)
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


def _axes(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions from the centre, in px: y and x, each (n,)."""
    line = np.arange(side, dtype=np.float32) - (side - 1) / 2
    y, x = np.meshgrid(line, line, indexing="ij")
    return y.ravel(), x.ravel()


def _sample(images: list[np.ndarray], move: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
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
