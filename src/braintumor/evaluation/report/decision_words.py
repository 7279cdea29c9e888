"""Calibration, decisions and checks of heat maps, as the rows and sentences of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from braintumor.evaluation.plots.style import elide
from braintumor.evaluation.report import verdict
from braintumor.evaluation.report.tables import interval, is_defined, number

_CALIBRATION = (
    ("ece", "ECE", "mean gap between probability and share right, bins of equal width"),
    ("ece_mass", "ECE, equal mass", "the same with as many images in every bin"),
    ("brier", "Brier score", "squared error of the probabilities, 0 to 2"),
    ("loss", "Loss", "cross-entropy in nats"),
)

_TRIED = {
    True: "Tried here on images that had no part in it. The targets are promises for new images "
    "like those of validation; the intervals tell how far these images can confirm them.",
    False: "Where these images are among them, or were trained on, the figures tell what was asked "
    "for and not what new images will give.",
}
_CERTAINTY = "95\N{NO-BREAK SPACE}%"  # of abstention.fit_confidence
_CHECKS = {
    "ssim_head_random": "Likeness, last layers random",
    "ssim_all_random": "Likeness, all layers random",
    "deletion": "Deletion",
    "insertion": "Insertion",
    "outside_head": "Heat outside the head",
    "pointing_hits": "Hottest place in the lesion",
    "lesion_iou": "Overlap with the lesion (IoU)",
}


def calibration_of_page(summary: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Rows before and after, and a sentence on the temperature. summary: calibration_summary."""
    if not summary:
        return None
    before, after = summary["before"], summary["after"]
    temperature = summary.get("temperature")
    said = "The temperature divides the logits; it was fitted on validation images only."
    if temperature is not None and is_defined(temperature):
        was = (
            "too sure"
            if temperature > 1
            else "too modest"
            if temperature < 1
            else "as sure as right"
        )
        said = f"Temperature {temperature:.3f}, fitted on validation only: the model was {was}."
    rows = [
        {"name": name, "before": number(before[key]), "after": number(after[key]), "hint": hint}
        for key, name, hint in _CALIBRATION
        if key in before and key in after
    ]
    return {"said": f"{said} It changes no answer; 0 is best in every row.", "rows": rows}


def checks_of_page(checks: Mapping[str, Mapping[str, Any]] | None) -> list[dict[str, str]]:
    """Rows of the checks: name, value, interval, hint. checks: name -> {value, meaning[, n]}."""
    rows = []
    for name, check in (checks or {}).items():
        meaning = str(check.get("meaning", "")).rstrip(".")
        counted = f"; mean of {check['n']:,} images" if check.get("n") is not None else ""
        rows.append(
            {
                "name": _CHECKS.get(name, name.replace("_", " ")),
                "value": number(check.get("value")),
                "interval": interval(check, "value"),
                "hint": f"{meaning}{counted}.",
            }
        )
    return rows


def decisions_of_page(summary: Mapping[str, Any] | None, split: str) -> dict[str, Any] | None:
    """The sentence on what they were fitted on, and parts {title, said, rows}, those there are.

    summary: as decision_summary gives it; any block may be missing or None.
    split: of the evaluated images; only of test is it known that nothing was fitted on them.
    """
    if not summary:
        return None
    makers = {"tumor_call": _tumor_call, "sets": _sets, "abstention": _abstention,
              "foreign": _foreign, "turned": _turned}  # fmt: skip
    parts = [make(summary[key]) for key, make in makers.items() if summary.get(key)]
    on = summary.get("fitted_on") or {}
    counted = (
        f" ({on['n']:,} images, {on['groups']:,} groups)" if {"n", "groups"} <= set(on) else ""
    )
    fitted = f"Fitted on validation images alone{counted}. {_TRIED[split == 'test']}"
    return {"fitted": fitted, "parts": parts}


