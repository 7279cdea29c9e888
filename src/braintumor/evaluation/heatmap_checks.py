"""How far heat maps can be trusted: numbers, each with a sentence that says how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from scipy.special import stdtrit

from braintumor.evaluation.heatmap_scores import (
    area_under,
    head_masks,
    pointing_hits,
    ranks,
    share_outside,
    similarity,
    spots_in_head,
    top_area_iou,
)
from braintumor.evaluation.heatmaps import (
    Layer,
    Method,
    Part,
    cam_heatmaps,
    forgetful_copy,
    left_as_found,
    to_tensor,
)
from braintumor.models.ensemble import Network
from braintumor.progress import waiting
from braintumor.training.batches import predict_logits

# N images: uint8 (N, S, S) or (N, S, S, 3), S side of the picture
# heatmaps: float (N, S, S) in [0, 1]; masks of heads or lesions: bool (N, S, S)

STEPS = 8  # areas within .005 of those with 16 or 32 (16 real slices, mobilenetv2_035_mhsa)
_MOST = 16  # images that the expensive checks look at: the curves take 30 forward passes of each
_SEED = 0  # of the random weights
_BLUR = 0.06  # of the side, standard deviation: a lesion is gone, the shape of the head stays

_TAIL = 0.975  # of an interval of 95 %

Checks = dict[str, dict[str, Any]]


@waiting("checking the heat maps")
def check_explanations(
    model: Network,
    images: np.ndarray,
    targets: np.ndarray,
    heatmaps: np.ndarray,
    method: Method,
    layer: Layer,
    masks: np.ndarray | None = None,
) -> Checks:
    """name -> {"value": float, "meaning": a plain sentence, "n": images it is the mean of}.

    Of deletion, insertion, pointing_hits and lesion_iou also "middle", the value of a spot in the
    middle of the head, and "gain_ci", the 95 % interval of how much better the map is than it; of
    outside_head "even", the value of a map that is as hot everywhere.

    targets: int (N,), the classes that were explained.  heatmaps: what cam_heatmaps gave for them
    by this method at this layer.  masks: where the lesions are; None where nobody knows.
    A value is NaN where its n is 0. Attention has no ssim_head_random: what it looks at comes
    before the head and cannot depend on it. The sentences name what a map that knows nothing would
    score. The curves and the random weights are tried on 16 images at most, evenly chosen.
    """
    if not len(images):
        return {}
    some = np.unique(np.linspace(0, len(images) - 1, min(_MOST, len(images))).astype(np.int64))
    chosen, in_head = (images[some], targets[some], heatmaps[some]), head_masks(images)
    with left_as_found(model):
        checks = _forgetting(model, *chosen, method, layer)
        checks |= _perturbing(model, *chosen, in_head[some])
    return checks | _locating(heatmaps, in_head, masks)


def _forgetting(
    model: Network,
    images: np.ndarray,
    targets: np.ndarray,
    heatmaps: np.ndarray,
    method: Method,
    layer: Layer,
) -> Checks:
    """Structural similarity to the maps of the same network with random weights."""
    others = f"{_mean(similarity(heatmaps, np.roll(heatmaps, 1, axis=0))):.2f}"
    beside = f"; between maps of two different pictures it is {others}" * (len(heatmaps) > 1)
    named: dict[Part, str] = {"head": "the last layers'", "all": "all"}
    if method == "attention":
        del named["head"]  # likeness 1 for sure would say nothing of the maps
    checks = {}
    for part, whose in named.items():
        random = forgetful_copy(model, images, part, _SEED)
        checks[f"ssim_{part}_random"] = _check(
            similarity(heatmaps, cam_heatmaps(random, images, targets, method, layer)),
            f"Structural similarity of the maps before and after {whose} weights were made random: "
            f"near 1, a map does not depend on what the model has learnt{beside}.",
        )
    return checks


def _perturbing(
    model: Network,
    images: np.ndarray,
    targets: np.ndarray,
    heatmaps: np.ndarray,
    in_head: np.ndarray,
) -> Checks:
    """Mean height of the deletion and of the insertion curve.

    A spot in the middle of the head comes close to a map: the model needs the head anyway.
    """
    kinds = [heatmaps, spots_in_head(in_head)]
    curves = perturbation_curves(model, images, targets, kinds)
    deletion, insertion = zip(*map(area_under, curves), strict=True)
    return {
        "deletion": _check_beside_middle(
            "Mean probability of the class while the picture is blurred, the hottest places "
            "first: the lower, the more the answer depends on these places; {:.2f} when starting "
            "at the middle of the head.",
            *deletion,
            is_cost=True,
        ),
        "insertion": _check_beside_middle(
            "Mean probability of the class while a blurred picture is made sharp, the hottest "
            "places first: the higher, the more these places suffice; {:.2f} when starting at the "
            "middle of the head.",
            *insertion,
        ),
    }


def _locating(heatmaps: np.ndarray, in_head: np.ndarray, masks: np.ndarray | None) -> Checks:
    """On the head, and where lesions are known on them."""
    outside = share_outside(heatmaps, in_head)
    known = ~np.isnan(outside)
    area = 1 - in_head[known].mean() if known.any() else float("nan")
    checks = {
        "outside_head": _check(
            outside,
            "Share of the heat that lies outside the head, where there is nothing to see: a map "
            f"that knows nothing of the picture has {area:.2f} there, that being the share of "
            "the area.",
        )
        | {"even": float(area)}
    }
    if masks is None:
        return checks
    kinds = heatmaps, spots_in_head(in_head)
    return checks | {
        "pointing_hits": _check_beside_middle(
            "Share of lesions that the hottest point hits, whatever the answer was, give or take "
            "3 % of the picture's side; pointing at the middle of the head every time hits {:.2f}.",
            *(pointing_hits(maps, masks) for maps in kinds),
        ),
        "lesion_iou": _check_beside_middle(
            "Overlap (intersection over union) of each lesion with as many of the hottest "
            "pixels, 1 at best; a round spot in the middle of the head has {:.2f}.",
            *(top_area_iou(maps, masks) for maps in kinds),
        ),
    }


def _check(scores: np.ndarray, meaning: str) -> dict[str, Any]:
    return {"value": _mean(scores), "meaning": meaning, "n": int((~np.isnan(scores)).sum())}


def _check_beside_middle(
    meaning: str, scores: np.ndarray, of_spots: np.ndarray, *, is_cost: bool = False
) -> dict[str, Any]:
    """With the mean of the spots, and Student's interval of the gain over them, image by image.

    meaning: with {} for that mean.  scores, of_spots: float (N,).  is_cost: less is better.
    """
    middle, reach = _mean(of_spots), float("nan")
    gain = (of_spots - scores if is_cost else scores - of_spots)[~np.isnan(scores)]
    if len(gain) > 1:
        reach = float(stdtrit(len(gain) - 1, _TAIL) * gain.std(ddof=1) / np.sqrt(len(gain)))
    beside = {"middle": middle, "gain_ci": [_mean(gain) - reach, _mean(gain) + reach]}
    return _check(scores, meaning.format(middle)) | beside


def _mean(scores: np.ndarray) -> float:
    """Mean of what is known; NaN when nothing is."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if len(known) else float("nan")


