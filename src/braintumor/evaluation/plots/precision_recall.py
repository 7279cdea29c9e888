"""Precision against recall: one class against the rest."""

from __future__ import annotations

from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve

from braintumor.evaluation.plots import style
from braintumor.evaluation.plots.style import LIGHT, Theme
from braintumor.records import Predictions


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
