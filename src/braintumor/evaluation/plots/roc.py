"""Receiver operating characteristic: one class against the rest."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import auc, roc_curve

from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.style import LIGHT, Theme
from braintumor.records import Predictions

Curve = tuple[str, np.ndarray, np.ndarray, float]


def draw_roc(predictions: Predictions, *, theme: Theme = LIGHT) -> Figure:
    """One curve a class, its area in the legend; a small window enlarges the top left corner.

    A class without images on both sides has no curve, and the legend says so.
    """
    curves = _curves(predictions)
    with style.using(theme):
        figure = style.new_figure(6.2, 5.6 + 0.2 * len(curves))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=1, linestyle=(0, (2, 3)))
        _plot(axes, curves, theme)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel="false positive rate (1 − specificity)", ylabel="sensitivity (recall)")
        axes.set_title("ROC, one class against the rest")
        areas = [area for *_, area in curves if not np.isnan(area)]
        if areas and min(areas) > 0.9:
            _enlarge_corner(axes, curves, theme)
        style.legend_below(figure)
    return figure


def _curves(predictions: Predictions) -> list[Curve]:
    curves = []
    for k, name in enumerate(predictions.classes):
        is_class = predictions.labels == k
        if is_class.all() or not is_class.any():
            curves.append((name, np.array([]), np.array([]), float("nan")))
            continue
        false_rate, true_rate, _ = roc_curve(is_class, predictions.probs[:, k])
        curves.append((name, false_rate, true_rate, float(auc(false_rate, true_rate))))
    return curves


def _plot(axes: Axes, curves: list[Curve], theme: Theme) -> None:
    for k, (name, false_rate, true_rate, area) in enumerate(curves):
        figure = "not defined here" if np.isnan(area) else f"AUROC {area:.4f}"
        text = f"{style.label(name, 26)}: {figure}"
        axes.plot(false_rate, true_rate, label=text, **style.line_style(theme, k))


def _enlarge_corner(axes: Axes, curves: list[Curve], theme: Theme) -> None:
    inset = axes.inset_axes((0.42, 0.14, 0.5, 0.5))
    _plot(inset, curves, theme)
    inset.set(xlim=(-0.003, 0.1), ylim=(0.9, 1.003))
    inset.set_xticks([0, 0.05, 0.1])
    inset.set_yticks([0.9, 0.95, 1])
    inset.tick_params(labelsize=8)
    inset.set_title("top left corner", fontsize=8.5, fontweight="normal", color=theme.muted, pad=4)
