"""The result in plain words, for a reader who opens nothing but the first screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braintumor.records import Predictions
from braintumor.report.format import percent
from braintumor.report.plots.style import elide
from braintumor.statistics.metrics import confusion_matrix

# K classes

_OF_SPLIT = {
    "train": "These are the images that the model was trained on: the figures tell how well it "
    "remembers them, not how it does on new ones.",
    "val": "The epoch that was kept was chosen on these very images, so the figures are somewhat "
    "too good; the test split is the one to quote.",
}
COPIES = (
    "It is not known here which of these images the model has seen in training, as they are or as "
    "copies. A public data set's own test split may share pictures with its training split; where "
    "it does, every figure on this page is too high."
)
LEAK = (
    "The model knows {count:,} of these {n:,} images ({share}) from its training. The figures over "
    "all images are too high; read the second of the three below."
)


def headline(predictions: Predictions, metrics: Mapping[str, Any], split: str, data: str) -> str:
    """One sentence: how many are right, of which images."""
    n = len(predictions)
    right = int((predictions.predicted == predictions.labels).sum())
    images = "image" if n == 1 else "images"
    return (
        f"{right:,} of {n:,} {images} in the {split} split of {data} are classified correctly: "
        f"accuracy {with_interval(metrics, 'accuracy')}."
    )


def findings(predictions: Predictions, metrics: Mapping[str, Any]) -> list[str]:
    """Where the model is weakest, and which classes have no figure."""
    matrix = confusion_matrix(predictions)
    names = [elide(name) for name in predictions.classes]
    return [_weakest(matrix, names), *_missing(matrix, names)]


def cautions(split: str, n: int, contaminated: int | None) -> list[str]:
    """What the figures do not say: the role of the split, and copies of training images.

    contaminated: how many of the n images; None when unknown.
    """
    role = [_OF_SPLIT[split]] if split in _OF_SPLIT else []
    if split == "train" or contaminated == 0:
        return role
    if contaminated is None:
        return [*role, COPIES]
    return [*role, LEAK.format(count=contaminated, n=n, share=percent(contaminated / n))]


def with_interval(metrics: Mapping[str, Any], name: str) -> str:
    """ "95.3 % (95 % CI 94.0 to 96.3 %)", or the figure alone where it has no interval."""
    pair = metrics.get(f"{name}_ci")
    if pair is None or not np.isfinite(pair).all():
        return percent(metrics[name])
    low = percent(pair[0]).removesuffix("\N{NO-BREAK SPACE}%")
    return f"{percent(metrics[name])} (95\N{NO-BREAK SPACE}% CI {low} to {percent(pair[1])})"


def _weakest(matrix: np.ndarray, names: list[str]) -> str:
    counts = matrix.sum(axis=1)
    present = np.flatnonzero(counts)
    missed = counts - matrix.diagonal()
    if not missed.any():
        return "No image is misclassified."
    worst = max(present, key=lambda k: (missed[k] / counts[k], missed[k]))
    others = matrix[worst].copy()
    others[worst] = 0
    taken_for = int(others.argmax())
    recall = 1 - missed[worst] / counts[worst]
    return (
        f"Weakest class: {names[worst]}. {missed[worst]:,} of its {counts[worst]:,} images are "
        f"missed (recall {percent(recall)}), most often taken for {names[taken_for]} "
        f"({others[taken_for]:,})."
    )


def _missing(matrix: np.ndarray, names: list[str]) -> list[str]:
    said = []
    absent = [names[k] for k in np.flatnonzero(matrix.sum(axis=1) == 0)]
    if absent:
        said.append(
            f"The split holds no image of {', '.join(absent)}: what cannot be computed is shown "
            "as a dash, and means over classes leave it out."
        )
    never = (matrix.sum(axis=0) == 0) & (matrix.sum(axis=1) > 0)
    if never.any():
        silent = ", ".join(names[k] for k in np.flatnonzero(never))
        said.append(f"The model never answers {silent}: look at the training before using it.")
    return said
