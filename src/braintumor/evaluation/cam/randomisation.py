"""The same map of a network that has forgotten what it learned.

Source: Adebayo et al. 2018, arXiv:1810.03292, section 3.1.
"""

from __future__ import annotations

import copy
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from braintumor.evaluation.cam.forward import to_tensor
from braintumor.models.classifier import Classifier

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
