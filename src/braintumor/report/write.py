"""Everything that one evaluation leaves behind: the folder eval/<split>/ of a run, and its page.

report.html is one file that needs nothing else, on screen, on a phone, in the dark, on paper. It
loads nothing and runs one script, our own, whose hash its policy names; without it the page still
reads well. Names come from strangers' files, so Jinja2 escapes every value, and the data of the
script are JSON in which no tag can end.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from braintumor.evaluation.provenance import about_fit, about_intervals, about_training
from braintumor.evaluation.quote import FEW, about_means
from braintumor.evaluation.record import Evaluation
from braintumor.files import MARKER, remove_if_empty, temporary_folder, write_atomic, write_json
from braintumor.progress import waiting
from braintumor.quoting import shell_line
from braintumor.report import figures, verdict
from braintumor.report.errors import write_errors
from braintumor.report.gallery import MOST, browser_data, examples_section, shown_examples
from braintumor.report.model_card import checklists, known_facts
from braintumor.report.page import Chart, draw_chart, environment
from braintumor.report.plots.decisions import draw_calibration, draw_decisions
from braintumor.report.plots.performance import (
    draw_baselines,
    draw_confusion_matrix,
    draw_curves,
    draw_precision_recall,
    draw_roc,
)
from braintumor.report.plots.pictures import draw_examples, is_coarse, overlay
from braintumor.report.plots.style import about_numbers, png_of, to_png
from braintumor.report.texts import percent
from braintumor.runs.kinds import EVALUATION, EvaluationFile, overlay_file
from braintumor.runs.ownership import mark, remove_own
from braintumor.runs.predictions_table import write_predictions
from braintumor.statistics.confidence import BINS, CERTAINTY
from braintumor.statistics.decisions import columns_of
from braintumor.statistics.metrics import classification_report, confusion_matrix, means_over

_ROOM = 4_700_000  # characters of a page that mails and opens well, but for its rows of text
_LEAST_ROOM = 500_000  # that its pictures have whatever the charts take
_CHARTS = ("performance", "calibration", "decisions", "training", "data")
_ALT = {
    "Decisions": "Errors by the share of images answered, and sensitivity and specificity of the "
    "tumor call by its threshold; figures in the table.",
    "ROC": "Sensitivity against false positive rate, a curve a class; areas in the table above.",
    "Precision and recall": "Precision against recall, a curve a class.",
    "Calibration": "Share of right answers against the probability that the model gave.",
    "Loss and accuracy over the epochs": "Loss and accuracy of training and validation by epoch.",
}


@waiting("drawing the report")
def write(evaluation: Evaluation, folder: Path) -> None:
    """Write figures, tables, pictures and the page of an evaluation.

    The folder appears whole or not at all; of an older one our own files go, others stay.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = temporary_folder(folder)
    try:
        write_json(new / EvaluationFile.METRICS, evaluation.to_dict())
        _write_tables(new, evaluation)
        write_errors(new, evaluation)
        charts = draw_charts(evaluation)
        _write_pictures(new, evaluation, charts)
        write_atomic(new / EvaluationFile.REPORT, render(evaluation, charts))
        _swap(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _write_tables(new: Path, evaluation: Evaluation) -> None:
    predictions, trust = evaluation.predictions, evaluation.assessment
    write_atomic(new / EvaluationFile.CLASSIFICATION_REPORT, classification_report(predictions))
    names = list(predictions.classes)
    matrix = pd.DataFrame(confusion_matrix(predictions), index=names, columns=names)
    write_atomic(new / EvaluationFile.CONFUSION_MATRIX, str(matrix.to_csv(index_label="true")))
    decided = evaluation.decided
    more = columns_of(predictions.classes, decided) if decided else {}
    write_predictions(new, predictions, evaluation.assessment.contaminated, more)
    for name, table, of in (
        (EvaluationFile.BASELINES, trust.baselines, "floor"),
        (EvaluationFile.BASELINE_ANSWERS, trust.baseline_answers, "path"),
    ):
        if table is not None:
            write_atomic(new / name, str(table.to_csv(index_label=of)))


def _write_pictures(folder: Path, evaluation: Evaluation, charts: dict[str, list[Chart]]) -> None:
    """The charts, the confusion matrix, the examples and cam/."""
    for chart in (chart for group in charts.values() for chart in group):
        if chart.file:
            write_atomic(folder / chart.file, chart.png)
    predictions, heatmaps = evaluation.predictions, evaluation.explanations.heatmaps
    figure = draw_confusion_matrix(confusion_matrix(predictions), predictions.classes)
    write_atomic(folder / EvaluationFile.CONFUSION_MATRIX_PICTURE, to_png(figure))
    trust = evaluation.assessment
    if trust.baselines is not None:
        clean = trust.clean["accuracy"] if trust.clean else None
        figure = draw_baselines(trust.baselines, evaluation.metrics["accuracy"], clean)
        write_atomic(folder / EvaluationFile.BASELINES_PICTURE, to_png(figure))
    images = evaluation.images
    if images is None:
        return
    figure = draw_examples(predictions, images, shown_examples(evaluation), heatmaps)
    write_atomic(folder / EvaluationFile.EXAMPLES, to_png(figure))
    for i, heatmap in heatmaps.items():
        write_atomic(folder / overlay_file(i), png_of(overlay(images[i], heatmap)))


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


def render(evaluation: Evaluation, charts: Mapping[str, Sequence[Chart]] | None = None) -> str:
    """The page as text. charts: what draw_charts gives, which is done here where they are None."""
    metrics, trust, about = evaluation.metrics, evaluation.assessment, evaluation.provenance
    drawn = draw_charts(evaluation) if charts is None else charts
    charts = {name: drawn.get(name, ()) for name in _CHARTS}
    wrong, right = examples_section(evaluation)
    shown = [*wrong, *right]
    indices = [example["index"] for example in shown]
    browser = browser_data(evaluation, indices, _room(charts, shown))
    cells = next((m.shape for m in evaluation.explanations.heatmaps.values()), ())
    facts, errors = known_facts(evaluation), int((~evaluation.is_right).sum())
    commands = [c if isinstance(c, str) else shell_line(c) for c in (about.command, *about.longer)]
    jinja = environment()
    # no spaces: 20,000 rows
    jinja.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":")}
    return jinja.get_template("report.html.j2").render(
        vars(evaluation),
        model=about.model_name or "The model",
        data=about.data_name or "the data",
        n=len(evaluation.predictions),
        cells=cells,
        is_coarse=is_coarse(cells),
        errors=errors,
        chance_loss=float(np.log(len(evaluation.predictions.classes))),
        headline=verdict.headline(evaluation),
        findings=verdict.findings(evaluation),
        cautions=verdict.cautions(evaluation),
        trust=trust,
        quote=evaluation.quote,
        about_training=about_training(trust.patients),
        clean_means=about_means(trust.clean) if trust.clean and trust.count else "",
        few_images=FEW,
        leaves_more=verdict.leaves_more(evaluation),
        floors=verdict.floors(evaluation),
        known=trust.count,
        narrow=about_intervals(trust.patients),
        means_over=means_over(metrics["per_class"]),
        confusion=figures.confusion(evaluation.predictions),
        classes=evaluation.predictions.classes,
        charts=charts,
        numbers=about_numbers(evaluation.predictions.classes),
        wrong=wrong,
        right=right,
        has_overlays=any(example["overlay"] for example in shown),
        browser=browser,
        most_thumbnails=MOST,
        bins=BINS,
        decision_rows=figures.decision_rows(evaluation.decision_summary, trust.patients.unit),
        about_fit=about_fit(trust.patients),
        certainty=percent(CERTAINTY).replace(".0", ""),
        checks=figures.check_rows(evaluation.explanations.checks),
        known_facts=facts,
        checklists=checklists(facts),
        report=classification_report(evaluation.predictions),
        command="\n".join(commands),
        settings=_yaml(about.settings),
        facts=_yaml(_shown_facts(evaluation)),
        environment=_yaml(about.environment),
    )  # fmt: skip


