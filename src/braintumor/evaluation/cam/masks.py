"""Where the head is in a picture."""

from __future__ import annotations

import numpy as np

# N images, S side of the picture

_CLOSE = 0.03  # of the side: gaps in the bright rim that are bridged before holes are filled
_BELOW_OTSU = 0.5  # brain is darker than fat, and Otsu's threshold lies between the two


def head_masks(images: np.ndarray) -> np.ndarray:
    """The pixels of the head, air around it left out: bool (N, S, S).

    images: uint8 (N, S, S) or (N, S, S, 3).
    Half of Otsu's threshold on the smoothed picture, small gaps closed, holes filled, the
    largest piece kept. A picture of one level has no head: its mask is all False.
    Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076.
    """
    return np.stack([_head(image) for image in images]) if len(images) else _none_of(images)


def _head(image: np.ndarray) -> np.ndarray:
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    grey = image.mean(axis=2) if image.ndim == 3 else image.astype(np.float64)
    if grey.min() == grey.max():
        return np.zeros(grey.shape, dtype=bool)
    side = max(grey.shape)
    smooth = ndimage.gaussian_filter(grey, side / 128)
    mask = smooth > _BELOW_OTSU * threshold_otsu(smooth)
    gap_px = max(1, round(_CLOSE * side))
    # a frame of air, or closing would eat what touches the edge of the picture
    framed = np.pad(mask, 2 * gap_px)
    framed = ndimage.binary_closing(framed, iterations=gap_px)
    mask = ndimage.binary_fill_holes(framed)[2 * gap_px : -2 * gap_px, 2 * gap_px : -2 * gap_px]
    pieces, count = ndimage.label(mask)
    if count > 1:
        mask = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    return mask


def _none_of(images: np.ndarray) -> np.ndarray:
    return np.zeros(images.shape[:3], dtype=bool)
