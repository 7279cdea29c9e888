"""What an evaluation knows of itself, a sentence each: for the model card and the checklists."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import yaml

from braintumor.evaluation.provenance import (
    Provenance,
    about_intervals,
    about_patients,
    about_training,
)
from braintumor.evaluation.record import Evaluation
from braintumor.report.page import FOLDER, environment
from braintumor.report.plots.style import elide

_LIMITS = (
    "It sees single slices and never the volume, the history or the other sequences of a patient.",
    "It always answers with one of its classes; any other finding is beyond it.",
    "How it does for an age, a sex, a scanner or a hospital is not known: the data do not say.",
    "Its labels are those of the data set; who gave them, and how reliable they are, is not known.",
)
# fact -> its title on the page
CARD = {
    "model": "Model", "intended": "Intended use", "data": "Trained on",
    "split": "Division of the data", "counts": "Images", "preprocessing": "Input",
    "output": "Output", "training": "Training", "choice": "Chosen by",
    "evaluated": "Evaluated on", "result": "Result",
}  # fmt: skip


def known_facts(evaluation: Evaluation) -> dict[str, str]:
    """Name -> sentence; what is not known is left out."""
    predictions, trust = evaluation.predictions, evaluation.assessment
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes)).tolist()
    facts = environment().get_template("facts.j2").make_module(
        {
            "evaluation": evaluation, "trust": trust, "about": evaluation.provenance,
            "setting": partial(_setting, evaluation.provenance),
            "said": partial(_said, evaluation.provenance),
            "quote": evaluation.quote, "n": len(predictions), "classes": predictions.classes,
            "counted": list(zip(predictions.classes, counts, strict=True)),
            "errors": int((~evaluation.is_right).sum()),
            "about_training": about_training(trust.patients),
            "about_intervals": about_intervals(trust.patients),
        }
    )  # fmt: skip
    # texts again: who prints them escapes them
    known = {name: text.unescape().strip() for name, text in vars(facts).items() if name[0] != "_"}
    known["limits"] = " ".join(limits(evaluation))
    return {name: text for name, text in known.items() if text}


def limits(evaluation: Evaluation) -> list[str]:
    """What the model and this evaluation cannot do."""
    said, trust = list(_LIMITS), evaluation.assessment
    if evaluation.split in ("train", "val"):
        said.append("The images evaluated here had a part in making the model.")
    if trust.count:
        said.append("Some of the images evaluated here are known to it from training.")
    if trust.count is None:
        said.append("Whether it knows the images evaluated here from training was not examined.")
    return [*filter(None, [*said, about_patients(trust.patients)])]


def checklists(facts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each guideline: name, title, source, and rows {item, ask, answer}, answered and open.

    The open ones the authors must answer, also those whose fact this evaluation does not know.
    """
    found = []
    for guideline in yaml.safe_load((FOLDER / "checklist.yaml").read_text(encoding="utf-8")):
        rows = [row | {"answer": facts.get(row.get("fact"))} for row in guideline["items"]]
        answered = [row for row in rows if row["answer"]]
        open_ones = [row for row in rows if not row["answer"]]
        found.append({**guideline, "answered": answered, "open": open_ones})
    return found


def _setting(about: Provenance, key: str) -> Any:
    """The value of a dotted key; None where it is not there."""
    value: Any = about.settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _said(about: Provenance, words: Mapping[str, str]) -> str:
    """ "Learning rate 0.001, seed 0." of those settings that have a value.

    words: dotted key -> what to say of it, with {} for its value.
    """
    values = {key: _setting(about, key) for key in words}
    parts = [words[k].format(elide(str(v), 80)) for k, v in values.items() if v is not None]
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
