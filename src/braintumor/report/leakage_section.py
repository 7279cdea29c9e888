"""Three figures side by side, copies in training, floors and shortcuts: the words of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from braintumor.evaluation.assess import FEW, Assessment
from braintumor.evaluation.patients import about_training
from braintumor.report.format import percent
from braintumor.report.headline import with_interval
from braintumor.report.plots.style import elide

_FIGURES = (
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("macro_f1", "Macro F1"),
    ("mcc", "MCC"),
    ("auroc", "AUROC"),
)


def leakage_section(metrics: Mapping[str, Any], trust: Assessment) -> dict[str, Any]:
    """What the template needs: tiles, the sentences, and the two tables.

    metrics: over all images, as compute_metrics gives them.
    """
    return {
        "tiles": _tiles(metrics, trust),
        "warnings": _warnings(trust),
        "leak": leak(metrics["n"], trust),
        "compared": _compared(metrics, trust),
        "recalls": _recalls(metrics, trust),
        "above": _above(metrics, trust),
        "floors": _floors(trust.floors),
        "shortcuts": _shortcuts(metrics, trust),
        "has_clean": bool(trust.count),  # else both would say the same
    }


def leak(n: int, trust: Assessment) -> list[str]:
    """How many of the n images the model knows from training, and what follows; for anyone."""
    if trust.count is None:
        return []
    if not trust.count:
        found_none = (
            f"None of the {n:,} images was found among the pictures that the model was trained "
            "on: neither byte for byte, nor re-encoded, resized or mirrored."
        )
        nor = "None is of a patient with other images in training."
        return [found_none, about_training(trust.patients) or nor]
    were = "image is" if trust.count == 1 else "images are"
    together = trust.patients.together
    ways = "as the same file, or as a re-encoded, resized or mirrored copy of the picture"
    if together and together.known:
        ways = f"{ways}, or as another slice of the same patient"
    said = [
        f"{trust.count:,} of {n:,} {were} known to the model from its training "
        f"({percent(trust.count / n)}): {ways}. Such images can be "
        "answered from memory, as an examination can whose questions were handed out before; "
        "a new patient's scan cannot."
    ]
    if not_known := about_training(trust.patients):
        said.append(not_known)
    if trust.clean is None:
        return [*said, "No image is left that could tell how the model does on new patients."]
    images = "image" if trust.clean["n"] == 1 else "images"
    figure = (
        f"{trust.clean['n']:,} {images} without a copy: {with_interval(trust.clean, 'accuracy')}"
    )
    return [*said, f"The figure to quote is the accuracy over the {figure}."]


def _tiles(metrics: Mapping[str, Any], trust: Assessment) -> list[dict[str, str]]:
    """Name, value and hint of the three figures."""
    said = f"accuracy, n = {metrics['n']:,}{_interval(metrics)}"
    tiles = [("All images", metrics["accuracy"], said)]
    if trust.count is None:
        tiles.append(("Without copies in training", None, "not known for this evaluation"))
    elif trust.clean is None:
        tiles.append(("Without copies in training", None, "n = 0: every image is known"))
    else:
        counts = ", ".join(f"{elide(name, 24)} {k:,}" for name, k in trust.clean_counts.items())
        hint = f"accuracy, n = {trust.clean['n']:,} ({counts}){_interval(trust.clean)}"
        tiles.append(("Without copies in training", trust.clean["accuracy"], hint))
    if trust.best_baseline is None:
        tiles.append(("Best floor", None, "not measured for this evaluation"))
    else:
        clean = trust.best_baseline["clean_accuracy"]
        without = f"; without copies {percent(clean)}" if trust.count and clean == clean else ""
        hint = f"{trust.best_baseline['name']}, all images{without}"
        tiles.append(("Best floor", trust.best_baseline["accuracy"], hint))
    return [
        {"name": name, "value": "–" if value is None else percent(value), "hint": hint}
        for name, value, hint in tiles
    ]


def _warnings(trust: Assessment) -> list[str]:
    if not trust.few:
        return []
    few = ", ".join(f"{elide(name)} ({n})" for name, n in trust.few.items())
    if not trust.count:
        return [f"The split has fewer than {FEW} images of {few}: it says little about them."]
    return [
        f"Fewer than {FEW} images without a copy are left of {few}: the second figure says "
        "little about such a class. For a figure over all classes train with split=grouped, "
        "or with split=official_clean."
    ]


def _compared(metrics: Mapping[str, Any], trust: Assessment) -> list[dict[str, Any]]:
    """Figures of all and of clean images, a row each; nothing where the two are the same."""
    if trust.clean is None or not trust.count:
        return []
    return [
        {"name": name, "all": _number(metrics[key]), "clean": _number(trust.clean[key])}
        for key, name in _FIGURES
    ]


def _recalls(metrics: Mapping[str, Any], trust: Assessment) -> list[dict[str, Any]]:
    if trust.clean is None or not trust.count:
        return []
    return [
        {
            "name": name,
            "n": of_all["n"],
            "all": _number(of_all["recall"]),
            "clean_n": trust.clean["per_class"][name]["n"],
            "clean": _number(trust.clean["per_class"][name]["recall"]),
        }
        for name, of_all in metrics["per_class"].items()
    ]


def _above(metrics: Mapping[str, Any], trust: Assessment) -> str:
    if trust.floors is None:
        return ""
    # where nothing is known from training, both would say the same
    clean = trust.clean["accuracy"] if trust.clean and trust.count else None
    return above_baseline(metrics["accuracy"], trust.floors, clean)


def _floors(floors: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Rows of the table, best first."""
    if floors is None:
        return []
    ordered = floors.sort_values("accuracy", ascending=False, kind="stable")
    keys = ("accuracy", "balanced_accuracy", "clean_accuracy", "clean_balanced_accuracy")
    return [
        {"name": str(name), "cells": [_number(float(row[key])) for key in keys]}
        for name, row in ordered.iterrows()
    ]