def _tumor_call(block: Mapping[str, Any]) -> dict[str, Any]:
    said = "An image is called a tumor where the probabilities of all tumor classes together reach "
    said += f"{number(block.get('threshold'))}, chosen for a sensitivity of "
    said += f"{_percent(block.get('target'))} on validation."
    whose = "stated" if block.get("prevalence_is_stated") else "as in these images"
    said += f" PPV and NPV hold at a prevalence of {_percent(block.get('prevalence'))} ({whose})."
    rows = [
        _row(block, "sensitivity", "Sensitivity", f"tumors called so, n = {_n(block, 'n_tumor')}"),
        _row(block, "specificity", "Specificity",
             f"images without a tumor called so, n = {_n(block, 'n_no_tumor')}"),
        _row(block, "ppv", "PPV", "share of tumors among those called so"),
        _row(block, "npv", "NPV", "share without a tumor among those called so"),
    ]  # fmt: skip
    return {"title": "Tumor or not", "said": said, "rows": rows}


def _sets(block: Mapping[str, Any]) -> dict[str, Any]:
    target, n = _percent(block.get("target")), _n(block, "n")
    said = f"A set of classes that holds the true one in {target} of images. One class: an answer; "
    said += "several: a doubt; none: no class was likely enough, a case to look at."
    rows = [
        _row(block, "coverage", "Coverage", f"sets with the true class; target {target}, n = {n}"),
        _row(block, "singletons", "One class", "share of images"),
        _row(block, "empty", "No class", "share of images"),
        {"name": "Mean size", "value": _plain(block.get("mean_size")), "interval": "",
         "hint": "classes in a set"},
    ]  # fmt: skip
    for name, row in (block.get("per_class") or {}).items():
        hint = f"sets of its images with the true class, n = {_n(row, 'n')}"
        rows.append(_row(row, "coverage", f"Coverage of {elide(name)}", hint))
    return {"title": "Sets of classes", "said": said, "rows": rows}


def _abstention(block: Mapping[str, Any]) -> dict[str, Any]:
    said = "Only the surest answers are given, the others are left to a person."
    fitted, rows = block.get("fitted"), []
    if fitted:
        sure, target = number(fitted.get("confidence")), _percent(fitted.get("target"))
        said += f" An image is answered where its highest probability reaches {sure}, chosen on "
        said += (
            f"validation so that, with {_CERTAINTY} certainty, at most {target} of the answers are "
        )
        said += "wrong. What other shares would give stands below."
        among = f"wrong ones among the {_n(fitted, 'n')} answers given; target {target} at most"
        rows = [
            _row(fitted, "share", "Answered", "share of images"),
            _row(fitted, "risk", "Wrong answers", among),
        ]
    rows += [
        _row(row, "accuracy", f"{row.get('share', 1):.0%} answered".replace("%", " %"),
             f"accuracy of the surest {_n(row, 'n')} images")
        for row in block.get("kept") or ()
    ]  # fmt: skip
    area = {"name": "AURC", "value": number(block.get("aurc")), "interval": "",
            "hint": "mean error over all such shares; 0 is best"}  # fmt: skip
    return {"title": "Abstention", "said": said, "rows": [*rows, area]}


def _foreign(block: Mapping[str, Any]) -> dict[str, Any]:
    said = "Images unlike those of training are flagged, so that no answer on them is believed."
    return _flagged(block, "Foreign images", said)


def _turned(block: Mapping[str, Any]) -> dict[str, Any]:
    said = "Slices that look as if they stood on their heads, as some viewers export them. Of "
    said += "those that do, only a part is found: look closer where the share is far above the "
    said += "expected one."
    return _flagged(block, "Upside-down slices", said)


def _flagged(block: Mapping[str, Any], title: str, said: str) -> dict[str, Any]:
    hint = (
        f"about {_percent(block.get('target'))} are expected of images like those of validation, "
    )
    hint += f"n = {_n(block, 'n')}"
    return {"title": title, "said": said, "rows": [_row(block, "share", "Flagged", hint)]}


def _row(block: Mapping[str, Any], key: str, name: str, hint: str) -> dict[str, str]:
    pair = block.get(f"{key}_ci")
    known = pair is not None and all(is_defined(end) for end in pair)
    return {
        "name": name,
        "value": _percent(block.get(key)),
        "interval": f"{100 * pair[0]:.1f}–{_percent(pair[1])}" if pair and known else "",
        "hint": hint,
    }


def _percent(share: float | None) -> str:
    return verdict.percent(share) if share is not None and is_defined(share) else "–"


def _plain(value: float | None) -> str:
    return f"{value:.2f}" if value is not None and is_defined(value) else "–"


def _n(block: Mapping[str, Any], key: str) -> str:
    return f"{block[key]:,}" if block.get(key) is not None else "–"
