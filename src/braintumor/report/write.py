"""Everything that one evaluation leaves behind: the folder eval/<split>/ of a run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.evaluation.assess import Assessment, assess, figures_with_intervals, subset
from braintumor.evaluation.patients import KnownPatients
from braintumor.files import MARKER, temporary_folder, write_atomic, write_json
from braintumor.records import Predictions
from braintumor.report.charts import (
    decisions_chart,
    draw_performance,
    floors_chart,
    history_chart,
    picture_chart,
    write_examples,
)
from braintumor.report.render import render_report
from braintumor.runs.folder import EVALUATION
from braintumor.runs.ownership import mark, remove_if_empty, remove_own
from braintumor.runs.predictions_table import write_predictions
from braintumor.statistics.calibration import calibration_summary
from braintumor.statistics.decision_summary import decision_summary
from braintumor.statistics.decisions import Decided, Decisions, columns_of, decide
from braintumor.statistics.metrics import classification_report, confusion_matrix

# M images, S image size px, K classes


def write_evaluation(
    folder: Path,
    predictions: Predictions,
    *,
    split: str,
    about: Mapping[str, Any],
    images: np.ndarray | None,
    heatmaps: Mapping[int, np.ndarray],
    history: pd.DataFrame | None,
    pictures: Mapping[str, Path] | None = None,
    contaminated: np.ndarray | None = None,
    patients: KnownPatients | None = None,
    floors: pd.DataFrame | None = None,
    shortcuts: Mapping[str, Predictions] | None = None,
    groups: np.ndarray | None = None,
    decisions: Decisions | None = None,
    outlier_scores: np.ndarray | None = None,
    turned_scores: np.ndarray | None = None,
    prevalence: float | None = None,
    checks: Mapping[str, Mapping[str, Any]] | None = None,
    examples: int | None = None,
) -> dict[str, Any]:
    """Write the whole evaluation to `folder` and return the content of metrics.json.

    about: model_name, data_name, created, command (text or list), settings and environment
        (mappings), heat maps (eval.cam), images (split -> count), each of which may be missing;
        any other key is shown as it is.
    images: uint8 (M, S, S) or (M, S, S, 3), row i that of prediction i; without them there are
        no examples and no overlays.
    heatmaps: index -> float (S, S) in [0, 1]. The report shows these very images; where there is
        none it shows those that `plots.examples.choose_examples` names.
    history: metrics.csv as a table, for the curves.
    pictures: title -> PNG file to show in the report, such as the class balance.
    contaminated: bool (M,), the model saw a copy of the image (or the patient) in training;
        None when that is not known.
    patients: what the data name of them; None: nothing.
    floors: what needs no model, as floors.measure_floors gives it.
    shortcuts: name -> predictions of the same images with a part of each blanked.
    groups: int (M,), images of one patient or copies of one picture share a number; intervals
        count groups. None: each image stands alone.
    decisions: of the checkpoint; their temperature must be that of the predictions.
    outlier_scores, turned_scores: float (M,), by the checkpoint's outliers and orientation.
    prevalence: for PPV and NPV.
    checks: of the heat maps, as cam.check_explanations gives them.
    examples: how many pictures to show; None: those that have a heat map.
    Calibration and decisions are measured on the images without a copy in training, where there
    are such and others.
    The folder appears whole or not at all; of an older one our own files go, others stay.
    Undefined figures are NaN in what is returned and null in the file.
    """
    metrics = figures_with_intervals(predictions, groups)
    trust = assess(predictions, contaminated, floors, shortcuts, groups, patients)
    scores = outlier_scores, turned_scores
    decided = decide(predictions, decisions, *scores) if decisions else None
    # what is known from training says nothing of a decision on new images
    new_images, new_groups, new_scores = _of_clean(predictions, trust, groups, scores)
    summary = calibration = None
    if decisions:
        called = decide(new_images, decisions, *new_scores)
        summary = decision_summary(new_images, decisions, called, new_groups, prevalence)
        calibration = calibration_summary(new_images)
    content = {
        "split": split,
        "n": len(predictions),
        "all": metrics,
        **_content(trust),
        "calibration": calibration,
        "decisions": summary,
        "explanations": checks,
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = temporary_folder(folder)
    try:
        write_json(new / "metrics.json", content)
        _write_tables(new, predictions, trust, decided)
        performance = draw_performance(new, predictions)
        shown = write_examples(new, predictions, images, heatmaps, examples)
        charts = {
            "performance": performance,
            "floors": [] if floors is None else [floors_chart(new, floors, metrics, trust.clean)],
            "decisions": [decisions_chart(new, new_images, decisions)] if decisions else [],
            "training": [] if history is None or history.empty else [history_chart(history)],
            "data": [picture_chart(title, path) for title, path in (pictures or {}).items()],
        }
        page = render_report(
            predictions, metrics, trust, split=split, about=about, charts=charts, examples=shown,
            images=images, heatmaps=heatmaps, decided=decided, decisions=summary,
            calibration=calibration, trust_checks=checks,
        )  # fmt: skip
        _write_text(new / "report.html", page)
        _swap(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return content


def _of_clean(
    predictions: Predictions,
    trust: Assessment,
    groups: np.ndarray | None,
    scores: tuple[np.ndarray | None, ...],
) -> tuple[Predictions, np.ndarray | None, tuple[np.ndarray | None, ...]]:
    """The same of the images without a copy in training, where there are both kinds."""
    if trust.contaminated is None or not trust.count or trust.clean is None:
        return predictions, groups, scores
    rows = ~trust.contaminated
    chosen = [None if of is None else of[rows] for of in (groups, *scores)]
    return subset(predictions, rows), chosen[0], tuple(chosen[1:])


def _content(trust: Assessment) -> dict[str, Any]:
    """What metrics.json says beside the figures over all images."""
    return {
        "clean": trust.clean,
        "contaminated": trust.count,
        "patients": {
            **asdict(trust.patients.evaluated),
            "compared_with_training": trust.patients.are_compared,
        },
        "floor": trust.best_baseline,
        "shortcuts": dict(trust.shortcuts) or None,
    }


def _write_tables(
    new: Path, predictions: Predictions, trust: Assessment, decided: Decided | None
) -> None:
    matrix = confusion_matrix(predictions)
    _write_text(new / "classification_report.txt", classification_report(predictions))
    _write_text(new / "confusion_matrix.csv", _matrix_csv(matrix, predictions.classes))
    more = columns_of(predictions.classes, decided) if decided else {}
    write_predictions(new, predictions, trust.contaminated, more)
    if trust.floors is not None:
        _write_text(
            new / "floors.csv",
            str(trust.floors.to_csv(index_label="floor")),
        )


def _write_text(path: Path, text: str) -> None:
    # A file name that is no valid UTF-8 comes here with surrogates, which cannot be encoded.
    write_atomic(path, text.encode("utf-8", "backslashreplace"))


def _matrix_csv(matrix: np.ndarray, classes: Sequence[str]) -> str:
    table = pd.DataFrame(matrix, index=list(classes), columns=list(classes))
    return str(table.to_csv(index_label="true"))


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
