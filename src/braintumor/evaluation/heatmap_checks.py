"""How far heat maps can be trusted: numbers, each with a sentence that says how to read it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import ndimage
from scipy.special import stdtrit
from skimage.filters import threshold_otsu
from skimage.metrics import structural_similarity

from braintumor.evaluation.heatmaps import (
    Layer,
    Method,
    Part,
    cam_heatmaps,
    forgetful_copy,
    left_as_found,
    to_tensor,
)
from braintumor.models.ensemble import Network
from braintumor.progress import waiting
from braintumor.training.batches import predict_logits

# N images: uint8 (N, S, S) or (N, S, S, 3), S side of the picture
# heatmaps: float (N, S, S) in [0, 1]; masks of heads or lesions: bool (N, S, S)

STEPS = 8  # areas within .005 of those with 16 or 32 (16 real slices, mobilenetv2_035_mhsa)
_MOST = 16  # images that the expensive checks look at: the curves take 32 forward passes of each
_SEED = 0  # of the random weights
_BLUR = 0.06  # of the side, standard deviation: a lesion is gone, the shape of the head stays
_CLOSE = 0.03  # of the side: gaps in the bright rim that are bridged before holes are filled
_BELOW_OTSU = 0.5  # brain is darker than fat, and Otsu's threshold lies between the two

# 15 px are allowed in pictures of about 500 px: Zhang et al. 2016, arXiv:1608.00507, section 4.1
_TOLERANCE = 0.03  # of the side
_TAIL = 0.975  # of an interval of 95 %
_SPOT = 0.2  # of the side, standard deviation of the round spot that knows nothing of the picture

Checks = dict[str, dict[str, Any]]


@waiting("checking the heat maps")
def check_explanations(
    model: Network,
    images: np.ndarray,
    targets: np.ndarray,
    heatmaps: np.ndarray,
    method: Method,
    layer: Layer,
    masks: np.ndarray | None = None,
) -> Checks:
    """name -> {"value": float, "meaning": a plain sentence, "n": images it is the mean of}.

    Of deletion, insertion, pointing_hits and lesion_iou also "middle", the value of a spot in the
    middle of the head, and "gain_ci", the 95 % interval of how much better the map is than it.

    targets: int (N,), the classes that were explained.  heatmaps: what cam_heatmaps gave for them
    by this method at this layer.  masks: where the lesions are; None where nobody knows.
    A value is NaN where its n is 0. Attention has no ssim_head_random: what it looks at comes
    before the head and cannot depend on it. The sentences name what a map that knows nothing would
    score. The curves and the random weights are tried on 16 images at most, evenly chosen.
    """
    if not len(images):
        return {}
    some = np.unique(np.linspace(0, len(images) - 1, min(_MOST, len(images))).astype(np.int64))
    chosen = images[some], targets[some], heatmaps[some]
    with left_as_found(model):
        checks = _forgetting(model, *chosen, method, layer)
        checks |= _perturbing(model, *chosen)
    return checks | _locating(heatmaps, head_masks(images), masks)


def _forgetting(
    model: Network,
    images: np.ndarray,
    targets: np.ndarray,
    heatmaps: np.ndarray,
    method: Method,
    layer: Layer,
) -> Checks:
    """Structural similarity to the maps of the same network with random weights."""
    others = _mean(similarity(heatmaps, np.roll(heatmaps, 1, axis=0)))
    named: dict[Part, str] = {"head": "the last layers'", "all": "all"}
    if method == "attention":
        del named["head"]  # likeness 1 for sure would say nothing of the maps
    checks = {}
    for part, whose in named.items():
        random = forgetful_copy(model, images, part, _SEED)
        checks[f"ssim_{part}_random"] = _check(
            similarity(heatmaps, cam_heatmaps(random, images, targets, method, layer)),
            f"Structural similarity of the maps before and after {whose} weights were made random: "
            "near 1, a map does not depend on what the model has learnt; between maps of two "
            f"different pictures it is {others:.2f}.",
        )
    return checks


def _perturbing(
    model: Network, images: np.ndarray, targets: np.ndarray, heatmaps: np.ndarray
) -> Checks:
    """Mean height of the deletion and of the insertion curve.

    A spot in the middle of the head comes close to a map: the model needs the head anyway.
    """
    spots = spots_in_head(head_masks(images))
    (deletion, insertion), of_spots = (
        area_under(perturbation_curves(model, images, targets, maps)) for maps in (heatmaps, spots)
    )
    return {
        "deletion": _check(
            deletion,
            "Mean probability of the class while the picture is blurred, the hottest places "
            "first: the lower, the more the answer depends on these places; "
            f"{_mean(of_spots[0]):.2f} when starting at the middle of the head.",
        )
        | _beside_middle(-deletion, -of_spots[0]),
        "insertion": _check(
            insertion,
            "Mean probability of the class while a blurred picture is made sharp, the hottest "
            "places first: the higher, the more these places suffice; "
            f"{_mean(of_spots[1]):.2f} when starting at the middle of the head.",
        )
        | _beside_middle(insertion, of_spots[1]),
    }


def _locating(heatmaps: np.ndarray, in_head: np.ndarray, masks: np.ndarray | None) -> Checks:
    """On the head, and where lesions are known on them."""
    outside = share_outside(heatmaps, in_head)
    known = ~np.isnan(outside)
    area = 1 - in_head[known].mean() if known.any() else float("nan")
    checks = {
        "outside_head": _check(
            outside,
            "Share of the heat that lies outside the head, where there is nothing to see: a map "
            f"that knows nothing of the picture has {area:.2f} there, that being the share of "
            "the area.",
        )
    }
    if masks is None:
        return checks
    spots = spots_in_head(in_head)
    hits, of_middle = pointing_hits(heatmaps, masks), pointing_hits(spots, masks)
    overlap, of_spots = top_area_iou(heatmaps, masks), top_area_iou(spots, masks)
    return checks | {
        "pointing_hits": _check(
            hits,
            "Share of lesions that the hottest point hits, whatever the answer was, give or take "
            "3 % of the picture's side; pointing at the middle of the head every time hits "
            f"{_mean(of_middle):.2f}.",
        )
        | _beside_middle(hits, of_middle),
        "lesion_iou": _check(
            overlap,
            "Overlap (intersection over union) of each lesion with as many of the hottest "
            "pixels, 1 at best; a round spot in the middle of the head has "
            f"{_mean(of_spots):.2f}.",
        )
        | _beside_middle(overlap, of_spots),
    }


def _check(scores: np.ndarray, meaning: str) -> dict[str, Any]:
    return {"value": _mean(scores), "meaning": meaning, "n": int((~np.isnan(scores)).sum())}


def _beside_middle(scores: np.ndarray, of_spots: np.ndarray) -> dict[str, Any]:
    """The mean of the spots, and Student's interval of the gain over them, image by image.

    scores, of_spots: float (N,), more is better; costs come in negated.
    """
    gain = (scores - of_spots)[~np.isnan(scores)]
    reach = float("nan")
    if len(gain) > 1:
        reach = float(stdtrit(len(gain) - 1, _TAIL) * gain.std(ddof=1) / np.sqrt(len(gain)))
    mean = _mean(gain)
    return {"middle": abs(_mean(of_spots)), "gain_ci": [mean - reach, mean + reach]}


def _mean(scores: np.ndarray) -> float:
    """Mean of what is known; NaN when nothing is."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if len(known) else float("nan")


