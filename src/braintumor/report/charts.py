"""The pictures of an evaluation, for its page and its folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from braintumor.evaluation.record import Evaluation, subset
from braintumor.files import write_atomic
from braintumor.report.gallery import shown_examples
from braintumor.report.plots.decisions import draw_calibration, draw_decisions
from braintumor.report.plots.performance import (
    draw_baselines,
    draw_confusion_matrix,
    draw_precision_recall,
    draw_roc,
)
from braintumor.report.plots.pictures import draw_examples, overlay
from braintumor.report.plots.style import DARK, LIGHT, PNG_EFFORT, Theme, to_png
from braintumor.report.plots.training_curves import draw_curves
from braintumor.report.template import Chart
from braintumor.runs.folder import EvaluationFile, overlay_file
from braintumor.statistics.metrics import confusion_matrix

_ALT = {
    "Decisions": "Errors by the share of images answered, and sensitivity and specificity of the "
    "tumor call by its threshold; figures in the table.",
    "Floors": "Accuracy of the model and of simple rules, a bar each; figures in the table.",
    "ROC": "Sensitivity against false positive rate, a curve a class; areas in the table above.",
    "Precision and recall": "Precision against recall, a curve a class.",
    "Calibration": "Share of right answers against the probability that the model gave.",
    "Loss and accuracy over the epochs": "Loss and accuracy of training and validation by epoch.",
}


def draw_charts(evaluation: Evaluation) -> dict[str, list[Chart]]:
    """Section of the page -> its charts."""
    predictions, trust, about = evaluation.predictions, evaluation.assessment, evaluation.provenance
    charts: dict[str, list[Chart]] = {
        "performance": [
            _chart("ROC", lambda t: draw_roc(predictions, theme=t), EvaluationFile.ROC),
            _chart(
                "Precision and recall",
                lambda t: draw_precision_recall(predictions, theme=t),
                EvaluationFile.PRECISION_RECALL,
            ),
            _chart(
                "Calibration",
                lambda t: draw_calibration(predictions, theme=t),
                EvaluationFile.CALIBRATION,
            ),
        ],
        "data": [Chart(title, title, path.read_bytes()) for title, path in about.pictures.items()],
    }
    if (baselines := trust.baselines) is not None:
        clean = trust.clean["accuracy"] if trust.clean else None
        charts["floors"] = [
            _chart(
                "Floors",
                lambda t: draw_baselines(baselines, evaluation.metrics["accuracy"], clean, theme=t),
                EvaluationFile.BASELINES_PICTURE,
            )
        ]
    if decisions := evaluation.decisions:
        unseen = subset(predictions, evaluation.unseen)
        charts["decisions"] = [
            _chart(
                "Decisions",
                lambda t: draw_decisions(unseen, decisions, theme=t),
                EvaluationFile.DECISIONS,
            )
        ]
    if (history := about.history) is not None and not history.empty:
        title = "Loss and accuracy over the epochs"
        charts["training"] = [_chart(title, lambda t: draw_curves(history, theme=t))]
    return charts


def _chart(title: str, draw: Callable[[Theme], Figure], file: str | None = None) -> Chart:
    light, dark = (to_png(draw(theme), theme) for theme in (LIGHT, DARK))
    return Chart(title, _ALT[title], light, dark, file)


def write_pictures(folder: Path, evaluation: Evaluation, charts: dict[str, list[Chart]]) -> None:
    """Write the charts, the confusion matrix, the examples and cam/."""
    for chart in (chart for group in charts.values() for chart in group):
        if chart.file:
            write_atomic(folder / chart.file, chart.light)
    predictions, heatmaps = evaluation.predictions, evaluation.explanations.heatmaps
    figure = draw_confusion_matrix(confusion_matrix(predictions), predictions.classes)
    write_atomic(folder / EvaluationFile.CONFUSION_MATRIX_PICTURE, to_png(figure))
    images = evaluation.images
    if images is None:
        return
    figure = draw_examples(predictions, images, shown_examples(evaluation), heatmaps)
    write_atomic(folder / EvaluationFile.EXAMPLES, to_png(figure))
    for i, heatmap in heatmaps.items():
        buffer = io.BytesIO()
        picture = Image.fromarray(overlay(images[i], heatmap))
        picture.save(buffer, "PNG", compress_level=PNG_EFFORT)
        write_atomic(folder / overlay_file(i), buffer.getvalue())
