"""The pictures of an evaluation: written to its folder, and handed on to the report."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from braintumor.files import write_atomic
from braintumor.records import Predictions
from braintumor.report.gallery import Example
from braintumor.report.inline import Chart
from braintumor.report.plots.baselines import draw_floors
from braintumor.report.plots.decisions import draw_calibration, draw_decisions
from braintumor.report.plots.performance import (
    draw_confusion_matrix,
    draw_precision_recall,
    draw_roc,
)
from braintumor.report.plots.pictures import choose_examples, draw_examples, overlay
from braintumor.report.plots.style import DARK, LIGHT, PNG_EFFORT, Theme, to_png
from braintumor.report.plots.training_curves import draw_curves
from braintumor.statistics.decisions import Decisions
from braintumor.statistics.metrics import confusion_matrix

# S image size px

_EXAMPLES = 16  # shown when no heat maps say which


def draw_performance(new: Path, predictions: Predictions) -> list[Chart]:
    """Write the four pictures of performance; return those that the report shows as pictures."""
    figure = draw_confusion_matrix(confusion_matrix(predictions), predictions.classes)
    write_atomic(new / "confusion_matrix.png", to_png(figure))
    charts = {
        "roc.png": _chart("ROC", lambda theme: draw_roc(predictions, theme=theme)),
        "pr.png": _chart(
            "Precision and recall", lambda theme: draw_precision_recall(predictions, theme=theme)
        ),
        "calibration.png": _chart(
            "Calibration", lambda theme: draw_calibration(predictions, theme=theme)
        ),
    }
    for name, chart in charts.items():
        write_atomic(new / name, chart.light)
    return list(charts.values())


def history_chart(history: pd.DataFrame) -> Chart:
    """The curves of training, for the report."""
    return _chart("Loss and accuracy over the epochs", lambda t: draw_curves(history, theme=t))


def floors_chart(
    new: Path, floors: pd.DataFrame, metrics: Mapping[str, Any], clean: Mapping[str, Any] | None
) -> Chart:
    """Write floors.png; the model's accuracy among the floors."""
    accuracy, of_clean = metrics["accuracy"], clean["accuracy"] if clean else None
    chart = _chart("Floors", lambda theme: draw_floors(floors, accuracy, of_clean, theme=theme))
    write_atomic(new / "floors.png", chart.light)
    return chart


def decisions_chart(new: Path, predictions: Predictions, decisions: Decisions) -> Chart:
    """Write decisions.png; errors by share answered, and the threshold for any tumor."""
    chart = _chart("Decisions", lambda t: draw_decisions(predictions, decisions, theme=t))
    write_atomic(new / "decisions.png", chart.light)
    return chart


_ALT = {
    "Decisions": "Errors by the share of images answered, and sensitivity and specificity of the "
    "tumor call by its threshold; figures in the table.",
    "Floors": "Accuracy of the model and of simple rules, a bar each; figures in the table.",
    "ROC": "Sensitivity against false positive rate, a curve a class; areas in the table above.",
    "Precision and recall": "Precision against recall, a curve a class.",
    "Calibration": "Share of right answers against the probability that the model gave.",
    "Loss and accuracy over the epochs": "Loss and accuracy of training and validation by epoch.",
}


def _chart(title: str, draw: Callable[[Theme], Figure]) -> Chart:
    light, dark = (to_png(draw(theme), theme) for theme in (LIGHT, DARK))
    return Chart(title, _ALT[title], light, dark)


def picture_chart(title: str, path: Path) -> Chart:
    """A PNG file as it is."""
    return Chart(title, title, path.read_bytes())


def write_examples(
    new: Path,
    predictions: Predictions,
    images: np.ndarray | None,
    heatmaps: Mapping[int, np.ndarray],
    count: int | None,
) -> list[Example]:
    """Write examples.png and cam/; return `count` examples for the report, in the order shown.

    count: None shows those that have a heat map, or where there are none a usual number.
    """
    if images is None:
        return []
    indices = choose_examples(predictions, _EXAMPLES if count is None else count)
    if heatmaps and count is None:
        indices = list(heatmaps)
    confidence = predictions.probs.max(axis=1)
    indices = sorted(indices, key=lambda i: -confidence[i])
    figure = draw_examples(predictions, images, indices, heatmaps)
    write_atomic(new / "examples.png", to_png(figure))
    overlays = {i: overlay(images[i], heatmap) for i, heatmap in heatmaps.items()}
    for i, picture in overlays.items():
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", compress_level=PNG_EFFORT)
        # The index and nothing of the class or file: those names belong to strangers.
        write_atomic(new / "cam" / f"{i:05d}.png", buffer.getvalue())
    return [Example(i, images[i], overlays.get(i)) for i in indices]
