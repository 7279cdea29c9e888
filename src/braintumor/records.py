"""The nouns that rooms hand to each other. Shapes are declared here, once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from braintumor.errors import CheckpointError, some

# N images, K classes


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said about the images of one split.

    classes: K names in the fixed order of the card.
    paths: N names of images, as in the manifest.
    labels: int64 (N,) in [0, K).
    logits: float32 (N, K), before softmax and calibration.
    temperature: what calibration divides logits by, see statistics/confidence.py; 1 before it.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    logits: np.ndarray
    temperature: float = 1.0

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def probs(self) -> np.ndarray:
        """Softmax of logits / temperature: float64 (N, K), rows sum to 1."""
        shifted = self.logits.astype(np.float64) / self.temperature
        shifted -= shifted.max(axis=1, keepdims=True)
        exp = np.exp(shifted)
        return exp / exp.sum(axis=1, keepdims=True)

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class: int64 (N,)."""
        return self.logits.argmax(axis=1)

    def subset(self, chosen: np.ndarray) -> Predictions:
        """Those of the chosen images: bool (N,), or their indices in the order wanted."""
        rows = np.arange(len(self))[chosen]
        return replace(
            self,
            paths=tuple(self.paths[row] for row in rows),
            labels=self.labels[rows],
            logits=self.logits[rows],
        )

    def require_finite(self) -> None:
        """Raises CheckpointError where a logit is not finite: no answer may be read from it."""
        bad = ~np.isfinite(self.logits).all(axis=1)
        if bad.any():
            raise CheckpointError(
                f"the model's outputs are not finite for {bad.sum()} of {some(len(bad), 'image')} "
                f"(first: {self.paths[int(bad.argmax())]}); the training has diverged: train "
                "again with a lower optimizer.lr, or with train.precision=fp32"
            )


@dataclass(frozen=True)
class EpochRecord:
    """One row of metrics.csv: an epoch of training and the validation after it.

    Losses are means over images, in nats. Rates are in [0, 1]. Training figures are
    running means over the augmented images while the weights moved; validation figures
    belong to the weights at the end of the epoch (their moving average under train.ema).
    """

    epoch: int  # from 1, counted over all phases
    phase: int  # from 1
    lr: float  # of the head, at the end of the epoch
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float
    val_macro_f1: float
    val_auroc: float  # macro, one against the rest; NaN when a class is absent
    images_per_s: float  # of the training part
    seconds: float  # training and validation
    is_best: bool  # best so far by the early-stopping metric