def perturbation_curves(
    model: Network, images: np.ndarray, targets: np.ndarray, kinds: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The target's probability as pixels go, and as they come: float (2, N, STEPS + 1) a kind.

    kinds: heatmaps, of which several may be compared.
    Deletion blurs the picture from the hottest pixel on, insertion starts from the blurred
    picture and brings back the hottest pixels first; step t has changed t / STEPS of the area.
    A faithful map makes deletion fall early and insertion rise early. The paper deletes to grey;
    grey squares are nothing that a network has seen, and upset it by themselves.
    """
    clear = to_tensor(images, model).float()
    sigma_px = _BLUR * max(images.shape[1:3])
    sigmas = (0, sigma_px, sigma_px, 0)[: images.ndim]
    blurred = to_tensor(ndimage.gaussian_filter(images.astype(np.float32), sigmas), model)

    def probs_of(x: torch.Tensor) -> np.ndarray:
        logits = predict_logits(model, x, batch_size=len(x))
        return logits.cpu().double().softmax(dim=1).numpy()[np.arange(len(targets)), targets]

    found = []
    with model.fused():
        ends = probs_of(clear), probs_of(blurred)  # whatever is hot
        for heatmaps in kinds:
            curves = np.zeros((2, len(images), STEPS + 1))
            curves[0, :, 0], curves[0, :, -1] = ends
            curves[1, :, -1], curves[1, :, 0] = ends
            rank = to_tensor(ranks(heatmaps), model)
            for step in range(1, STEPS):
                is_hot = rank < step / STEPS
                curves[0, :, step] = probs_of(torch.where(is_hot, blurred, clear))
                curves[1, :, step] = probs_of(torch.where(is_hot, clear, blurred))
            found.append(curves)
    return found
