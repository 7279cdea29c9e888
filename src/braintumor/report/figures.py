"""Figures of an evaluation, its decisions and checks, as the rows and sentences of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braintumor.errors import some
from braintumor.records import Predictions
from braintumor.report.plots.style import elide
from braintumor.report.texts import defined_pair, is_defined, number, percent, percents
from braintumor.statistics.metrics import confusion_matrix

_CHECKS = {
    "ssim_head_random": "SSIM, last layers randomised",
    "ssim_all_random": "SSIM, all layers randomised",
    "deletion": "Deletion",
    "insertion": "Insertion",
    "outside_head": "Heat outside the head",
    "pointing_hits": "Hottest place in the lesion",
    "lesion_iou": "Overlap with the lesion (IoU)",
}
_ASTRAY = 0.05  # more of the heat than of the area, from which on it is worth a word


def _entry(name: str, value: str, hint: str, interval: str = "") -> dict[str, str]:
    return {"name": name, "value": value, "interval": interval, "hint": hint}


def confusion(predictions: Predictions) -> dict[str, Any]:
    """Cells of K rows: counts, shares of the row, and shades from 0 to 10 in the style sheet."""
    counts = confusion_matrix(predictions)
    total = counts.sum(axis=1, keepdims=True)
    share = counts / np.where(total, total, np.nan)
    # Errors are few in a good model: the square root lets one among hundreds be seen.
    shade = np.where(np.eye(len(counts), dtype=bool), share, np.sqrt(share))
    shades = np.ceil(np.nan_to_num(shade) * 10).astype(int)
    return {"counts": counts.tolist(), "shares": share.tolist(), "shades": shades.tolist()}


def check_rows(checks: Mapping[str, Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Rows of the checks of the heat maps; against: both figures, where there is a comparison.

    is_better: than a spot in the middle of the head, None where that is not known. No better: the
    interval of the gain holds 0, or lies below it.
    """
    rows = []
    for name, check in (checks or {}).items():
        hint = f"{check['meaning'].rstrip('.')}; mean of {some(check['n'], 'image')}."
        row: dict[str, Any] = _entry(_CHECKS[name], number(check["value"]), hint)
        row["is_better"] = None
        if gain := check.get("gain_ci"):
            row["against"] = f"{check['value']:.2f} against {check['middle']:.2f}"
            if is_defined(gain[0]) or check["n"] == 1:
                row["is_better"] = is_defined(gain[0]) and bool(gain[0] > 0)
        if is_defined(even := check.get("even")) and check["value"] > even + _ASTRAY:
            row["astray"] = (
                f"{percent(check['value'])} of the heat, and {percent(even)} of the area"
            )
        rows.append(row)
    return rows


def decision_rows(summary: Mapping[str, Any] | None, unit: str) -> dict[str, list[dict[str, str]]]:
    """Rows of each block of the decision summary that is there.

    unit: what is counted once by the coverage of sets.
    """
    kinds = {"abstention": _abstention, "foreign": _flagged, "turned": _flagged}
    kinds |= {"tumor_call": _tumor_call, "sets": lambda block: _sets(block, unit)}
    blocks = {name: (summary or {}).get(name) for name in kinds}
    return {name: kinds[name](block) for name, block in blocks.items() if block}


def _tumor_call(block: Mapping[str, Any]) -> list[dict[str, str]]:
    called = f"tumor images called tumor, n = {_n(block, 'n_tumor')}"
    healthy = f"images without a tumor called no tumor, n = {_n(block, 'n_no_tumor')}"
    return [
        _row(block, "sensitivity", "Sensitivity", f"{called}; {_target(block, 'sensitivity')}"),
        _row(block, "specificity", "Specificity", healthy),
        _row(block, "ppv", "PPV", "images called tumor that show one"),
        _row(block, "npv", "NPV", "images called no tumor that show none"),
    ]


def _sets(block: Mapping[str, Any], unit: str) -> list[dict[str, str]]:
    of_groups = f"sets with the true class, every {unit} counted once, n = {_n(block, 'groups')}"
    of_images = f"sets with the true class, n = {_n(block, 'n')}"
    target = _target(block, "coverage_groups")
    return [
        _row(block, "coverage_groups", "Coverage", f"{of_groups}; {target}"),
        _row(block, "coverage", "Coverage of images", of_images),
        _row(block, "singletons", "One class", "share of images"),
        _row(block, "empty", "No class", "share of images"),
        _entry("Mean size", number(block.get("mean_size"), ".2f"), "classes in a set"),
        *(
            _row(row, "coverage", f"Coverage of {elide(name)}",
                 f"sets of its images with the true class, n = {_n(row, 'n')}")
            for name, row in (block.get("per_class") or {}).items()
        ),
    ]  # fmt: skip


def _abstention(block: Mapping[str, Any]) -> list[dict[str, str]]:
    fitted, rows = block["fitted"], []
    if fitted.get("confidence") is not None:
        among = f"wrong ones of the {_n(fitted, 'n', 'answer')} given"
        rows = [
            _row(fitted, "share", "Answered", "share of images"),
            _row(
                fitted, "risk", "Wrong answers", f"{among}; {_target(fitted, 'risk', at_most=True)}"
            ),
        ]
    rows += [
        _row(row, "accuracy", f"{row.get('share', 1):.0%} answered".replace("%", " %"),
             f"accuracy of the {_n(row, 'n', 'most confident image')}")
        for row in block.get("kept") or ()
    ]  # fmt: skip
    best = "share of wrong answers, averaged over leaving out none to nearly all images, the least "
    best += "sure first; 0 is best"
    return [*rows, _entry("AURC", number(block.get("aurc")), best)]


def _flagged(block: Mapping[str, Any]) -> list[dict[str, str]]:
    hint = f"share of the images, n = {_n(block, 'n')}; target about {percent(block.get('target'))}"
    return [_row(block, "share", "Flagged", f"{hint} at most, for images like those of validation")]


def _target(block: Mapping[str, Any], key: str, *, at_most: bool = False) -> str:
    """The target, and whether the interval lies on its wrong side."""
    pair, target = defined_pair(block, key), block.get("target")
    said = f"target {percent(target)}{' at most' * at_most}"
    if target is None or pair is None:
        return said
    return f"{said}: missed" if (pair[0] > target if at_most else pair[1] < target) else said


def _row(block: Mapping[str, Any], key: str, name: str, hint: str) -> dict[str, str]:
    pair = defined_pair(block, key)
    return _entry(name, percent(block.get(key)), hint, percents(pair) if pair else "")


def _n(block: Mapping[str, Any], key: str, what: str = "") -> str:
    count = block.get(key)
    return f"– {what}".strip() if count is None else some(count, what) if what else f"{count:,}"
