"""report.html: one file that needs nothing else, on screen, on a phone, in the dark, on paper.

It loads nothing and runs one script, our own, whose hash its policy names; without it the page
still reads well. Names come from strangers' files, so Jinja2 escapes every value, and the data
of the script are JSON in which no tag can end. Only our own style sheets and script go in as
they are.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import yaml
from markupsafe import Markup

from braintumor.evaluation.assess import Assessment
from braintumor.evaluation.patients import about_intervals, about_patients
from braintumor.records import Predictions
from braintumor.report import headline as verdict
from braintumor.report import tables
from braintumor.report.calibration_section import calibration_of_page
from braintumor.report.checklist import checklists, checks_of_page
from braintumor.report.decision_section import decisions_of_page, only_clean
from braintumor.report.gallery import Example, browser_data, examples_of_page
from braintumor.report.inline import Chart, inlined_chart
from braintumor.report.leakage_section import leakage_section
from braintumor.report.model_card import limits, model_card_section
from braintumor.report.plots.style import elide
from braintumor.report.template import FOLDER, environment, policy_hash
from braintumor.report.thumbnails import MOST
from braintumor.statistics.metrics import classification_report

if TYPE_CHECKING:
    from braintumor.statistics.decisions import Decided

# M images evaluated, S image size px

_STYLES = ("report.css", "pictures.css")
_ROOM = 4_700_000  # characters of a page that mails and opens well, but for its rows of text
_LEAST_ROOM = 500_000  # that its pictures have whatever the charts take
_CHARTS = ("performance", "floors", "decisions", "training", "data")
_KNOWN = ("model_name", "data_name", "created", "command", "settings", "environment")
_CARD = (
    ("Model", "model"),
    ("Intended use", "intended"),
    ("Trained on", "data"),
    ("Division of the data", "split"),
    ("Images", "counts"),
    ("Input", "preprocessing"),
    ("Output", "output"),
    ("Training", "training"),
    ("Chosen by", "choice"),
    ("Evaluated on", "evaluated"),
    ("Result", "result"),
)


def render_report(
    predictions: Predictions,
    metrics: Mapping[str, Any],
    trust: Assessment,
    *,
    split: str,
    about: Mapping[str, Any],
    charts: Mapping[str, Sequence[Chart]],
    examples: Sequence[Example],
    images: np.ndarray | None = None,
    heatmaps: Mapping[int, np.ndarray] | None = None,
    decided: Decided | None = None,
    decisions: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
    trust_checks: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The page as text.

    metrics: what compute_metrics says of these predictions; an interval stands beside its
        figure as "accuracy_ci": (low, high).
    about: see evidence.write_evidence; its "heat maps" is what eval.cam said.
    trust: what assess.assess says of them.
    charts: pictures of the sections "performance", "floors", "decisions", "training" and
        "data"; any may be missing.
    images: uint8 (M, S, S[, 3]), row i that of prediction i, for the pictures of all rows.
    heatmaps: index -> float (S, S) in [0, 1], to lay over them.
    decided, decisions: what decisions.decide and decision_summary say of these predictions.
    calibration: what calibration.calibration_summary says.
    trust_checks: name -> {"value", "meaning"}, what the checks of the heat maps gave.
    """
    errors = int((predictions.predicted != predictions.labels).sum())
    css = "".join((FOLDER / name).read_text(encoding="utf-8") for name in _STYLES)
    script = (FOLDER / "report.js").read_text(encoding="utf-8")
    model, data = (str(about.get(key) or "") for key in ("model_name", "data_name"))
    truth = leakage_section(metrics, trust)
    clean = trust.clean["n"] if trust.clean else None
    drawn = {name: [inlined_chart(chart) for chart in charts.get(name, ())] for name in _CHARTS}
    wrong, right = examples_of_page(predictions, examples)
    shown = [*wrong, *right]
    facts = model_card_section(
        predictions, metrics, trust, about, split=split, decisions=decisions,
        has_explanations=bool(heatmaps) or bool(trust_checks),
    )  # fmt: skip
    browser = browser_data(
        predictions, images, heatmaps or {}, is_known=trust.contaminated, decided=decided,
        shown=[example["index"] for example in shown], budget=_room(drawn, shown),
    )  # fmt: skip
    return _template().render(
        css=Markup(css),  # noqa: S704 (our own file)
        css_hash=policy_hash(css),
        script=Markup(script),  # noqa: S704 (our own file)
        script_hash=policy_hash(script),
        model=model or "The model",
        data=data or "the data",
        split=split,
        created=about.get("created"),
        n=len(predictions),
        errors=errors,
        headline=verdict.headline(predictions, metrics, split, elide(data) or "the data"),
        findings=[*([truth["above"]] if truth["above"] else []),
                  *verdict.findings(predictions, metrics)],
        cautions=[
            *verdict.cautions(split, len(predictions), trust.count),
            *filter(None, [about_patients(trust.patients)]),
        ],
        truth=truth,
        accuracy=verdict.percent(metrics["accuracy"]),
        accuracy_width=tables.width(metrics["accuracy"]),
        groups=metrics.get("groups"),
        units=trust.patients.units,
        narrow=about_intervals(trust.patients),
        tiles=tables.tiles(metrics, errors),
        columns=tables.columns(metrics["per_class"]),
        class_rows=tables.class_rows(metrics["per_class"]),
        confusion=tables.confusion(predictions),
        classes=predictions.classes,
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
        is_attention=about.get("heat maps") == "attention",
        browser=browser,
        thumbnails_note=_about_thumbnails(browser["thumbs"]),
        calibration=calibration_of_page(calibration),
        calibrated_on=only_clean(trust.count, clean) if trust.count and clean else "",
        decisions=decisions_of_page(
            decisions, split, trust.count, clean,
            patients=trust.patients, is_refit=_is_refit(about),
        ),
        checks=checks_of_page(trust_checks),
        card=[(name, facts[key]) for name, key in _CARD if key in facts],
        limits=limits(trust, split),
        checklists=checklists(facts),
        report=classification_report(predictions),
        command=_command(about),
        settings=_yaml(about.get("settings")),
        facts=_yaml({key: value for key, value in about.items() if key not in _KNOWN}),
        environment=_yaml(about.get("environment")),
    )  # fmt: skip


def _is_refit(about: Mapping[str, Any]) -> bool:
    settings = about.get("settings") or {}
    return bool((settings.get("train") or {}).get("refit"))


def _template() -> jinja2.Template:
    jinja = environment()
    # no spaces: 20,000 rows
    jinja.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":")}
    return jinja.get_template("report.html.j2")


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


def _command(about: Mapping[str, Any]) -> str:
    command = about.get("command") or (about.get("environment") or {}).get("command") or ""
    return command if isinstance(command, str) else shlex.join(str(part) for part in command)


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
