"""Everything that one evaluation leaves behind: the folder eval/<split>/ of a run."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from braintumor.evaluation.metrics import classification_report, compute_metrics, confusion_matrix
from braintumor.evaluation.plots.calibration import draw_calibration
from braintumor.evaluation.plots.confusion_matrix import draw_confusion_matrix
from braintumor.evaluation.plots.curves import draw_curves
from braintumor.evaluation.plots.examples import choose_examples, draw_examples
from braintumor.evaluation.plots.overlay import overlay
from braintumor.evaluation.plots.precision_recall import draw_precision_recall
from braintumor.evaluation.plots.roc import draw_roc
from braintumor.evaluation.plots.style import DARK, LIGHT, Theme, to_png
from braintumor.evaluation.report.render import Chart, Example, render_report
from braintumor.files import write_atomic, write_json
from braintumor.records import Predictions

# N images, S image size px, K classes

_EXAMPLES = 16  # shown when no heat maps say which
_FILES = (
    "metrics.json", "classification_report.txt", "confusion_matrix.csv", "confusion_matrix.png",
    "predictions.csv", "roc.png", "pr.png", "calibration.png", "examples.png", "report.html", "cam",
)  # fmt: skip


def write_evidence(
    folder: Path,
    predictions: Predictions,
    *,
    split: str,
    about: Mapping[str, Any],
    images: np.ndarray | None,
    heatmaps: Mapping[int, np.ndarray],
    history: pd.DataFrame | None,
    pictures: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """Write the whole evaluation to `folder` and return the content of metrics.json.

    about: model_name, data_name, created, command (text or list), settings and environment
        (mappings), each of which may be missing; any other key is shown as it is.
    images: uint8 (N, S, S) or (N, S, S, 3), row i that of prediction i; without them there are
        no examples and no overlays.
    heatmaps: index -> float (S, S) in [0, 1]. The report shows these very images; where there is
        none it shows those that `plots.examples.choose_examples` names.
    history: metrics.csv as a table, for the curves.
    pictures: title -> PNG file to show in the report, such as the class balance.
    The folder appears whole or not at all; of an older one our own files go, others stay.
    Undefined figures are NaN in what is returned and null in the file.
    """
    metrics = compute_metrics(predictions)
    content = {"split": split, "n": len(predictions), "all": metrics, "clean": None}
    matrix = confusion_matrix(predictions)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        write_json(new / "metrics.json", content)
        _write_text(new / "classification_report.txt", classification_report(predictions))
        _write_text(new / "confusion_matrix.csv", _matrix_csv(matrix, predictions.classes))
        _write_text(new / "predictions.csv", _predictions_csv(predictions))
        performance = _draw_performance(new, predictions, matrix)
        examples = _write_examples(new, predictions, images, heatmaps)
        charts = {
            "performance": performance,
            "training": [] if history is None or history.empty else [_curves(history)],
            "data": [_picture(title, path) for title, path in (pictures or {}).items()],
        }
        page = render_report(
            predictions, metrics, split=split, about=about, charts=charts, examples=examples
        )
        _write_text(new / "report.html", page)
        _swap(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return content


def _write_text(path: Path, text: str) -> None:
    # A file name that is no valid UTF-8 comes here with surrogates, which cannot be encoded.
    write_atomic(path, text.encode("utf-8", "backslashreplace"))


def _matrix_csv(matrix: np.ndarray, classes: Sequence[str]) -> str:
    table = pd.DataFrame(matrix, index=list(classes), columns=list(classes))
    return str(table.to_csv(index_label="true"))


def _predictions_csv(predictions: Predictions) -> str:
    names = np.asarray(predictions.classes, dtype=object)
    probs = [f"prob_{name}" for name in predictions.classes]
    table = pd.DataFrame(predictions.probs, columns=probs)
    table.insert(0, "path", list(predictions.paths))
    table.insert(1, "true", names[predictions.labels])
    table.insert(2, "pred", names[predictions.predicted])
    return str(table.to_csv(index=False, float_format="%.9g"))  # 9 digits keep a float32 exact


def _draw_performance(new: Path, predictions: Predictions, matrix: np.ndarray) -> list[Chart]:
    """Write the four pictures of performance; return those that the report shows as pictures."""
    figure = draw_confusion_matrix(matrix, predictions.classes)
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


def _curves(history: pd.DataFrame) -> Chart:
    return _chart("Loss and accuracy over the epochs", lambda t: draw_curves(history, theme=t))


_ALT = {
    "ROC": "Sensitivity against false positive rate, a curve a class; areas in the table above.",
    "Precision and recall": "Precision against recall, a curve a class.",
    "Calibration": "Share of right answers against the probability that the model gave.",
    "Loss and accuracy over the epochs": "Loss and accuracy of training and validation by epoch.",
}


def _chart(title: str, draw: Callable[[Theme], Figure]) -> Chart:
    light, dark = (to_png(draw(theme), theme) for theme in (LIGHT, DARK))
    return Chart(title, _ALT[title], light, dark)


def _picture(title: str, path: Path) -> Chart:
    return Chart(title, title, path.read_bytes())


def _write_examples(
    new: Path,
    predictions: Predictions,
    images: np.ndarray | None,
    heatmaps: Mapping[int, np.ndarray],
) -> list[Example]:
    """Write examples.png and cam/; return the examples for the report, in the order shown."""
    if images is None:
        return []
    indices = choose_examples(predictions, _EXAMPLES)
    if heatmaps:
        confidence = predictions.probs.max(axis=1)
        indices = sorted(heatmaps, key=lambda i: -confidence[i])
    figure = draw_examples(predictions, images, indices, heatmaps)
    write_atomic(new / "examples.png", to_png(figure))
    overlays = {i: overlay(images[i], heatmap) for i, heatmap in heatmaps.items()}
    for i, picture in overlays.items():
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        # The index and nothing of the class or file: those names belong to strangers.
        write_atomic(new / "cam" / f"{i:05d}.png", buffer.getvalue())
    return [Example(i, images[i], overlays.get(i)) for i in indices]


def _swap(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`, and move into it what in the old one is not ours."""
    new.chmod(0o777 & ~_umask())
    if not folder.exists():
        new.replace(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    folder.replace(old)
    new.replace(folder)
    for entry in old.iterdir():
        if entry.name not in _FILES:
            entry.replace(folder / entry.name)
    shutil.rmtree(old)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
