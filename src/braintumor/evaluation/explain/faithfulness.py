"""Whether a heat map shows what the model used: deletion, insertion, randomised weights."""

from __future__ import annotations

import copy
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from braintumor.evaluation.explain._hooks import to_tensor
from braintumor.models.classifier import Classifier, predict_logits

# N images, B batch, S side of the picture

STEPS = 8  # areas within .005 of those with 16 or 32 (16 real slices, mobilenetv2_035_mhsa)
_BLUR = 0.06  # of the side, standard deviation: a lesion is gone, the shape of the head stays


def perturbation_curves(
    model: Classifier,
    images: np.ndarray,
    targets: np.ndarray,
    heatmaps: np.ndarray,
    device: torch.device | str,
    batch_size: int,
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
            clear = to_tensor(images[chunk], device).float()
            blurred = to_tensor(_blur(images[chunk]), device)
            rank = to_tensor(_ranks(heatmaps[chunk]), device)
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
    from scipy import ndimage

    ranks = np.empty(heatmaps.shape, dtype=np.float32)
    for rank, heat in zip(ranks, heatmaps, strict=True):
        near = ndimage.gaussian_filter(heat.astype(np.float64), max(heat.shape) / 4)
        order = np.lexsort((-near.ravel(), -heat.ravel()))
        rank.ravel()[order] = np.arange(heat.size) / heat.size
    return ranks


def _blur(images: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    sigma_px = _BLUR * max(images.shape[1:3])
    sigmas = (0, sigma_px, sigma_px) + (0,) * (images.ndim - 3)
    return np.asarray(ndimage.gaussian_filter(images.astype(np.float32), sigmas))


# N images, S side of the picture

Part = Literal["head", "all"]


def forgetful_copy(
    model: Classifier, images: np.ndarray, part: Part, seed: int, device: torch.device | str
) -> Classifier:
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
        _refit_batch_norm(forgetful, changed, to_tensor(images, device))
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
    from skimage.metrics import structural_similarity

    scores = np.full(len(before), np.nan)
    for i, (one, other) in enumerate(zip(before, after, strict=True)):
        if one.max() > 0:
            scores[i] = structural_similarity(one, other, data_range=1.0)
    return scores
