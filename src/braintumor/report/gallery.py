"""The predictions one by one: examples that need no script, and the data that the script shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from braintumor.files import natural_key
from braintumor.records import Predictions
from braintumor.report.inline import inlined_image
from braintumor.report.thumbnails import make_thumbnails, order_by_interest

if TYPE_CHECKING:
    from braintumor.statistics.decisions import Decided

# M images evaluated, S image size px, K classes

_LARGEST_PX = 256  # of an inlined slice: sharp at the size the page shows it
_HEAT_PX = 64  # of a heat map, which is smooth: it comes from a map of some 5 x 5 cells
_LARGE = 96  # most slices beside the examples that the page holds in full size
_STATIC = 8  # examples of either kind above the browser of all


@dataclass(frozen=True, eq=False)
class Example:
    """One prediction to look at: index of its row, uint8 slice (S, S[, 3]) and overlay."""

    index: int
    image: np.ndarray
    overlay: np.ndarray | None


def examples_of_page(
    predictions: Predictions, examples: Sequence[Example]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the template needs of wrong and of right examples, some of each, as they come."""
    is_right = predictions.predicted == predictions.labels
    probs = predictions.probs
    wrong = [e for e in examples if not is_right[e.index]][:_STATIC]
    right = [e for e in examples if is_right[e.index]]
    right = right[:: max(1, -(-len(right) // _STATIC))]  # evenly over what was chosen
    shown = [[_example(predictions, probs, e) for e in kind] for kind in (wrong, right)]
    return shown[0], shown[1]


def browser_data(
    predictions: Predictions,
    images: np.ndarray | None,
    heatmaps: Mapping[int, np.ndarray],
    *,
    is_known: np.ndarray | None,
    decided: Decided | None,
    shown: Sequence[int],
    budget: int,
) -> dict[str, Any]:
    """The rows of the browser as JSON will carry them: a list a column, in the order of rows.

    images: uint8 (M, S, S[, 3]).  heatmaps: index -> float (S, S) in [0, 1].
    is_known: bool (M,), in training; None when unknown.  decided: of the same rows.
    shown: indices whose slice the page already holds among its examples.
    budget: characters that all pictures may take.
    """
    is_foreign = None if decided is None else decided.is_foreign
    order = order_by_interest(predictions, is_foreign)
    large = _large(order, images, heatmaps, set(shown))
    taken = sum(len(text) for entry in large.values() for text in entry.values())
    thumbnails = None
    if images is not None:
        thumbnails = make_thumbnails(images, order, max(budget - taken, 0))
    return {
        "classes": list(predictions.classes),
        "paths": list(predictions.paths),
        "rank": _ranks(predictions.paths),
        "truth": predictions.labels.tolist(),
        "guess": predictions.predicted.tolist(),
        # four digits: a page is read, predictions.csv is for computing
        "probs": np.round(predictions.probs * 1e4).astype(int).tolist(),
        "known": _bits(is_known),
        "foreign": _bits(is_foreign),
        "turned": _bits(None if decided is None else decided.is_turned),
        "answered": _bits(None if decided is None else decided.is_answered),
        "tumor": _bits(None if decided is None else decided.is_tumor),
        "sets": _sets(None if decided is None else decided.sets),
        "outlier": _rounded(None if decided is None else decided.outlier_score),
        "thumbs": thumbnails,
        "large": large,
    }


def heat_layer(heatmap: np.ndarray) -> np.ndarray:
    """A heat map to lay over its slice: uint8 (S, S, 4), covering in proportion to the heat.

    heatmap: float (S, S) in [0, 1].
    """
    import matplotlib

    heat = np.clip(np.nan_to_num(heatmap.astype(np.float32)), 0, 1)
    # the colours of plots.overlay: they rise in lightness and read without colour vision
    layer = np.asarray(matplotlib.colormaps["plasma"](0.15 + 0.85 * heat))
    layer[..., 3] = heat
    return np.asarray((layer * 255).round().astype(np.uint8))


def _example(predictions: Predictions, probs: np.ndarray, example: Example) -> dict[str, Any]:
    i = example.index
    truth, guess = int(predictions.labels[i]), int(predictions.predicted[i])
    overlay = example.overlay
    return {
        "index": i,
        "path": predictions.paths[i],
        "is_right": truth == guess,
        "truth": predictions.classes[truth],
        "guess": predictions.classes[guess],
        "probability": f"{probs[i, guess]:.2f}",
        "of_truth": f"{probs[i, truth]:.2f}",
        "image": inlined_image(example.image, _LARGEST_PX, 80),
        "overlay": None if overlay is None else inlined_image(overlay, _LARGEST_PX, 80),
    }


def _large(
    order: Sequence[int],
    images: np.ndarray | None,
    heatmaps: Mapping[int, np.ndarray],
    shown: set[int],
) -> dict[int, dict[str, str]]:
    """Index -> slice and heat as pictures, of images with a heat map and of the most telling."""
    large: dict[int, dict[str, str]] = {}
    for i in sorted(heatmaps):
        large[int(i)] = {"heat": inlined_image(heat_layer(heatmaps[i]), _HEAT_PX, 80)}
    if images is None:
        return large
    missing = [i for i in [*large, *(i for i in order if i not in large)] if i not in shown]
    for i in missing[:_LARGE]:
        large.setdefault(i, {})["image"] = inlined_image(images[i], _LARGEST_PX, 75)
    return large


def _ranks(paths: Sequence[str]) -> list[int]:
    """The place of each path in natural order: Image2 before Image10."""
    order = sorted(range(len(paths)), key=lambda i: natural_key(paths[i]))
    return np.argsort(order).tolist()


def _bits(values: np.ndarray | None) -> list[int] | None:
    return None if values is None else np.asarray(values).astype(int).tolist()


def _sets(sets: np.ndarray | None) -> list[list[int]] | None:
    return None if sets is None else [np.flatnonzero(row).tolist() for row in sets]


def _rounded(scores: np.ndarray | None) -> list[float | None] | None:
    if scores is None:
        return None
    return [float(f"{score:.4g}") if np.isfinite(score) else None for score in scores]
