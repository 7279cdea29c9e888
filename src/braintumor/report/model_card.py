"""What an evaluation knows of itself, a sentence each: for the model card and the checklists."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import yaml

from braintumor.config import setting
from braintumor.evaluation.provenance import (
    Provenance,
    about_intervals,
    about_patients,
    about_training,
)
from braintumor.evaluation.record import Evaluation
from braintumor.report.page import FOLDER, sentences
from braintumor.report.plots.style import elide


def known_facts(evaluation: Evaluation) -> dict[str, str]:
    """Name -> sentence, of limits a line each; what is not known is left out."""
    predictions, trust = evaluation.predictions, evaluation.assessment
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes)).tolist()
    known = sentences(
        "facts.j2",
        evaluation=evaluation,
        trust=trust,
        about=evaluation.provenance,
        setting=partial(setting, evaluation.provenance.settings),
        said=partial(_said, evaluation.provenance),
        quote=evaluation.quote,
        n=len(predictions),
        classes=predictions.classes,
        counted=list(zip(predictions.classes, counts, strict=True)),
        errors=int((~evaluation.is_right).sum()),
        about_training=about_training(trust.patients),
        about_intervals=about_intervals(trust.patients),
        about_patients=about_patients(trust.patients),
    )
    return {name: text for name, text in known.items() if text}


def checklists(facts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each guideline: name, title, source, and rows {item, ask, answer}, answered and open.

    The open ones the authors must answer, also those whose fact this evaluation does not know.
    """
    found = []
    for guideline in yaml.safe_load((FOLDER / "checklist.yaml").read_text(encoding="utf-8")):
        answers = [facts.get(row.get("fact"), "").replace("\n", " ") for row in guideline["items"]]
        rows = [row | {"answer": a} for row, a in zip(guideline["items"], answers, strict=True)]
        answered = [row for row in rows if row["answer"]]
        open_ones = [row for row in rows if not row["answer"]]
        found.append({**guideline, "answered": answered, "open": open_ones})
    return found


def _said(about: Provenance, words: Mapping[str, str]) -> str:
    """ "Learning rate 0.001, seed 0." of those settings that have a value.

    words: dotted key -> what to say of it, with {} for its value.
    """
    values = {key: setting(about.settings, key) for key in words}
    parts = [words[k].format(elide(str(v), 80)) for k, v in values.items() if v is not None]
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
