"""Small pictures of the evaluated images, as many and as fine as the page has room for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from braintumor.records import Predictions
from braintumor.report.inline import webp
from braintumor.runtime import in_threads

# M images evaluated, S image size px

MOST = 1500  # thumbnails on a page; of more images only the most telling have one
# side in px and quality of WebP, the finest first; 1,311 real slices take 2.5, 1.9, 1.3, 0.9 MB
_STEPS = ((112, 60), (96, 50), (72, 45), (56, 35))
_TRIED = 32  # images that a step is judged by
_EFFORT = 2  # of 6: more makes them a tenth smaller and takes twice the time


def order_by_interest(predictions: Predictions, is_foreign: np.ndarray | None) -> list[int]:
    """All indices, the most telling first: wrong, the surest first; foreign; then the unsure."""
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
    chosen = list(order[:MOST])
    thumbnails = [""] * len(images)
    if not chosen:
        return thumbnails
    side_px, quality = _finest(images, chosen, budget)
    left = budget
    # Pillow releases the GIL
    texts = in_threads(lambda i: _thumbnail(images[i], side_px, quality), chosen)
    for i, text in zip(chosen, texts, strict=True):
        left -= len(text)
        if left < 0:
            break
        thumbnails[i] = text
    return thumbnails


def _finest(images: np.ndarray, chosen: Sequence[int], budget: int) -> tuple[int, int]:
    """The first step at which all chosen images fit, judged by some of them; else the last."""
    tried = chosen[:: max(1, len(chosen) // _TRIED)]
    for step in _STEPS:
        size = sum(len(_thumbnail(images[i], *step)) for i in tried)
        # 5 % for those that were not tried
        if 1.05 * size / len(tried) * len(chosen) <= budget:
            return step
    return _STEPS[-1]


def _thumbnail(image: np.ndarray, side_px: int, quality: int) -> str:
    return webp(Image.fromarray(image), side_px, quality, _EFFORT)