def draw_charts(evaluation: Evaluation) -> dict[str, list[Chart]]:
    """Section of the page -> its charts."""
    predictions, about = evaluation.predictions, evaluation.provenance
    charts: dict[str, list[Chart]] = {name: [] for name in _CHARTS}

    def add(section: str, title: str, file: str | None, figure: Figure) -> None:
        charts[section].append(draw_chart(title, _ALT[title], figure, file))

    add("performance", "ROC", EvaluationFile.ROC, draw_roc(predictions))
    pr_file = EvaluationFile.PRECISION_RECALL
    add("performance", "Precision and recall", pr_file, draw_precision_recall(predictions))
    unseen = predictions.subset(evaluation.unseen)  # as the table of calibration
    add("calibration", "Calibration", EvaluationFile.CALIBRATION, draw_calibration(unseen))
    if evaluation.decisions:
        file = EvaluationFile.DECISIONS
        add("decisions", "Decisions", file, draw_decisions(unseen, evaluation.decisions))
    if about.history is not None and not about.history.empty:
        add("training", "Loss and accuracy over the epochs", None, draw_curves(about.history))
    for title, path in about.pictures.items():
        charts["data"].append(Chart(title, title, path.read_bytes()))
    return charts


def _room(charts: Mapping[str, Sequence[Chart]], shown: Sequence[Any]) -> int:
    """Characters that are left for the pictures of the browser."""
    drawn = sum(len(chart.source) for group in charts.values() for chart in group)
    pictured = sum(len(e["image"]) + len(e["overlay"] or "") for e in shown)
    return max(_ROOM - drawn - pictured, _LEAST_ROOM)


def _shown_facts(evaluation: Evaluation) -> dict[str, Any]:
    about, explained = evaluation.provenance, evaluation.explanations
    facts = {
        "run": about.run,
        "best epoch": about.best_epoch,
        "trained on": about.trained_on,
        "parameters": about.parameters,
        "images": about.images,
        "folds": about.folds,
        "seed": about.seed,
        "heat maps": explained.method if explained.heatmaps else None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _yaml(value: Mapping[str, Any]) -> str:
    if not value:
        return ""
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=88)).rstrip()