def _shortcuts(metrics: Mapping[str, Any], trust: Assessment) -> list[dict[str, str]]:
    """The model's accuracy as it is and with a part blanked; empty when not measured."""
    if not trust.shortcuts:
        return []
    clean = trust.clean["accuracy"] if trust.clean else None
    whole = {"accuracy": metrics["accuracy"], "clean_accuracy": clean}
    return [
        {"name": name, "all": _number(row["accuracy"]), "clean": _number(row["clean_accuracy"])}
        for name, row in {"whole picture": whole, **trust.shortcuts}.items()
    ]


def _interval(figures: Mapping[str, Any]) -> str:
    """ "; 95 % CI 94.0 to 96.3 %" of the accuracy; empty where there is none."""
    text = with_interval(figures, "accuracy")
    return f"; {text[text.index('(') + 1 : -1]}" if "(" in text else ""


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4f}"


def above_baseline(accuracy: float, floors: pd.DataFrame, clean_accuracy: float | None) -> str:
    """One sentence: how far a model is above the best floor, on all and on clean images.

    accuracy, clean_accuracy: the model's, in [0, 1]; None or NaN: no clean figure is known.
    floors: as measure_floors gives them. Over the clean images the best floor may be another.
    """
    on_all, is_above = _against(accuracy, floors["accuracy"])
    count = int(floors["n"].iloc[0])
    parts = [f"over all {count:,} images the model ({percent(accuracy)}) is {on_all}"]
    known = floors["clean_accuracy"].dropna()
    if clean_accuracy is not None and np.isfinite(clean_accuracy) and len(known):
        on_clean, is_above_clean = _against(clean_accuracy, known)
        count, is_above = int(floors["clean_n"].iloc[0]), is_above and is_above_clean
        parts.append(
            f"over the {count:,} without a copy in training it ({percent(clean_accuracy)}) "
            f"is {on_clean}"
        )
    text = "; ".join(parts)
    if is_above:
        return f"{text[0].upper()}{text[1:]}."
    return f"The model is not better than a rule that knows no anatomy: {text}."


def _against(accuracy: float, floors: pd.Series) -> tuple[str, bool]:
    """ "2.1 percentage points above the best floor, NAME (96.3 %)", and whether it is above."""
    name, best = floors.idxmax(), floors.max()
    points = round(100 * (accuracy - best), 1)
    place = "above" if points > 0 else "below"
    distance = f"{abs(points):.1f} percentage points {place}" if points else "level with"
    return f"{distance} the best floor, {name} ({percent(best)})", points > 0
