"""Everything that one evaluation leaves behind: the folder eval/<split>/ of a run."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pandas as pd
from PIL import Image

from braintumor.evaluation.record import Evaluation
from braintumor.files import MARKER, temporary_folder, write_atomic, write_json
from braintumor.report.gallery import shown_examples
from braintumor.report.page import draw_charts, render
from braintumor.report.plots.performance import draw_confusion_matrix
from braintumor.report.plots.pictures import draw_examples, overlay
from braintumor.report.plots.style import PNG_EFFORT, to_png
from braintumor.report.template import Chart
from braintumor.runs.folder import EVALUATION, EvaluationFile, overlay_file
from braintumor.runs.ownership import mark, remove_if_empty, remove_own
from braintumor.runs.predictions_table import write_predictions
from braintumor.statistics.decisions import columns_of
from braintumor.statistics.metrics import classification_report, confusion_matrix

# K classes


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write figures, tables, pictures and the page of an evaluation.

    The folder appears whole or not at all; of an older one our own files go, others stay.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = temporary_folder(folder)
    try:
        write_json(new / EvaluationFile.METRICS, evaluation.to_dict())
        _write_tables(new, evaluation)
        charts = draw_charts(evaluation)
        _write_pictures(new, evaluation, charts)
        write_atomic(new / EvaluationFile.REPORT, render(evaluation, charts))
        _swap(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _write_tables(new: Path, evaluation: Evaluation) -> None:
    predictions, baselines = evaluation.predictions, evaluation.assessment.baselines
    write_atomic(new / EvaluationFile.CLASSIFICATION_REPORT, classification_report(predictions))
    names = list(predictions.classes)
    matrix = pd.DataFrame(confusion_matrix(predictions), index=names, columns=names)
    write_atomic(new / EvaluationFile.CONFUSION_MATRIX, str(matrix.to_csv(index_label="true")))
    decided = evaluation.decided
    more = columns_of(predictions.classes, decided) if decided else {}
    write_predictions(new, predictions, evaluation.assessment.contaminated, more)
    if baselines is not None:
        write_atomic(new / EvaluationFile.BASELINES, str(baselines.to_csv(index_label="floor")))


def _write_pictures(folder: Path, evaluation: Evaluation, charts: dict[str, list[Chart]]) -> None:
    """The charts, the confusion matrix, the examples and cam/."""
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


def _swap(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`, and move into it what in the old one is not ours."""
    mark(new, EVALUATION)
    if not folder.exists():
        new.replace(folder)
        return
    old = temporary_folder(folder)
    folder.replace(old)
    new.replace(folder)
    remove_own(old, EVALUATION)
    (old / MARKER).unlink(missing_ok=True)
    _merge(old, folder)


def _merge(old: Path, folder: Path) -> None:
    """Move what is left in `old` into the folder, where nothing of that name is."""
    for entry in old.iterdir():
        target = folder / entry.name
        if entry.is_dir() and not entry.is_symlink() and target.is_dir():
            _merge(entry, target)
        elif not target.exists():
            entry.replace(target)
    remove_if_empty(old)
