"""What a page says of its heat maps, and the checklists of the field that it answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from braintumor.report.tables import interval, number

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


_ITEMS = Path(__file__).with_name("checklist.yaml")


def checklists(facts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each guideline with what it asks: name, title, source, answered, open.

    facts: name -> sentence, from `facts.model_card_section`.
    answered: rows {item, ask, answer}.  open: rows {item, ask} that the authors must answer,
    among them those whose fact this evaluation does not know.
    """
    guidelines = yaml.safe_load(_ITEMS.read_text(encoding="utf-8"))
    return [_filled(guideline, facts) for guideline in guidelines]


def _filled(guideline: Mapping[str, Any], facts: Mapping[str, str]) -> dict[str, Any]:
    answered, unanswered = [], []
    for row in guideline["items"]:
        answer = facts.get(row.get("fact", ""))
        if answer:
            answered.append({"item": row["item"], "ask": row["ask"], "answer": answer})
        else:
            unanswered.append({"item": row["item"], "ask": row["ask"]})
    return {
        "name": guideline["name"],
        "title": guideline["title"],
        "source": guideline["source"],
        "answered": answered,
        "open": unanswered,
    }
