"""Several classifiers that answer as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from braintumor.models.classifier import Classifier

# B batch, S side of the picture, K classes, M members

LEAST = 1e-12  # of a probability, whose logarithm is a logit


class Ensemble(nn.Module):
    """Raw pixels to logits, as a Classifier: log of the mean probability, float32 (B, K).

    members: of the same classes and size of picture.  temperatures: what the logits of each are
    divided by, so that a member that is too sure of itself does not speak for all.
    """

    def __init__(self, members: Sequence[Classifier], temperatures: Sequence[float]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(members)
        self.temperatures = tuple(temperatures)

    @property
    def members(self) -> tuple[Classifier, ...]:
        """Its networks, in order."""
        return tuple(self.networks)  # type: ignore[arg-type]  # ModuleList forgets their type

    def forward(self, x_BcSS: torch.Tensor) -> torch.Tensor:
        pairs = zip(self.members, self.temperatures, strict=True)
        probs_MBK = torch.stack([(member(x_BcSS) / t).softmax(dim=1) for member, t in pairs])
        return probs_MBK.mean(dim=0).clamp_min(LEAST).log()

    @contextmanager
    def fused(self) -> Iterator[None]:
        """As Classifier.fused, of all members."""
        with ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member.fused())
            yield


Network = Classifier | Ensemble
