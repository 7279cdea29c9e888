"""CLAIM 2024 and TRIPOD+AI, as far as the toolkit can answer them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_ITEMS = Path(__file__).with_name("checklist.yaml")


def checklists(facts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each guideline with what it asks: name, title, source, answered, open.

    facts: name -> sentence, from `facts.facts_of_page`.
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
