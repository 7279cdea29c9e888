"""Where in the slice a logit comes from: class activation maps, by the library grad-cam.

    gradcam   each channel of the map by its mean gradient    Selvaraju 2017, arXiv:1610.02391
    hirescam  each cell of each channel by its own gradient   Draelos 2020, arXiv:2011.08891
    layercam  the same, by positive gradients alone           Jiang 2021, 10.1109/TIP.2021.3089943

gradcam after attention is the default. On phantoms (cnn_se, 96 px, 73 lesions) it points best:
55 % of the lesions hit, layercam 53, hirescam 47, the middle of the head 11; before attention 47,
53, 47. layercam deletes and inserts as well, but hardly asks for the class: on real slices
(mobilenetv2_035_mhsa, 160 px, n=32) its maps stay .94 alike when the head's weights are made
random, those of gradcam .25. With average pooling and a linear head, hirescam after attention is
gradcam. One trained network each: the order may differ on others.

attention, what self-attention looked at, comes the same way but explains no class: attention.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from braintumor.config import did_you_mean
from braintumor.errors import ConfigError
from braintumor.evaluation.explain._hooks import left_as_found, to_tensor
from braintumor.evaluation.explain.attention import attention_maps, check_attention
from braintumor.models.classifier import Classifier

# N images, B batch, S side of the picture, C channels, h w height and width of the map

Method = Literal["gradcam", "hirescam", "layercam", "attention"]
Layer = Literal["after_attention", "backbone"]


def cam_heatmaps(
    model: Classifier,
    images: np.ndarray,
    targets: np.ndarray,
    device: torch.device | str,
    batch_size: int,
    method: Method,
    layer: Layer,
) -> np.ndarray:
    """The map of logit targets[i] on images[i]: float32 (N, S, S) in [0, 1], each its own scale.

    By the method attention: where attention lay on images[i], whatever the target and the layer.

    images: uint8 (N, S, S) or (N, S, S, 3).  targets: int (N,) in [0, K).
    device: where the model is.
    layer: whose cells are weighed: the map after attention, or the backbone's before it. They
    are one map where there is no attention.
    Works in fp32 and evaluation mode whatever is frozen, and leaves modes, requires_grad,
    gradients and hooks as they were. A map is all zero where no cell speaks for the target.
    Raises ConfigError for an unknown method or layer, and where `check_method` does.
    """
    if method == "attention":
        return attention_maps(model, images, device, batch_size)
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    size_px = images.shape[1:3]
    heatmaps = np.zeros((len(images), *size_px), dtype=np.float32)
    with (
        left_as_found(model),
        torch.autocast(torch.device(device).type, enabled=False),
        torch.enable_grad(),
        _opened(model, method, layer) as cam,
    ):
        for start in range(0, len(images), batch_size):
            chunk = slice(start, start + batch_size)
            with torch.no_grad():
                features_BChw = model.forward_features(to_tensor(images[chunk], device)).float()
            wanted = [ClassifierOutputTarget(int(target)) for target in targets[chunk]]
            maps_Bhw = cam(features_BChw.requires_grad_(), wanted)
            # cv2 takes (width, height)
            heatmaps[chunk] = scale_cam_image(maps_Bhw, (size_px[1], size_px[0]))
    return heatmaps.clip(0, 1)


def check_method(model: Classifier, method: Method) -> None:
    """Raises ConfigError when the model has nothing that the method could show."""
    if method == "attention":
        check_attention(model)


@contextlib.contextmanager
def _opened(model: Classifier, method: Method, layer: Layer) -> Iterator[Any]:
    """The library's method at the layer; its hooks are gone afterwards.

    Its own `with` is not used: that swallows every IndexError raised inside.
    """
    import pytorch_grad_cam  # slow to import, and needed by few commands

    if method not in get_args(Method):
        known = did_you_mean(str(method), get_args(Method))
        raise ConfigError(f"there is no map method `{method}` (eval.cam); {known}")
    if layer not in get_args(Layer):
        known = did_you_mean(str(layer), get_args(Layer))
        raise ConfigError(f"there is no layer `{layer}` to draw maps of; {known}")
    classes = {
        "gradcam": pytorch_grad_cam.GradCAM,
        "hirescam": pytorch_grad_cam.HiResCAM,
        "layercam": pytorch_grad_cam.LayerCAM,
    }
    rest = _FromFeatures(model)
    where = rest.features if layer == "backbone" else model.cam_layer
    cam = classes[method](rest, [where])
    try:
        yield cam
    finally:
        cam.activations_and_grads.release()


class _FromFeatures(nn.Module):
    """The model from the backbone's map on.

    The map is what gradients are taken for, so frozen backbones need no exception and the
    backbone runs without a graph.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        self.features = nn.Identity()  # a place to observe the map before attention

    def forward(self, features_BChw: torch.Tensor) -> torch.Tensor:
        # the map itself, of which `forward_head` may take a shorter way
        return self.model.head(self.model.attention(self.features(features_BChw))).float()
