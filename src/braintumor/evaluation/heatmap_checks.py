"""How far heat maps can be trusted: numbers, each with a sentence that says how to read it."""

from __future__ import annotations

from typing import Any

import numpy as np

from braintumor.evaluation.heatmap_scores import (
    Part,
    area_under,
    forgetful_copy,
    head_masks,
    perturbation_curves,
    pointing_hits,
    share_outside,
    similarity,
    spots_in_head,
    top_area_iou,
)
from braintumor.evaluation.heatmaps import Layer, Method, cam_heatmaps, left_as_found
from braintumor.models.classifier import Classifier

# N images, M <= N of them that the expensive checks look at, S side of the picture

_MOST = 16  # images that the expensive checks look at: the curves take 32 forward passes of each
_SEED = 0  # of the random weights

Checks = dict[str, dict[str, Any]]


def check_explanations(
    model: Classifier,
    images: np.ndarray,
    targets: np.ndarray,
    heatmaps: np.ndarray,
    method: Method,
    layer: Layer,
    masks: np.ndarray | None = None,
) -> Checks:
    """name -> {"value": float, "meaning": a plain sentence, "n": images it is the mean of}.

    images: uint8 (N, S, S) or (N, S, S, 3).  targets: int (N,), the classes that were explained.
    heatmaps: float (N, S, S), what cam_heatmaps gave for them by this method at this layer.
    masks: bool (N, S, S), where the lesions are; None where nobody knows.
    Names: ssim_head_random, ssim_all_random, outside_head, deletion, insertion, and with masks
    pointing_hits, lesion_iou. A value is NaN where its n is 0. Attention has no ssim_head_random:
    what it looks at comes before the head and cannot depend on it.
    The sentences name what a map that knows nothing would score. The curves and the random
    weights are tried on 16 images at most, evenly chosen, at a cost of about 40 forward passes
    each. The model is left as it was found.
    """
    some = np.unique(np.linspace(0, len(images) - 1, min(_MOST, len(images))).astype(np.int64))
    chosen = images[some], targets[some], heatmaps[some]
    with left_as_found(model):
        checks = _forgetting(model, *chosen, method, layer)
        checks |= _perturbing(model, *chosen)
    in_head = head_masks(images)
    checks |= _staying_inside(heatmaps, in_head)
    if masks is not None:
        checks |= _pointing(heatmaps, masks, spots_in_head(in_head))
    return checks


def _forgetting(
    model: Classifier,
    images: np.ndarray,
    targets: np.ndarray,
    heatmaps: np.ndarray,
    method: Method,
    layer: Layer,
) -> Checks:
    """Structural similarity to the maps of the same network with random weights."""
    others, _ = _mean(similarity(heatmaps, np.roll(heatmaps, 1, axis=0)))
    named: dict[Part, str] = {"head": "the last layers'", "all": "all"}
    if method == "attention":
        del named["head"]  # likeness 1 for sure would say nothing of the maps
    checks = {}
    for part, whose in named.items():
        scores = np.full(len(images), np.nan)
        if len(images):
            random = forgetful_copy(model, images, part, _SEED)
            maps = cam_heatmaps(random, images, targets, method, layer)
            scores = similarity(heatmaps, maps)
        checks[f"ssim_{part}_random"] = _check(
            scores,
            f"Structural similarity of the maps before and after {whose} weights were made random: "
            "near 1, a map does not depend on what the model has learnt; between maps of two "
            f"different pictures it is {others:.2f}.",
        )
    return checks


def _perturbing(
    model: Classifier, images: np.ndarray, targets: np.ndarray, heatmaps: np.ndarray
) -> Checks:
    """Mean height of the deletion and of the insertion curve.

    A spot in the middle of the head comes close to a map: the model needs the head anyway.
    """
    curves = perturbation_curves(model, images, targets, heatmaps)
    spots = spots_in_head(head_masks(images))
    of_spots = perturbation_curves(model, images, targets, spots)
    deletion, insertion = (_mean(area_under(curve))[0] for curve in of_spots)
    return {
        "deletion": _check(
            area_under(curves[0]),
            "Mean probability of the class while the picture is blurred, the hottest places "
            "first: the lower, the more the answer depends on these places; "
            f"{deletion:.2f} when starting at the middle of the head.",
        ),
        "insertion": _check(
            area_under(curves[1]),
            "Mean probability of the class while a blurred picture is made sharp, the hottest "
            "places first: the higher, the more these places suffice; "
            f"{insertion:.2f} when starting at the middle of the head.",
        ),
    }


def _staying_inside(heatmaps: np.ndarray, in_head: np.ndarray) -> Checks:
    scores = share_outside(heatmaps, in_head)
    known = ~np.isnan(scores)
    area = 1 - in_head[known].mean() if known.any() else float("nan")
    return {
        "outside_head": _check(
            scores,
            "Share of the heat that lies outside the head, where there is nothing to see: a map "
            f"that knows nothing of the picture has {area:.2f} there, that being the share of "
            "the area.",
        )
    }


def _pointing(heatmaps: np.ndarray, masks: np.ndarray, spots: np.ndarray) -> Checks:
    by_spot, _ = _mean(pointing_hits(spots, masks))
    iou_by_spot, _ = _mean(top_area_iou(spots, masks))
    return {
        "pointing_hits": _check(
            pointing_hits(heatmaps, masks),
            "Share of lesions that the hottest point hits, whatever the answer was, give or take "
            "3 % of the picture's side; pointing at the middle of the head every time hits "
            f"{by_spot:.2f}.",
        ),
        "lesion_iou": _check(
            top_area_iou(heatmaps, masks),
            "Overlap (intersection over union) of each lesion with as many of the hottest "
            f"pixels, 1 at best; a round spot in the middle of the head has {iou_by_spot:.2f}.",
        ),
    }


def _check(scores: np.ndarray, meaning: str) -> dict[str, Any]:
    value, n = _mean(scores)
    return {"value": value, "meaning": meaning, "n": n}


def _mean(scores: np.ndarray) -> tuple[float, int]:
    """Mean of what is known, and how many that are; NaN when nothing is."""
    known = scores[~np.isnan(scores)]
    return (float(known.mean()) if len(known) else float("nan")), len(known)