def perturbation_curves(
    model: Network, images: np.ndarray, targets: np.ndarray, heatmaps: np.ndarray
) -> np.ndarray:
    """The target's probability as pixels go, and as they come: float (2, N, STEPS + 1).

    Deletion blurs the picture from the hottest pixel on, insertion starts from the blurred
    picture and brings back the hottest pixels first; step t has changed t / STEPS of the area.
    A faithful map makes deletion fall early and insertion rise early. The paper deletes to grey;
    grey squares are nothing that a network has seen, and upset it by themselves.
    """
    curves = np.zeros((2, len(images), STEPS + 1))
    clear = to_tensor(images, model).float()
    sigma_px = _BLUR * max(images.shape[1:3])
    sigmas = (0, sigma_px, sigma_px, 0)[: images.ndim]
    blurred = to_tensor(ndimage.gaussian_filter(images.astype(np.float32), sigmas), model)
    rank = to_tensor(_ranks(heatmaps), model)

    def probs_of(x: torch.Tensor) -> np.ndarray:
        logits = predict_logits(model, x, batch_size=len(x))
        return logits.double().softmax(dim=1).cpu().numpy()[np.arange(len(targets)), targets]

    with model.fused():
        curves[0, :, 0] = curves[1, :, -1] = probs_of(clear)
        curves[0, :, -1] = curves[1, :, 0] = probs_of(blurred)
        for step in range(1, STEPS):
            is_hot = rank < step / STEPS
            curves[0, :, step] = probs_of(torch.where(is_hot, blurred, clear))
            curves[1, :, step] = probs_of(torch.where(is_hot, clear, blurred))
    return curves


def area_under(curves: np.ndarray) -> np.ndarray:
    """Area under each curve over [0, 1], by trapezes: float (..., steps) -> (...)."""
    return (curves[..., 1:] + curves[..., :-1]).mean(axis=-1) / 2


def _ranks(heatmaps: np.ndarray) -> np.ndarray:
    """Place of each pixel from the hottest, as a share of the area: float32 (N, S, S) in [0, 1).

    Pixels of the same heat, such as all that have none, follow outward from where the heat is.
    """
    ranks = np.empty(heatmaps.shape, dtype=np.float32)
    for rank, heat in zip(ranks, heatmaps, strict=True):
        near = ndimage.gaussian_filter(heat.astype(np.float64), max(heat.shape) / 4)
        order = np.lexsort((-near.ravel(), -heat.ravel()))
        rank.ravel()[order] = np.arange(heat.size) / heat.size
    return ranks


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
        area = int(mask.sum())
        if area:
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
