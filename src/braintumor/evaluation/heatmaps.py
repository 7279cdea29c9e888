"""Where in the slice a logit comes from: class activation maps.

    gradcam   each channel of the map by its mean gradient    Selvaraju 2017, arXiv:1610.02391
    hirescam  each cell of each channel by its own gradient   Draelos 2020, arXiv:2011.08891
    layercam  the same, by positive gradients alone           Jiang 2021, 10.1109/TIP.2021.3089943

gradcam after attention is the default. On phantoms (cnn_se, 96 px, 73 lesions) it points best:
55 % of the lesions hit, layercam 53, hirescam 47, the middle of the head 11; before attention 47,
53, 47. layercam deletes and inserts as well, but hardly asks for the class: on real slices
(mobilenetv2_035_mhsa, 160 px, n=32) its maps stay .94 alike when the head's weights are made
random, those of gradcam .25. With average pooling and a linear head, hirescam after attention is
gradcam. One trained network each: the order may differ on others.

attention, what self-attention looked at whatever the answer was, explains no class.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from braintumor.config import checked
from braintumor.errors import ConfigError
from braintumor.models.attention.mhsa import SelfAttention
from braintumor.models.classifier import Classifier
from braintumor.models.ensemble import Ensemble, Network
from braintumor.progress import waiting

# N images: uint8 (N, S, S) or (N, S, S, 3)
# B batch, S side of the picture, C channels, h w height and width of the map,
# T = h*w tokens, H heads, d head width

Method = Literal["gradcam", "hirescam", "layercam", "attention"]
Layer = Literal["after_attention", "backbone"]
Part = Literal["head", "all"]
_BATCH = 16  # images that a look into the model takes at a time


def cam_heatmaps(
    model: Network, images: np.ndarray, targets: np.ndarray, method: Method, layer: Layer
) -> np.ndarray:
    """The cells of `heat_cells` enlarged to the pictures, smoothly: float32 (N, S, S) in [0, 1].

    Smooth for the eye and for comparisons by structure; what the model has are the cells.
    Raises ConfigError as `heat_cells` does.
    """
    return enlarge(heat_cells(model, images, targets, method, layer), images.shape[1:3])


@waiting("drawing heat maps")
def heat_cells(
    model: Network, images: np.ndarray, targets: np.ndarray, method: Method, layer: Layer
) -> np.ndarray:
    """The map of logit targets[i] on images[i]: float32 (N, h, w) in [0, 1], each its own scale.

    By the method attention: where attention lay on images[i], whatever the target and the layer.

    targets: int (N,) in [0, K).  layer: whose cells are weighed: the map after attention, or the
    backbone's before it. They are one map where there is no attention.
    Works in fp32 and evaluation mode whatever is frozen, and leaves modes, requires_grad,
    gradients and hooks as they were. A map is all zero where no cell speaks for the target.
    Of an ensemble it is the mean of the maps of its members.
    Raises ConfigError for an unknown method or layer, and where `check_method` does.
    """
    if isinstance(model, Ensemble):
        maps = [heat_cells(each, images, targets, method, layer) for each in model.members]
        return np.asarray(np.mean(maps, axis=0), dtype=np.float32)
    checked(method, Method, "eval.cam")
    checked(layer, Layer, "eval.cam_layer")
    check_method(model, method)
    cells = []
    # to the last bit the same map within an evaluation and for one picture alone
    with left_as_found(model), model.unfused():
        for start in range(0, len(images), _BATCH):
            chunk = slice(start, start + _BATCH)
            if method == "attention":
                cells.append(_attended(model, images[chunk]))
            else:
                seen, gradient = _seen_and_sensitive(model, images[chunk], targets[chunk], layer)
                cells.append(_to_unit_range(_WEIGHTED[method](seen, gradient)))
    # of no image, one cell each
    return np.concatenate(cells or [np.zeros((0, 1, 1), dtype=np.float32)])


def _seen_and_sensitive(
    model: Classifier, images: np.ndarray, targets: np.ndarray, layer: Layer
) -> tuple[np.ndarray, np.ndarray]:
    """The map at the layer, and the gradient of logit targets[i] for it: float32 (B, C, h, w).

    The gradients are taken for the map, so frozen backbones need no exception, and what comes
    before it runs without a graph.
    """
    with torch.no_grad():
        map_BChw = model.forward_features(to_tensor(images, model)).float()
        if layer == "after_attention":
            map_BChw = model.attention(map_BChw)
    with torch.enable_grad():
        map_BChw = map_BChw.detach().requires_grad_()
        # step by step, for `forward_head` may take a shorter way
        attended_BChw = model.attention(map_BChw) if layer == "backbone" else map_BChw
        logits_BK = model.head(attended_BChw).float()
        wanted_B1 = logits_BK.gather(1, torch.as_tensor(targets, device=logits_BK.device)[:, None])
        (gradient_BChw,) = torch.autograd.grad(wanted_B1.sum(), map_BChw)
    return map_BChw.detach().cpu().numpy(), gradient_BChw.cpu().numpy()


# how cells come from the map and its gradients: float (B, C, h, w) both -> (B, h, w)
_WEIGHTED: dict[Method, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "gradcam": lambda seen, grad: (grad.mean(axis=(2, 3), keepdims=True) * seen).sum(axis=1),
    "hirescam": lambda seen, grad: (grad * seen).sum(axis=1),
    "layercam": lambda seen, grad: (grad.clip(0) * seen).sum(axis=1),
}


def _to_unit_range(cells_Bhw: np.ndarray) -> np.ndarray:
    """What speaks for the target, from 0 at the least cell to 1 at the most of each map."""
    heat = cells_Bhw.clip(0)
    heat -= heat.min(axis=(1, 2), keepdims=True)
    most = heat.max(axis=(1, 2), keepdims=True)
    return np.asarray(heat / np.where(most > 0, most, 1), dtype=np.float32)


def enlarge(cells: np.ndarray, size_px: tuple[int, ...]) -> np.ndarray:
    """Cells, float (N, h, w), as pictures of size_px (height, width), without steps.

    Each map is stretched to reach 1 again, unless it is empty.
    """
    maps = F.interpolate(
        torch.from_numpy(cells)[:, None], size_px, mode="bilinear", align_corners=False
    )[:, 0].numpy()
    strongest = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(maps / np.where(strongest > 0, strongest, 1), dtype=np.float32)


def check_method(model: Network, method: Method) -> None:
    """Raises ConfigError when the model has nothing that the method could show."""
    if method == "attention":
        for member in model.members if isinstance(model, Ensemble) else (model,):
            _attention_of(member)


@torch.no_grad()
def _attended(model: Classifier, images: np.ndarray) -> np.ndarray:
    """How much each place is attended to: float32 (B, h, w) in [0, 1], 1 at the strongest.

    The attention weights of all tokens on a token, averaged over heads and tokens and divided
    by the strongest; nothing is subtracted, so attention that is spread evenly is warm all over
    and not stretched into a pattern. One layer needs no rollout. The maps say what was mixed,
    not what decided.
    """
    features_BChw = model.forward_features(to_tensor(images, model)).float()
    received_BT = attention_weights(_attention_of(model), features_BChw).mean(dim=(1, 2))
    received_BT = received_BT / received_BT.amax(dim=1, keepdim=True)
    return received_BT.unflatten(1, features_BChw.shape[2:]).cpu().numpy()


def _attention_of(model: Classifier) -> SelfAttention:
    """The model's attention. Raises ConfigError when it does not weigh places against places."""
    attention = model.attention
    if not isinstance(attention, SelfAttention):
        name = model.settings.get("attention", {}).get("name", type(attention).__name__)
        raise ConfigError(
            f"eval.cam=attention shows what mhsa looked at, and model.attention.name={name} has no "
            "attention between places; use eval.cam=gradcam, hirescam or layercam, or a model "
            "with mhsa"
        )
    return attention


