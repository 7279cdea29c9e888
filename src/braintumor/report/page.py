"""report.html: one file that needs nothing else, on screen, on a phone, in the dark, on paper.

It loads nothing and runs one script, our own, whose hash its policy names; without it the page
still reads well. Names come from strangers' files, so Jinja2 escapes every value, and the data
of the script are JSON in which no tag can end. Only our own style sheets and script go in as
they are.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import yaml
from markupsafe import Markup
from matplotlib.figure import Figure

from braintumor.evaluation.provenance import about_intervals
from braintumor.evaluation.record import Evaluation
from braintumor.report import figures, verdict
from braintumor.report.decisions import decisions_section, only_clean
from braintumor.report.gallery import MOST, browser_data, examples_section
from braintumor.report.model_card import CARD, checklists, known_facts, limits
from braintumor.report.plots.decisions import draw_calibration, draw_decisions
from braintumor.report.plots.performance import draw_baselines, draw_precision_recall, draw_roc
from braintumor.report.plots.style import DARK, LIGHT, to_png
from braintumor.report.plots.training_curves import draw_curves
from braintumor.report.template import FOLDER, Chart, environment, inlined_chart, policy_hash
from braintumor.runs.folder import EvaluationFile
from braintumor.statistics.metrics import classification_report

_STYLES = ("report.css", "pictures.css")
_ROOM = 4_700_000  # characters of a page that mails and opens well, but for its rows of text
_LEAST_ROOM = 500_000  # that its pictures have whatever the charts take
_CHARTS = ("performance", "floors", "decisions", "training", "data")
_ALT = {
    "Decisions": "Errors by the share of images answered, and sensitivity and specificity of the "
    "tumor call by its threshold; figures in the table.",
    "Floors": "Accuracy of the model and of simple rules, a bar each; figures in the table.",
    "ROC": "Sensitivity against false positive rate, a curve a class; areas in the table above.",
    "Precision and recall": "Precision against recall, a curve a class.",
    "Calibration": "Share of right answers against the probability that the model gave.",
    "Loss and accuracy over the epochs": "Loss and accuracy of training and validation by epoch.",
}


def render(evaluation: Evaluation, charts: Mapping[str, Sequence[Chart]] | None = None) -> str:
    """The page as text. charts: what draw_charts gives, which is done here where they are None."""
    metrics, trust, about = evaluation.metrics, evaluation.assessment, evaluation.provenance
    charts = draw_charts(evaluation) if charts is None else charts
    css = "".join((FOLDER / name).read_text(encoding="utf-8") for name in _STYLES)
    script = (FOLDER / "report.js").read_text(encoding="utf-8")
    drawn = {name: [inlined_chart(chart) for chart in charts.get(name, ())] for name in _CHARTS}
    wrong, right = examples_section(evaluation)
    shown = [*wrong, *right]
    indices = [example["index"] for example in shown]
    browser = browser_data(evaluation, indices, _room(drawn, shown))
    facts, errors = known_facts(evaluation), int((~evaluation.is_right).sum())
    jinja = environment()
    # no spaces: 20,000 rows
    jinja.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":")}
    return jinja.get_template("report.html.j2").render(
        css=Markup(css),  # noqa: S704 (our own file)
        css_hash=policy_hash(css),
        script=Markup(script),  # noqa: S704 (our own file)
        script_hash=policy_hash(script),
        model=about.model_name or "The model",
        data=about.data_name or "the data",
        split=evaluation.split,
        created=about.created,
        n=len(evaluation.predictions),
        errors=errors,
        headline=verdict.headline(evaluation),
        findings=verdict.findings(evaluation),
        cautions=verdict.cautions(evaluation),
        leakage=verdict.leakage_section(evaluation),
        accuracy=figures.percent(metrics["accuracy"]),
        accuracy_width=figures.width(metrics["accuracy"]),
        groups=metrics.get("groups"),
        units=trust.patients.units,
        narrow=about_intervals(trust.patients),
        tiles=figures.tiles(metrics, errors),
        columns=[*figures.CLASS_COLUMNS.values()],
        class_rows=figures.class_rows(metrics["per_class"]),
        confusion=figures.confusion(evaluation),
        classes=evaluation.predictions.classes,
        charts=drawn,
        wrong=wrong,
        right=right,
        has={
            "overlays": any(example["overlay"] for example in shown),
            "known": browser["known"] is not None,
            "foreign": browser["foreign"] is not None,
            "answered": browser["answered"] is not None,
            "intervals": metrics.get("accuracy_ci") is not None,
        },
        is_attention=evaluation.explanations.are_of_attention,
        browser=browser,
        thumbnails_note=_about_thumbnails(browser["thumbs"]),
        calibration=figures.calibration_table(evaluation.calibration),
        calibrated_on=only_clean(evaluation),
        decisions=decisions_section(evaluation),
        checks=figures.check_rows(evaluation.explanations.checks),
        card=[(title, facts[name]) for name, title in CARD.items() if name in facts],
        limits=limits(evaluation),
        checklists=checklists(facts),
        report=classification_report(evaluation.predictions),
        command=about.command if isinstance(about.command, str) else shlex.join(about.command),
        settings=_yaml(about.settings),
        facts=_yaml(_shown_facts(evaluation)),
        environment=_yaml(about.environment),
    )  # fmt: skip


def draw_charts(evaluation: Evaluation) -> dict[str, list[Chart]]:
    """Section of the page -> its charts."""
    predictions, trust, about = evaluation.predictions, evaluation.assessment, evaluation.provenance
    charts: dict[str, list[Chart]] = {name: [] for name in _CHARTS}

    def add(section: str, title: str, file: str | None, draw: Callable[..., Figure]) -> None:
        light, dark = (to_png(draw(theme=theme), theme) for theme in (LIGHT, DARK))
        charts[section].append(Chart(title, _ALT[title], light, dark, file))

    roc, calibration = partial(draw_roc, predictions), partial(draw_calibration, predictions)
    curve = partial(draw_precision_recall, predictions)
    add("performance", "ROC", EvaluationFile.ROC, roc)
    add("performance", "Precision and recall", EvaluationFile.PRECISION_RECALL, curve)
    add("performance", "Calibration", EvaluationFile.CALIBRATION, calibration)
    if trust.baselines is not None:
        clean = trust.clean["accuracy"] if trust.clean else None
        bars = partial(draw_baselines, trust.baselines, evaluation.metrics["accuracy"], clean)
        add("floors", "Floors", EvaluationFile.BASELINES_PICTURE, bars)
    if evaluation.decisions:
        unseen = predictions.subset(evaluation.unseen)
        figure = partial(draw_decisions, unseen, evaluation.decisions)
        add("decisions", "Decisions", EvaluationFile.DECISIONS, figure)
    if about.history is not None and not about.history.empty:
        curves = partial(draw_curves, about.history)
        add("training", "Loss and accuracy over the epochs", None, curves)
    for title, path in about.pictures.items():
        charts["data"].append(Chart(title, title, path.read_bytes()))
    return charts


def _room(charts: Mapping[str, Sequence[Mapping[str, Any]]], shown: Sequence[Any]) -> int:
    """Characters that are left for the pictures of the browser."""
    drawn = sum(len(c["light"]) + len(c["dark"] or "") for group in charts.values() for c in group)
    pictured = sum(len(e["image"]) + len(e["overlay"] or "") for e in shown)
    return max(_ROOM - drawn - pictured, _LEAST_ROOM)


def _about_thumbnails(thumbnails: Sequence[str] | None) -> str:
    """A sentence where not every image has a picture on the page."""
    if thumbnails is None or all(thumbnails):
        return ""
    count = sum(map(bool, thumbnails))
    return (
        f"{count:,} of {len(thumbnails):,} images have a picture on this page, which holds at "
        f"most {MOST:,}: the wrong ones, the foreign ones and those the model was least sure of. "
        "All rows are listed."
    )


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


def _yaml(value: Any) -> str:
    if not value:
        return ""
    plain = _plain(value)
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=88)).rstrip()


def _plain(value: Any) -> Any:
    """Mappings, lists, numbers and texts only: what safe YAML can say."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, bool | int | float | str | None) else str(value)
