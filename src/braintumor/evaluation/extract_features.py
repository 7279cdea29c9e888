"""Images through a model, as far as evaluation needs: what its head and its rules look at.

A backbone that no phase trained gives the same in every run of a sweep, and what it gives of the
test images and their views may then be kept on disk beside the features that training keeps.
"""

# N images, B batch, C channels, h w height and width of the map, K classes

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from braintumor.data.tensors import HostImages
from braintumor.models.classifier import Classifier, predict_logits
from braintumor.training.feature_store import FeatureStore, ViewOf, as_features, digest_of


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """The images of one split, read as often as needed, batch by batch, in evaluation mode.

    A summary is the backbone's map (B, C, h, w) or, where the head asks for the pooled map only,
    that and the two halves side by side: (B, pooled + 2 * C).
    keep: summaries are kept on disk. Only for a backbone that was never trained, or every run
    would leave some that no other one asks for.
    """

    model: Classifier
    images: Tensor | HostImages
    batch_size: int
    dtype: torch.dtype
    keep: bool

    def __call__(self, of: Callable[[Tensor], Tensor], view: ViewOf | None = None) -> Tensor:
        """float32 (N, ...): `of` each summary of the pictures, as they are or in one view."""
        how = {"batch_size": self.batch_size, "dtype": self.dtype}
        if self.keep:
            kept = self._store.features(self.images, self._digest, view)

            def from_kept(rows: Tensor) -> Tensor:
                return of(as_features(rows))

            return predict_logits(self.model, kept, forward=from_kept, **how)  # type: ignore[arg-type]

        def from_pictures(x: Tensor) -> Tensor:
            return of(summarise(self.model, view(x, 0) if view else x))

        return predict_logits(self.model, self.images, forward=from_pictures, **how)  # type: ignore[arg-type]

    def logits(self, summary: Tensor) -> Tensor:
        """(B, K) of a summary."""
        if not self.model.pools_before_attention:
            return self.model.forward_head(summary)
        return self.model.forward_head(summary[:, : -2 * self.model.backbone.channels])

    def halves(self, summary: Tensor) -> Tensor:
        """Means of the upper and of the lower half of the map, of a summary: (B, 2, C)."""
        if not self.model.pools_before_attention:
            return _halves(summary)
        return summary[:, -2 * self.model.backbone.channels :].float().unflatten(1, (2, -1))

    @functools.cached_property
    def _store(self) -> FeatureStore:
        device = next(self.model.parameters()).device
        return FeatureStore(self.model, device, self.dtype, False, summarise)

    @functools.cached_property
    def _digest(self) -> str:
        return digest_of(self.images)


def summarise(model: Classifier, x: Tensor) -> Tensor:
    """The summary of pictures (B, 1|3, S, S) in 0..255."""
    map_BChw = model.forward_features(x)
    if not model.pools_before_attention:
        return map_BChw
    pooled = model.head[0](map_BChw)
    return torch.cat([pooled, _halves(map_BChw).flatten(1).to(pooled.dtype)], dim=1)


def _halves(map_BChw: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(map_BChw.float(), (2, 1)).squeeze(3).mT
