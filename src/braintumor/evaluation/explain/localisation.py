"""Where a heat map lies: on the lesion, on the head, or beside it."""

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


# N images, S side of the picture

# 15 px are allowed in pictures of about 500 px: Zhang et al. 2016, arXiv:1608.00507, section 4.1
_TOLERANCE = 0.03  # of the side
_SPOT = 0.2  # of the side, standard deviation of the round spot that knows nothing of the picture


def share_outside(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Of the heat of each map, the share outside its mask: float (N,) in [0, 1].

    heatmaps: float (N, S, S), not negative.  masks: bool (N, S, S).
    NaN where the map is empty or the mask is.
    """
    total = heatmaps.sum(axis=(1, 2), dtype=np.float64)
    outside = np.where(masks, 0, heatmaps).sum(axis=(1, 2), dtype=np.float64)
    is_known = (total > 0) & masks.any(axis=(1, 2))
    return np.where(is_known, outside / np.where(total > 0, total, 1), np.nan)


def pointing_hits(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the hottest pixel lies in the mask or within 3 % of the side of it: float (N,).

    1 a hit, 0 a miss, as an empty map is; NaN where there is no lesion.
    Source: the pointing game, Zhang et al. 2016, arXiv:1608.00507.
    """
    from scipy import ndimage

    hits = np.full(len(heatmaps), np.nan)
    for i, (heat, mask) in enumerate(zip(heatmaps, masks, strict=True)):
        if mask.any():
            away_px = ndimage.distance_transform_edt(~mask)
            hottest = np.unravel_index(heat.argmax(), heat.shape)
            hits[i] = heat.max() > 0 and away_px[hottest] <= _TOLERANCE * max(heat.shape)
    return hits


def top_area_iou(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Intersection over union of the lesion and as many of the hottest pixels: float (N,).

    Taking the lesion's own area leaves no threshold to choose, and 1 can be reached.
    An empty map scores 0; NaN where there is no lesion.
    """
    scores = np.full(len(heatmaps), np.nan)
    for i, (heat, mask) in enumerate(zip(heatmaps, masks, strict=True)):
        area = int(mask.sum())
        if area:
            hottest = np.argsort(-heat, axis=None, kind="stable")[:area]
            both = int((mask.ravel()[hottest] & (heat.ravel()[hottest] > 0)).sum())
            scores[i] = both / (2 * area - both)
    return scores


def spots_in_head(in_head: np.ndarray) -> np.ndarray:
    """A round spot in the middle of each head, what a map must beat: float32 (N, S, S) in [0, 1].

    in_head: bool (N, S, S); where there is no head, the spot is in the middle of the picture.
    """
    rows, columns = np.ogrid[: in_head.shape[1], : in_head.shape[2]]
    spots = np.empty(in_head.shape, dtype=np.float32)
    for i, mask in enumerate(in_head):
        row, column = np.argwhere(mask if mask.any() else ~mask).mean(axis=0)
        away2_px = (rows - row) ** 2 + (columns - column) ** 2
        spots[i] = np.exp(-away2_px / (2 * (_SPOT * max(mask.shape)) ** 2))
    return spots
