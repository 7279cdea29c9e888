"""Does 90 % sure mean right nine times in ten?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braintumor.evaluation.calibration import reliability
from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.style import LIGHT, Theme
from braintumor.records import Predictions

BINS = 10  # of 15, many are empty in a picture of a few hundred images


def draw_calibration(predictions: Predictions, *, theme: Theme = LIGHT) -> Figure:
    """Accuracy over confidence in ten bins, above the number of images in each.

    With a temperature, the thin grey line is what the model said before it.
    """
    count, mean, accuracy = reliability(predictions.probs, predictions.labels, BINS)
    is_filled = count > 0
    centre = (np.arange(BINS) + 0.5) / BINS
    with style.using(theme):
        figure = style.new_figure(5.6, 5.8)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        upper.plot([0, 1], [0, 1], color=theme.muted, linewidth=1, linestyle=(0, (2, 3)))
        upper.bar(centre, accuracy, 0.9 / BINS, color=theme.right, alpha=0.28)
        if predictions.temperature != 1:
            _draw_before(upper, predictions, theme)
        dots = {"color": theme.right, "marker": "o", "markersize": 6, "zorder": 3}
        upper.plot(mean[is_filled], accuracy[is_filled], **dots)
        upper.text(
            0.03, 0.95, "above the line: underconfident", color=theme.muted, size=8.5, va="top"
        )
        upper.text(
            0.97, 0.05, "below the line: overconfident", color=theme.muted, size=8.5, ha="right"
        )
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


def _draw_before(axes: Axes, predictions: Predictions, theme: Theme) -> None:
    raw = replace(predictions, temperature=1.0)
    count, mean, accuracy = reliability(raw.probs, raw.labels, BINS)
    name = f"before temperature {predictions.temperature:.2f}"
    is_filled = count > 0
    x, y = mean[is_filled], accuracy[is_filled]
    axes.plot(x, y, "o-", color=theme.muted, linewidth=1, markersize=3, label=name)
    axes.legend(loc="upper left", bbox_to_anchor=(0.005, 0.86), borderaxespad=0)
