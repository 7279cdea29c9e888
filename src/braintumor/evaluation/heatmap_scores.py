"""Heat maps against known places and against each other: arrays in, a score an image out."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.metrics import structural_similarity

# N images: uint8 (N, S, S) or (N, S, S, 3), S side of the picture
# heatmaps: float (N, S, S) in [0, 1]; masks of heads or lesions: bool (N, S, S)

_CLOSE = 0.03  # of the side: gaps in the bright rim that are bridged before holes are filled
_BELOW_OTSU = 0.5  # brain is darker than fat, and Otsu's threshold lies between the two
# 15 px are allowed in pictures of about 500 px: Zhang et al. 2016, arXiv:1608.00507, section 4.1
_TOLERANCE = 0.03  # of the side
_SPOT = 0.2  # of the side, standard deviation of the round spot that knows nothing of the picture


def area_under(curves: np.ndarray) -> np.ndarray:
    """Area under each curve over [0, 1], by trapezes: float (..., steps) -> (...)."""
    return (curves[..., 1:] + curves[..., :-1]).mean(axis=-1) / 2


def ranks(heatmaps: np.ndarray) -> np.ndarray:
    """Place of each pixel from the hottest, as a share of the area: float32 (N, S, S) in [0, 1).

    Pixels of the same heat, such as all that have none, follow outward from where the heat is.
    """
    places = np.empty(heatmaps.shape, dtype=np.float32)
    for place, heat in zip(places, heatmaps, strict=True):
        near = ndimage.gaussian_filter(heat.astype(np.float64), max(heat.shape) / 4)
        order = np.lexsort((-near.ravel(), -heat.ravel()))
        place.ravel()[order] = np.arange(heat.size) / heat.size
    return places


def similarity(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Structural similarity of two maps of each image: float (N,), 1 when they are the same.

    NaN where there was no heat before.
    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861; library scikit-image.
    """
    scores = np.full(len(before), np.nan)
    for i in np.flatnonzero(before.any(axis=(1, 2))):
        scores[i] = structural_similarity(before[i], after[i], data_range=1.0)
    return scores


def head_masks(images: np.ndarray) -> np.ndarray:
    """The pixels of the head, air around it left out: bool (N, S, S).

    Half of Otsu's threshold on the smoothed picture, small gaps closed, holes filled, the
    largest piece kept. A picture of one level has no head: its mask is all False.
    Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076.
    """
    masks = np.zeros(images.shape[:3], dtype=bool)
    side = max(images.shape[1:3])
    gap_px = max(1, round(_CLOSE * side))
    inside = slice(2 * gap_px, -2 * gap_px)
    for mask, image in zip(masks, images, strict=True):
        grey = image.mean(axis=2) if image.ndim == 3 else image.astype(np.float64)
        if grey.min() == grey.max():
            continue
        smooth = ndimage.gaussian_filter(grey, side / 128)
        # a frame of air, or closing would eat what touches the edge of the picture
        framed = np.pad(smooth > _BELOW_OTSU * threshold_otsu(smooth), 2 * gap_px)
        framed = ndimage.binary_closing(framed, iterations=gap_px)
        pieces, count = ndimage.label(ndimage.binary_fill_holes(framed)[inside, inside])
        if count:
            mask[:] = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    return masks


def share_outside(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of the heat of each map outside its mask: float (N,); NaN where either is empty."""
    total = heatmaps.sum(axis=(1, 2), dtype=np.float64)
    outside = np.where(masks, 0, heatmaps).sum(axis=(1, 2), dtype=np.float64)
    is_known = (total > 0) & masks.any(axis=(1, 2))
    return np.where(is_known, outside / np.where(total > 0, total, 1), np.nan)


def pointing_hits(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the hottest pixel lies in the mask or within 3 % of the side of it: float (N,).

    1 a hit, 0 a miss, as an empty map is; NaN where there is no lesion.
    Source: the pointing game, Zhang et al. 2016, arXiv:1608.00507.
    """
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
        if area := int(mask.sum()):
            hottest = np.argsort(-heat, axis=None, kind="stable")[:area]
            both = int((mask.ravel()[hottest] & (heat.ravel()[hottest] > 0)).sum())
            scores[i] = both / (2 * area - both)
    return scores


def spots_in_head(in_head: np.ndarray) -> np.ndarray:
    """A round spot in the middle of each head, what a map must beat: float32 (N, S, S) in [0, 1].

    Where there is no head, the spot is in the middle of the picture.
    """
    rows, columns = np.ogrid[: in_head.shape[1], : in_head.shape[2]]
    spots = np.empty(in_head.shape, dtype=np.float32)
    for i, mask in enumerate(in_head):
        row, column = np.argwhere(mask if mask.any() else ~mask).mean(axis=0)
        away2_px = (rows - row) ** 2 + (columns - column) ** 2
        spots[i] = np.exp(-away2_px / (2 * (_SPOT * max(mask.shape)) ** 2))
    return spots
