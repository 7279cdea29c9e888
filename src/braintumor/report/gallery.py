"""The predictions one by one: examples that need no script, and the data that the script shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from braintumor.evaluation.record import Evaluation, choose_examples
from braintumor.files import natural_key
from braintumor.records import Predictions
from braintumor.report.page import inlined_drawing, inlined_image, webp
from braintumor.report.plots.pictures import heat_layer, in_cells, overlay
from braintumor.report.texts import percent
from braintumor.runtime import in_threads

# M images evaluated, S image size px, K classes

MOST = 1500  # thumbnails on a page; of more images only those of most interest have one
_EXAMPLES = 16  # shown when no heat maps say which
_STATIC = 8  # examples of either kind above the browser of all
_LARGEST_PX = 256  # of an inlined slice: sharp at the size the page shows it
_HEAT_PX = 64  # most of a heat map a side: it comes from some 5 x 5 cells
_LARGE = 96  # most slices beside the examples that the page holds in full size
# side in px and quality of WebP, the finest first; 1,311 real slices take 2.5, 1.9, 1.3, 0.9 MB
_STEPS = ((112, 60), (96, 50), (72, 45), (56, 35))
_TRIED = 32  # images that a step is judged by
_EFFORT = 2  # of 6: more makes them a tenth smaller and takes twice the time


def shown_examples(evaluation: Evaluation) -> list[int]:
    """Indices of the examples of an evaluation, the surest first; none without images."""
    count, heatmaps = evaluation.examples, evaluation.explanations.heatmaps
    if evaluation.images is None:
        return []
    if heatmaps and count is None:
        indices = list(heatmaps)
    else:
        indices = choose_examples(evaluation.predictions, _EXAMPLES if count is None else count)
    confidence = evaluation.predictions.probs.max(axis=1)
    return sorted(indices, key=lambda i: -confidence[i])


def examples_section(evaluation: Evaluation) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the template needs of wrong and of right examples, some of each, surest first."""
    indices, is_right = shown_examples(evaluation), evaluation.is_right
    wrong = [i for i in indices if not is_right[i]][:_STATIC]
    right = [i for i in indices if is_right[i]]
    right = right[:: max(1, -(-len(right) // _STATIC))]  # evenly over what was chosen
    probs = evaluation.predictions.probs
    made = [[_example(evaluation, probs, i) for i in kind] for kind in (wrong, right)]
    return made[0], made[1]


def _example(evaluation: Evaluation, probs: np.ndarray, i: int) -> dict[str, Any]:
    predictions, heatmaps = evaluation.predictions, evaluation.explanations.heatmaps
    truth, guess = int(predictions.labels[i]), int(predictions.predicted[i])
    image = np.asarray(evaluation.images)[i]
    over = inlined_image(overlay(image, heatmaps[i]), _LARGEST_PX, 80) if i in heatmaps else None
    return {
        "index": i,
        "path": predictions.paths[i],
        "is_right": truth == guess,
        "truth": predictions.classes[truth],
        "guess": predictions.classes[guess],
        "probability": percent(probs[i, guess]),
        "of_truth": percent(probs[i, truth]),
        "image": inlined_image(image, _LARGEST_PX, 80),
        "overlay": over,
    }


def browser_data(evaluation: Evaluation, shown: Sequence[int], budget: int) -> dict[str, Any]:
    """The rows of the browser as JSON will carry them: a list a column, in the order of rows.

    shown: indices whose slice the page already holds among its examples.
    budget: characters that all pictures may take.
    """
    predictions, images = evaluation.predictions, evaluation.images
    probs = predictions.probs
    decided = vars(evaluation.decided) if evaluation.decided else {}
    sets, order = decided.get("sets"), order_by_interest(predictions, decided.get("is_foreign"))
    large = _large(evaluation, order, set(shown))
    taken = sum(len(text) for entry in large.values() for text in entry.values())
    room = max(budget - taken, 0)
    thumbs = None if images is None else make_thumbnails(images, order, room)
    by_name = sorted(range(len(predictions)), key=lambda i: natural_key(predictions.paths[i]))
    return {
        "classes": list(predictions.classes),
        "paths": list(predictions.paths),
        "rank": np.argsort(by_name).tolist(),  # in natural order: Image2 before Image10
        "truth": predictions.labels.tolist(),
        "guess": predictions.predicted.tolist(),
        # four digits: a page is read, predictions.csv is for computing
        "probs": np.round(np.where(probs < 1, probs.clip(max=0.9999), 1) * 1e4)
        .astype(int)
        .tolist(),
        "sure": [percent(p) for p in probs.max(axis=1)],
        "known": _bits(evaluation.assessment.contaminated),
        "foreign": _bits(decided.get("is_foreign")),
        "turned": _bits(decided.get("is_upside_down")),
        "answered": _bits(decided.get("is_answered")),
        "tumor": _bits(decided.get("is_tumor")),
        "sets": None if sets is None else [np.flatnonzero(row).tolist() for row in sets],
        "outlier": _rounded(decided.get("outlier_score")),
        "thumbs": thumbs,
        "large": large,
    }


def _large(evaluation: Evaluation, order: Sequence[int], shown: set[int]) -> dict[int, Any]:
    """Index -> {slice, heat} as pictures, of images with a heat map and of most interest."""
    large: dict[int, dict[str, str]] = {}
    # full cover at the most heat: a slider of the page thins it
    for i, heatmap in sorted(evaluation.explanations.heatmaps.items()):
        side = tuple(min(cells, _HEAT_PX) for cells in heatmap.shape)
        layer = heat_layer(in_cells(heatmap, side), 1.0)
        large[int(i)] = {"heat": inlined_drawing(layer)}
    if evaluation.images is None:
        return large
    missing = [i for i in dict.fromkeys([*large, *order]) if i not in shown]
    for i in missing[:_LARGE]:
        large.setdefault(i, {})["image"] = inlined_image(evaluation.images[i], _LARGEST_PX, 75)
    return large


def _bits(values: np.ndarray | None) -> list[int] | None:
    return None if values is None else np.asarray(values).astype(int).tolist()


def _rounded(scores: np.ndarray | None) -> list[float | None] | None:
    if scores is None:
        return None
    return [float(f"{score:.4g}") if np.isfinite(score) else None for score in scores]


def order_by_interest(predictions: Predictions, is_foreign: np.ndarray | None) -> list[int]:
    """All indices by interest: wrong, the surest first; foreign; then the least sure first."""
    confidence = predictions.probs.max(axis=1)
    is_wrong = predictions.predicted != predictions.labels
    foreign = np.zeros(len(predictions), bool) if is_foreign is None else is_foreign
    kind = np.where(is_wrong, 0, np.where(foreign, 1, 2))
    rank = np.where(is_wrong, -confidence, confidence)
    return [int(i) for i in np.lexsort((rank, kind))]


def make_thumbnails(images: np.ndarray, order: Sequence[int], budget: int) -> list[str]:
    """WebP in base64 of each image, in the order of images; empty where there is no room.

    images: uint8 (M, S, S) or (M, S, S, 3).  order: indices, those that matter most first.
    budget: characters in all. Small enough steps that 1,311 slices stay below 2.6 million.
    """
    chosen, left = list(order[:MOST]), budget
    thumbnails = [""] * len(images)
    if not chosen:
        return thumbnails
    step = _finest(images, chosen, budget)
    drawn = in_threads(lambda i: webp(images[i], *step, _EFFORT), chosen)  # Pillow releases the GIL
    for i, text in zip(chosen, drawn, strict=True):
        left -= len(text)
        if left < 0:
            break
        thumbnails[i] = text
    return thumbnails


def _finest(images: np.ndarray, chosen: Sequence[int], budget: int) -> tuple[int, int]:
    """The first step at which all chosen images fit, judged by some of them; else the last."""
    tried = chosen[:: max(1, len(chosen) // _TRIED)]
    for step in _STEPS:
        size = sum(len(webp(images[i], *step, _EFFORT)) for i in tried)
        # 5 % for those that were not tried
        if 1.05 * size / len(tried) * len(chosen) <= budget:
            return step
    return _STEPS[-1]
