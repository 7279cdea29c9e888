"""Does 90 % sure mean right nine times in ten?"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.style import LIGHT, Theme
from braintumor.records import Predictions

BINS = 10


def reliability(
    predictions: Predictions, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean confidence and accuracy of each bin: int (bins,), float (bins,), float (bins,).

    Bins are of equal width on the top probability, closed on the right; an empty bin is NaN.
    Source: Guo et al. 2017, arXiv:1706.04599, section 2.
    """
    confidence = predictions.probs.max(axis=1)
    is_right = predictions.predicted == predictions.labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, weights=confidence, minlength=bins) / count
        accuracy = np.bincount(index, weights=is_right, minlength=bins) / count
    return count, mean, accuracy


def draw_calibration(predictions: Predictions, *, theme: Theme = LIGHT) -> Figure:
    """Accuracy over confidence in ten bins, above the number of images in each."""
    count, mean, accuracy = reliability(predictions)
    is_filled = count > 0
    centre = (np.arange(BINS) + 0.5) / BINS
    with style.using(theme):
        figure = style.new_figure(5.6, 5.8)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        upper.plot([0, 1], [0, 1], color=theme.muted, linewidth=1, linestyle=(0, (2, 3)))
        upper.bar(centre, accuracy, 0.9 / BINS, color=theme.right, alpha=0.28)
        dots = {"color": theme.right, "marker": "o", "markersize": 6, "zorder": 3}
        upper.plot(mean[is_filled], accuracy[is_filled], **dots)
        upper.text(0.03, 0.95, "above the line: too modest", color=theme.muted, size=8.5, va="top")
        upper.text(0.97, 0.05, "below the line: too sure", color=theme.muted, size=8.5, ha="right")
        upper.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="share that is right")
        upper.set_title("Calibration of the top probability")
        lower.bar(centre, count, 0.9 / BINS, color=theme.muted, alpha=0.75)
        style.only_grid(lower, "y")
        for x, amount in zip(centre[is_filled], count[is_filled], strict=True):
            lower.annotate(
                f"{amount:,}", (x, amount), (0, 2), textcoords="offset points", ha="center", size=8
            )
        lower.set_ylim(0, count.max() * 1.25)
        lower.set(xlabel="probability of the predicted class", ylabel="images")
    return figure
