"""Decisions as the rows and sentences of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from braintumor.evaluation.provenance import KnownPatients, about_fit
from braintumor.evaluation.record import Evaluation
from braintumor.report.figures import defined_pair, is_defined, number, percent, percents
from braintumor.report.plots.style import elide
from braintumor.statistics.confidence import CERTAINTY

_Make = Callable[[Mapping[str, Any]], dict[str, Any]]
_CERTAINTY = percent(CERTAINTY).replace(".0", "")


def decisions_section(evaluation: Evaluation) -> dict[str, Any] | None:
    """The sentences on what they were fitted on, and parts {title, said, rows}, those there are.

    Any block of the decision summary may be missing or None.
    """
    summary, patients = evaluation.decision_summary, evaluation.assessment.patients
    if not summary:
        return None
    makers: dict[str, _Make] = {
        "tumor_call": _tumor_call, "sets": partial(_sets, patients), "abstention": _abstention,
        "foreign": _foreign, "turned": _upside_down,
    }  # fmt: skip
    parts = [make(summary[key]) for key, make in makers.items() if summary.get(key)]
    said = [*_fitted(summary, evaluation), about_fit(patients)]
    return {"fitted": [*filter(None, said)], "parts": parts}


def only_clean(evaluation: Evaluation) -> str:
    """Which images a section is of, where some are known from training; else empty."""
    trust = evaluation.assessment
    if not trust.count or trust.clean is None:
        return ""
    return (
        f"{trust.count:,} of the images evaluated here, or copies of them, were in training or "
        f"validation; this section is of the other {trust.clean['n']:,}."
    )


def _fitted(summary: Mapping[str, Any], evaluation: Evaluation) -> list[str]:
    on, known = summary["fitted_on"], evaluation.assessment.count
    counted = f"({on['n']:,} images, {on['groups']:,} groups)"
    said = [
        f"Fitted on validation images alone {counted}, on which the kept epoch was chosen too. "
        "Each threshold was chosen to reach its target there; on new images it may miss it. "
        "Compare the figures below with the targets."
    ]
    if evaluation.provenance.is_refit:
        said.append(
            "The model was trained again after that, on validation images too (train.refit); the "
            "thresholds are those of the model before, so that no guarantee holds for this one."
        )
    if evaluation.split in ("train", "val") or (known and evaluation.assessment.clean is None):
        said.append(
            "The images evaluated here, or copies of them, had a part in the training or the fit: "
            "the figures of this section are better than those of new images."
        )
    elif known is None:
        said.append("Whether training or validation held the images was not examined.")
    else:
        said.append(only_clean(evaluation))
    return said


def _tumor_call(block: Mapping[str, Any]) -> dict[str, Any]:
    target = percent(block.get("target"))
    said = "An image is called tumor when the summed probability of all tumor classes is at least "
    said += f"{_short(block.get('threshold'))}, chosen for a sensitivity of {target} on "
    said += "validation. The confusion matrix takes the most probable class instead; the two can "
    said += "differ for an image."
    whose = "stated" if block.get("prevalence_is_stated") else (
        "as in these images; in a clinic it is usually far lower, and PPV falls with it"
    )  # fmt: skip
    said += f" PPV and NPV hold at a prevalence of {percent(block.get('prevalence'))} ({whose})."
    rows = [
        _row(block, "sensitivity", "Sensitivity",
             f"tumor images called tumor, n = {_n(block, 'n_tumor')}; target {target}"
             + _missed(block, "sensitivity", block.get("target"))),
        _row(block, "specificity", "Specificity",
             f"images without a tumor called no tumor, n = {_n(block, 'n_no_tumor')}"),
        _row(block, "ppv", "PPV", "images called tumor that show one"),
        _row(block, "npv", "NPV", "images called no tumor that show none"),
    ]  # fmt: skip
    return {"title": "Tumor or not", "said": said, "rows": rows}


def _sets(patients: KnownPatients, block: Mapping[str, Any]) -> dict[str, Any]:
    target = percent(block.get("target"))
    new, several = "a new image", "images"
    if patients.are_known_of_training:
        new, several = "an image of a new patient", "patients"
    said = f"For {new} (or set of copies) the set holds the true class with a probability of "
    said += f"{target}, if new {several} are like those of validation. One class: a "
    said += "definite answer. Several: the model cannot decide between them. None: no class is "
    said += "probable enough; a person should look."
    hint = f"sets with the true class, every {patients.unit} counted once, n = "
    hint += f"{_n(block, 'groups')}; target {target}"
    hint += _missed(block, "coverage_groups", block.get("target"))
    rows = [
        _row(block, "coverage_groups", "Coverage", hint),
        _row(block, "coverage", "Coverage of images",
             f"sets with the true class, n = {_n(block, 'n')}"),
        _row(block, "singletons", "One class", "share of images"),
        _row(block, "empty", "No class", "share of images"),
        {"name": "Mean size", "value": _short(block.get("mean_size"), ".2f"), "interval": "",
         "hint": "classes in a set"},
    ]  # fmt: skip
    for name, row in (block.get("per_class") or {}).items():
        hint = f"sets of its images with the true class, n = {_n(row, 'n')}"
        rows.append(_row(row, "coverage", f"Coverage of {elide(name)}", hint))
    return {"title": "Conformal prediction sets", "said": said, "rows": rows}


def _abstention(block: Mapping[str, Any]) -> dict[str, Any]:
    fitted, rows = block["fitted"], []
    target = percent(fitted.get("target"))
    if fitted.get("confidence") is not None:
        said = "An image is answered where its highest probability is at least "
        said += f"{_short(fitted['confidence'])}; the others are left to a person. Chosen on "
        said += f"validation so that, with {_CERTAINTY} certainty, at most {target} of the answers "
        said += "are wrong. The rows below tell what other shares would give."
        among = f"wrong ones of the {_n(fitted, 'n')} answers given; target {target} at most"
        among += _missed(fitted, "risk", fitted.get("target"), at_most=True)
        rows = [
            _row(fitted, "share", "Answered", "share of images"),
            _row(fitted, "risk", "Wrong answers", among),
        ]
    else:
        said = "No threshold was fitted: at no confidence could validation show that at most "
        said += f"{target} of the answers are wrong. Every image is answered. The rows show what "
        said += "leaving the least confident images to a person would give."
    rows += [
        _row(row, "accuracy", f"{row.get('share', 1):.0%} answered".replace("%", " %"),
             f"accuracy of the {_n(row, 'n')} most confident images")
        for row in block.get("kept") or ()
    ]  # fmt: skip
    area = {"name": "AURC", "value": number(block.get("aurc")), "interval": "",
            "hint": "mean error over all such shares; 0 is best"}  # fmt: skip
    return {"title": "Abstention", "said": said, "rows": [*rows, area]}


def _foreign(block: Mapping[str, Any]) -> dict[str, Any]:
    said = "Images unlike those of training are flagged; do not use the model's answer for them. "
    said += "How many foreign images it finds is not measured here: all of these are slices."
    return _flagged(block, "Foreign images", said)


def _upside_down(block: Mapping[str, Any]) -> dict[str, Any]:
    said = "Slices that look upside down, as some viewers export them. About half of such slices "
    said += "are found. A share far above the target means that many images may be turned."
    return _flagged(block, "Upside-down slices", said)


def _flagged(block: Mapping[str, Any], title: str, said: str) -> dict[str, Any]:
    hint = f"of images like those of validation about {percent(block.get('target'))} at most, "
    hint += f"n = {_n(block, 'n')}"
    return {"title": title, "said": said, "rows": [_row(block, "share", "Flagged", hint)]}


def _missed(
    block: Mapping[str, Any], key: str, target: float | None, *, at_most: bool = False
) -> str:
    """What to add where the interval lies on the wrong side of the target."""
    pair = defined_pair(block, key)
    if target is None or pair is None:
        return ""
    return ": missed" if (pair[0] > target if at_most else pair[1] < target) else ""


def _row(block: Mapping[str, Any], key: str, name: str, hint: str) -> dict[str, str]:
    pair = defined_pair(block, key)
    text = percents(pair) if pair else ""
    return {"name": name, "value": percent(block.get(key)), "interval": text, "hint": hint}


def _short(value: float | None, digits: str = ".3g") -> str:
    """A threshold, as the pictures show it."""
    return format(value, digits) if value is not None and is_defined(value) else "–"


def _n(block: Mapping[str, Any], key: str) -> str:
    return f"{block[key]:,}" if block.get(key) is not None else "–"
