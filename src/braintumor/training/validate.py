"""The figures of metrics.csv that validation gives after every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from braintumor.data.tensors import ImageSplit
from braintumor.models.inference import logits_of

FIGURES = ("val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_auroc")


def validate(
    model: nn.Module,
    val: ImageSplit | None,
    batch_size: int,
    dtype: torch.dtype,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """Loss in nats (no smoothing, no weights) and rates in [0, 1], each over all images at once.

    val_auroc is macro, one class against the rest; NaN when validation lacks a class. Without
    validation all are NaN.  forward: the part of the model that takes `val.images`, else all.
    """
    # imported here, or the first step would wait for it
    from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

    if val is None:
        return dict.fromkeys(FIGURES, math.nan)
    # validation keeps no activations, so it can take larger batches than training
    logits_NK = logits_of(
        model, val.images, batch_size=2 * batch_size, dtype=dtype, forward=forward
    )
    loss = F.cross_entropy(logits_NK, val.labels).item()
    labels, predicted = val.labels.cpu().numpy(), logits_NK.argmax(dim=1).cpu().numpy()
    num_classes = logits_NK.shape[1]
    auroc = float("nan")
    if len(set(labels.tolist())) == num_classes and torch.isfinite(logits_NK).all():
        probs = logits_NK.double().softmax(dim=1).cpu().numpy()
        scores = probs[:, 1] if num_classes == 2 else probs
        auroc = float(roc_auc_score(labels, scores, multi_class="ovr"))
    return {
        "val_loss": loss,
        "val_accuracy": float((labels == predicted).mean()),
        "val_balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
        "val_macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
        "val_auroc": auroc,
    }
