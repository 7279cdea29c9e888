"""Calibration as the rows and sentences of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from braintumor.report.tables import is_defined, number
from braintumor.statistics.calibration import BINS

_CALIBRATION = (
    ("ece", "ECE", f"mean difference of confidence and accuracy, {BINS} bins of equal width"),
    ("ece_mass", "ECE, equal mass", f"the same, {BINS} bins of as many images each"),
    ("brier", "Brier score", "squared error of the probabilities, 0 to 2"),
    ("loss", "Loss", "cross-entropy in nats"),
)


def calibration_of_page(summary: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Rows before and after, and a sentence on the temperature. summary: calibration_summary."""
    if not summary:
        return None
    before, after = summary["before"], summary["after"]
    temperature = summary.get("temperature")
    said = "The temperature divides the logits; it was fitted on validation images only."
    if temperature is not None and is_defined(temperature):
        was = (
            "overconfident"
            if temperature > 1
            else "underconfident"
            if temperature < 1
            else "as confident as right"
        )
        said = (
            f"Temperature {temperature:.3f}, fitted on validation only, where the model was {was}."
        )
    rows = [
        {"name": name, "before": number(before[key]), "after": number(after[key]), "hint": hint}
        for key, name, hint in _CALIBRATION
        if key in before and key in after
    ]
    return {"said": f"{said} It changes no answer; 0 is best in every row.", "rows": rows}
