"""Confusion matrix, ROC and precision-recall curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from braintumor.records import Predictions
from braintumor.report.plots import style
from braintumor.report.plots.style import LIGHT, Theme

# K classes


def draw_confusion_matrix(
    matrix: np.ndarray, classes: Sequence[str], *, theme: Theme = LIGHT
) -> Figure:
    """Rows are true classes. A cell shows the count and its share of the row.

    matrix: int (K, K). Right ones are blue, wrong ones orange; the wrong are shaded by the
    square root of their share, since the few errors of a good model are what matters.
    """
    count = len(classes)
    rows = matrix.sum(axis=1, keepdims=True)
    share = matrix / np.maximum(rows, 1)
    is_right = np.eye(count, dtype=bool)
    right, wrong = style.ramp(theme, theme.right), style.ramp(theme, theme.wrong)
    # The fixed part lets a single error among hundreds be seen.
    strength = np.where(matrix > 0, 0.12 + 0.78 * np.sqrt(share), 0)
    colours = np.where(is_right[..., None], right(0.85 * share), wrong(strength))[..., :3]
    longest = 40 if count <= 12 else 20
    names = [style.label(name, longest) for name in classes]
    side = max(2.4, 0.95 * count if count <= 12 else 0.45 * count)
    with style.using(theme):
        long = style.width_of(names)
        is_turned = long > 0.9 * side / count
        below = 0.6 * long if is_turned else 0.2  # sine of 35 degrees
        figure = style.new_figure(side + 1.1 + long, side + 1.3 + below)
        axes = figure.subplots()
        axes.imshow(colours, interpolation="nearest")
        style.only_grid(axes, "none")
        axes.spines[:].set_visible(False)
        # White lines between the cells: a grid of the minor ticks.
        axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=theme.paper, linewidth=3)
        axes.tick_params(which="minor", length=0)
        turn: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(count), names, **turn if is_turned else {})
        axes.set_yticks(range(count), names)
        axes.set_xlabel("predicted", labelpad=8)
        axes.set_ylabel("true", labelpad=8)
        for row in range(count):
            for column in range(count):
                _write_cell(axes, matrix, share, row, column, _ink_on(colours[row, column]))
        axes.set_title("Confusion matrix")
    return figure


def _write_cell(
    axes: Axes, matrix: np.ndarray, share: np.ndarray, row: int, column: int, ink: str
) -> None:
    amount = int(matrix[row, column])
    if len(matrix) > 12:  # no room for two lines
        axes.text(column, row, str(amount or ""), ha="center", va="center", color=ink, size=7)
        return
    faint = 1.0 if amount else 0.45
    percent = f"{share[row, column]:.1%}" if matrix[row].sum() else "no image"
    style_of: dict[str, Any] = {"ha": "center", "color": ink, "alpha": faint}
    axes.text(column, row - 0.02, f"{amount:,}", va="bottom", size=12, weight="bold", **style_of)
    axes.text(column, row + 0.08, percent, va="top", size=8, **style_of)


def _ink_on(colour: np.ndarray) -> str:
    """Black or white, whichever reads better on the colour: float (3,) in [0, 1].

    Source: relative luminance and contrast ratio of WCAG 2.2.
    """
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return "#10161f" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


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


def draw_precision_recall(predictions: Predictions, *, theme: Theme = LIGHT) -> Figure:
    """One curve a class as steps, since values between two thresholds cannot be had.

    The average precision stands in the legend beside the share of the class, which is what a
    model without skill would get.
    """
    with style.using(theme):
        figure = style.new_figure(6.2, 5.6 + 0.2 * len(predictions.classes))
        axes = figure.subplots()
        for k, name in enumerate(predictions.classes):
            is_class = predictions.labels == k
            shown = style.label(name, 26)
            if is_class.all() or not is_class.any():
                axes.plot([], [], label=f"{shown}: not defined here", **style.line_style(theme, k))
                continue
            score = predictions.probs[:, k]
            precision, recall, _ = precision_recall_curve(is_class, score)
            area = average_precision_score(is_class, score)
            text = f"{shown}: AUPRC {area:.4f} (no skill {is_class.mean():.2f})"
            line = style.line_style(theme, k)
            axes.plot(recall, precision, drawstyle="steps-post", label=text, **line)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel="recall (sensitivity)", ylabel="precision")
        axes.set_title("Precision and recall, one class against the rest")
        style.legend_below(figure)
    return figure
