"""Whether a heat map shows what the model used, and where it lies.

Deletion, insertion, randomised weights; on the lesion, on the head, or beside it.
"""

from __future__ import annotations

import copy
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.metrics import structural_similarity
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from braintumor.evaluation.heatmaps import BATCH, to_tensor
from braintumor.models.classifier import Classifier
from braintumor.training.batches import predict_logits

# N images, B batch, S side of the picture

STEPS = 8  # areas within .005 of those with 16 or 32 (16 real slices, mobilenetv2_035_mhsa)
_BLUR = 0.06  # of the side, standard deviation: a lesion is gone, the shape of the head stays
_CLOSE = 0.03  # of the side: gaps in the bright rim that are bridged before holes are filled
_BELOW_OTSU = 0.5  # brain is darker than fat, and Otsu's threshold lies between the two

# 15 px are allowed in pictures of about 500 px: Zhang et al. 2016, arXiv:1608.00507, section 4.1
_TOLERANCE = 0.03  # of the side
_SPOT = 0.2  # of the side, standard deviation of the round spot that knows nothing of the picture


def perturbation_curves(
    model: Classifier,
    images: np.ndarray,
    targets: np.ndarray,
    heatmaps: np.ndarray,
    batch_size: int = BATCH,
) -> tuple[np.ndarray, np.ndarray]:
    """The target's probability as pixels go, and as they come: two of float (N, STEPS + 1).

    images: uint8 (N, S, S) or (N, S, S, 3).  heatmaps: float (N, S, S).
    Deletion blurs the picture from the hottest pixel on, insertion starts from the blurred
    picture and brings back the hottest pixels first; step t has changed t / STEPS of the area.
    A faithful map makes deletion fall early and insertion rise early.
    Both start from, or end in, the blurred picture, where the paper deletes to grey: grey
    squares in a slice are nothing that a network has seen, and upset it by themselves.
    """
    deletion = np.zeros((len(images), STEPS + 1))
    insertion = np.zeros((len(images), STEPS + 1))
    model.eval()
    with model.fused():
        for start in range(0, len(images), batch_size):
            chunk = slice(start, start + batch_size)
            clear = to_tensor(images[chunk], model).float()
            blurred = to_tensor(_blur(images[chunk]), model)
            rank = to_tensor(_ranks(heatmaps[chunk]), model)
            deletion[chunk, 0] = insertion[chunk, -1] = _probs_of(model, clear, targets[chunk])
            deletion[chunk, -1] = insertion[chunk, 0] = _probs_of(model, blurred, targets[chunk])
            for step in range(1, STEPS):
                is_hot = rank < step / STEPS
                without, alone = (
                    torch.where(is_hot, blurred, clear),
                    torch.where(is_hot, clear, blurred),
                )
                deletion[chunk, step] = _probs_of(model, without, targets[chunk])
                insertion[chunk, step] = _probs_of(model, alone, targets[chunk])
    return deletion, insertion


def _probs_of(model: Classifier, x: torch.Tensor, targets: np.ndarray) -> np.ndarray:
    """Probability of each picture's target, before calibration: float64 (B,)."""
    probs = predict_logits(model, x, batch_size=len(x)).double().softmax(dim=1).cpu().numpy()
    return np.asarray(probs[np.arange(len(targets)), targets])


def area_under(curves: np.ndarray) -> np.ndarray:
    """Area under each curve over [0, 1], by trapezes: float (N,)."""
    return (curves[:, 1:] + curves[:, :-1]).mean(axis=1) / 2


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


def _blur(images: np.ndarray) -> np.ndarray:
    sigma_px = _BLUR * max(images.shape[1:3])
    sigmas = (0, sigma_px, sigma_px) + (0,) * (images.ndim - 3)
    return np.asarray(ndimage.gaussian_filter(images.astype(np.float32), sigmas))


Part = Literal["head", "all"]


def forgetful_copy(model: Classifier, images: np.ndarray, part: Part, seed: int) -> Classifier:
    """A copy of the model whose weights are random, in the head or in all of it; the model stays.

    images: uint8 (N, S, S[, 3]), what batch norm is fitted to anew where the backbone changed.
    The values of each weight tensor are shuffled. The paper draws them from the initialiser
    instead; after that the signal fades away in deep nets without batch norm, and the map with
    it, while shuffled weights keep the size that they were trained to.
    """
    forgetful = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(seed)
    changed: nn.Module = forgetful if part == "all" else forgetful.head
    with torch.no_grad():
        for parameter in changed.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order.to(parameter.device)].view_as(parameter))
        _refit_batch_norm(forgetful, changed, to_tensor(images, model))
    return forgetful


def _refit_batch_norm(model: Classifier, changed: nn.Module, x: torch.Tensor) -> None:
    """Statistics of the new weights: those of the old ones would let activations explode."""
    layers = [module for module in changed.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        return
    for layer in layers:
        layer.train()
        layer.momentum = 1.0
    model(torch.cat([x, x.flip(-1)]))  # with the mirror images: one alone has no variance
    for layer in layers:
        layer.eval()


def similarity(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Structural similarity of two maps of each image: float (N,), 1 when they are the same.

    before, after: float (N, S, S) in [0, 1].  NaN where there was no heat before.
    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861; library scikit-image.
    """
    scores = np.full(len(before), np.nan)
    for i, (one, other) in enumerate(zip(before, after, strict=True)):
        if one.max() > 0:
            scores[i] = structural_similarity(one, other, data_range=1.0)
    return scores


def head_masks(images: np.ndarray) -> np.ndarray:
    """The pixels of the head, air around it left out: bool (N, S, S).

    images: uint8 (N, S, S) or (N, S, S, 3).
    Half of Otsu's threshold on the smoothed picture, small gaps closed, holes filled, the
    largest piece kept. A picture of one level has no head: its mask is all False.
    Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076.
    """
    masks = np.zeros(images.shape[:3], dtype=bool)
    for mask, image in zip(masks, images, strict=True):
        mask[:] = _head(image)
    return masks


def _head(image: np.ndarray) -> np.ndarray:
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
