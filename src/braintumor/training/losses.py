"""What is minimised: losses over class indices or, under mixup, over rows of shares."""

# B batch, K classes

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from braintumor.config import call_named
from braintumor.ranges import NotNegative, ShareBelow1

Loss = Callable[[Tensor, Tensor], Tensor]  # (logits_BK, target) -> mean over the batch, in nats


def build_loss(options: Mapping[str, Any], class_weights: Tensor | None) -> Loss:
    """What is minimised. Its targets are class indices (B,) or, under mixup, rows (B, K).

    options: the `loss` section: a name and that loss's own options.
    class_weights: float (K,) or None; each image counts by the weight of its class.
    """
    known: dict[str, Callable[..., Loss]] = {"cross_entropy": cross_entropy, "focal": focal}
    return call_named(known, options, "loss", class_weights=class_weights)


def cross_entropy(*, label_smoothing: ShareBelow1, class_weights: Tensor | None) -> Loss:
    """Cross-entropy against targets mixed with the uniform distribution.

    With class_weights the mixing comes first and the weight of the image's own class after it.
    torch's weight= would also weigh what smoothing asks of every other class: with 300 images
    of one class and 5 of another, all images are then drawn to the rare one.
    Source: Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """

    def plain(logits_BK: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits_BK, target, label_smoothing=label_smoothing)

    def weighted(logits_BK: Tensor, target: Tensor) -> Tensor:
        log_p_BK = logits_BK.log_softmax(dim=1)
        uniform_B1 = log_p_BK.mean(dim=1, keepdim=True)
        cost_BK = -((1 - label_smoothing) * log_p_BK + label_smoothing * uniform_B1)
        return _mean_over_targets(cost_BK, target, class_weights)

    return plain if class_weights is None else weighted


def focal(*, gamma: NotNegative, class_weights: Tensor | None) -> Loss:
    """Cross-entropy in which an image counts less the surer the model is of its class.

    gamma 0 is cross-entropy.  Source: Lin et al. 2017, arXiv:1708.02002, eq. 4.
    """

    def loss(logits_BK: Tensor, target: Tensor) -> Tensor:
        log_p_BK = logits_BK.log_softmax(dim=1)
        # at exactly 0 a gamma below 1 would have an infinite gradient
        doubt_BK = (1 - log_p_BK.exp()).clamp(min=torch.finfo(log_p_BK.dtype).tiny)
        cost_BK = -(doubt_BK**gamma) * log_p_BK
        return _mean_over_targets(cost_BK, target, class_weights)

    return loss


def _mean_over_targets(cost_BK: Tensor, target: Tensor, class_weights: Tensor | None) -> Tensor:
    """Mean cost of the images, each counting by the weight of its class.

    cost_BK: what an image would cost if it were of class k. Under mixup an image is a part of
    two, and each part has the cost and the weight of its own class.
    """
    if target.ndim == 1:
        target = F.one_hot(target, cost_BK.shape[1]).to(cost_BK.dtype)
    weight_BK = target if class_weights is None else target * class_weights
    return (weight_BK * cost_BK).sum() / weight_BK.sum()


def balanced_weights(labels: Tensor, num_classes: int) -> Tensor:
    """float32 (K,): N / (K * n_k), so that every class weighs the same in sum; absent: 0.

    >>> balanced_weights(torch.tensor([0, 0, 0, 1]), 2)
    tensor([0.6667, 2.0000])
    """
    count_K = torch.bincount(labels, minlength=num_classes).float()
    return torch.where(count_K > 0, len(labels) / (num_classes * count_K.clamp(min=1)), 0.0)
