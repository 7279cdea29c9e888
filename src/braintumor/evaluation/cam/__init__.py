"""Where in the slice a logit comes from: Grad-CAM on the map after attention.

Source: Selvaraju et al. 2017, arXiv:1610.02391; library grad-cam.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from braintumor.models.classifier import Classifier

# N images, B batch, S side of the picture, C channels, h w height and width of the map


def cam_heatmaps(
    model: Classifier,
    images: np.ndarray,
    targets: np.ndarray,
    device: torch.device | str,
    batch_size: int,
) -> np.ndarray:
    """Grad-CAM of logit targets[i] on images[i]: float32 (N, S, S) in [0, 1], each its own scale.

    images: uint8 (N, S, S) or (N, S, S, 3).  targets: int (N,) in [0, K).
    device: where the model is. Works in fp32 and evaluation mode whatever is frozen, and
    leaves modes, requires_grad, gradients and hooks as they were. A map is all zero where no
    cell speaks for the target.
    """
    # slow to import, and needed by few commands
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    size_px = images.shape[1:3]
    heatmaps = np.zeros((len(images), *size_px), dtype=np.float32)
    with (
        _left_as_found(model),
        torch.autocast(torch.device(device).type, enabled=False),
        torch.enable_grad(),
        GradCAM(_FromFeatures(model), [model.cam_layer]) as grad_cam,
    ):
        for start in range(0, len(images), batch_size):
            chunk = slice(start, start + batch_size)
            with torch.no_grad():
                features_BChw = model.forward_features(_to_tensor(images[chunk], device)).float()
            wanted = [ClassifierOutputTarget(int(target)) for target in targets[chunk]]
            maps_Bhw = grad_cam(features_BChw.requires_grad_(), wanted)
            # cv2 takes (width, height)
            heatmaps[chunk] = scale_cam_image(maps_Bhw, (size_px[1], size_px[0]))
    return heatmaps.clip(0, 1)


class _FromFeatures(nn.Module):
    """The model from the backbone's map on.

    The map is what gradients are taken for, so frozen backbones need no exception and the
    backbone runs without a graph.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, features_BChw: torch.Tensor) -> torch.Tensor:
        return self.model.forward_head(features_BChw)


@contextmanager
def _left_as_found(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients for parameters inside; all as before after."""
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    model.eval().requires_grad_(False)
    for parameter, _, _ in parameters:
        parameter.grad = None  # the library zeroes them in place
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, requires_grad, grad in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad


def _to_tensor(images: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """uint8 (B, S, S[, 3]) -> uint8 (B, 1|3, S, S) on the device."""
    x = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
