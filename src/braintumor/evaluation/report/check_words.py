"""Checks of the heat maps as the rows of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from braintumor.evaluation.report.tables import interval, number

_CHECKS = {
    "ssim_head_random": "SSIM, last layers randomised",
    "ssim_all_random": "SSIM, all layers randomised",
    "deletion": "Deletion",
    "insertion": "Insertion",
    "outside_head": "Heat outside the head",
    "pointing_hits": "Hottest place in the lesion",
    "lesion_iou": "Overlap with the lesion (IoU)",
}


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