def attention_weights(attention: SelfAttention, x_BChw: torch.Tensor) -> torch.Tensor:
    """softmax(q k / sqrt(d)) of the module for its input: float (B, H, T, T), rows sum to 1.

    Row t is what token t looks at. The module itself never has these weights in memory.
    """
    q_BHTd, k_BHTd, _ = attention.queries_keys_values(x_BChw)
    scores_BHTT = q_BHTd @ k_BHTd.transpose(2, 3) / q_BHTd.shape[-1] ** 0.5
    return scores_BHTT.softmax(dim=-1)


def to_tensor(images: np.ndarray, model: nn.Module) -> torch.Tensor:
    """(B, S, S[, 3]) -> (B, 1|3, S, S) of the same type, where the model is."""
    x = torch.from_numpy(np.ascontiguousarray(images)).to(device_of(model))
    return x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)


def device_of(model: nn.Module) -> torch.device:
    """Where its weights are."""
    return next(model.parameters()).device


@contextlib.contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, fp32 and no gradients for parameters inside; all as before after.

    And without cuDNN, which plans seconds for each shape that is new to it, and few pictures are
    looked at: on an H100 heat maps and checks of mobilenet_mhsa took 6.4 s, and 2.3 s in a command
    without it.
    """
    cudnn = torch.backends.cudnn
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    model.eval().requires_grad_(False)
    for parameter, _, _ in parameters:
        parameter.grad = None
    was_enabled, cudnn.enabled = cudnn.enabled, False
    try:
        with torch.autocast(device_of(model).type, enabled=False):
            yield
    finally:
        cudnn.enabled = was_enabled
        for module, mode in modes:
            module.training = mode
        for parameter, requires_grad, grad in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad


def forgetful_copy(model: Network, images: np.ndarray, part: Part, seed: int) -> Network:
    """A copy of the model whose weights are random, in the head or in all of it; the model stays.

    images: what batch norm is fitted to anew where the backbone changed: with statistics of the
    old weights activations would explode.
    The values of each weight tensor are shuffled. The paper draws them from the initialiser
    instead; after that the signal fades away in deep nets without batch norm, and the map with
    it, while shuffled weights keep the size that they were trained to.
    """
    if isinstance(model, Ensemble):
        copies = [forgetful_copy(member, images, part, seed) for member in model.members]
        members = [member for member in copies if isinstance(member, Classifier)]
        return Ensemble(members, model.temperatures).eval()
    forgetful = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(seed)
    changed = forgetful if part == "all" else forgetful.head
    norms = [module for module in changed.modules() if isinstance(module, _BatchNorm)]
    with torch.no_grad():
        for parameter in changed.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order.to(parameter.device)].view_as(parameter))
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        if norms:
            x = to_tensor(images, model)
            forgetful(torch.cat([x, x.flip(-1)]))  # mirrored too: one alone has no variance
    return forgetful.eval()
