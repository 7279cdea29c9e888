"""Three figures side by side, copies in training, floors and shortcuts: the words of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from braintumor.evaluation.floors import above_floor
from braintumor.evaluation.patients import about_training
from braintumor.evaluation.plots.style import elide
from braintumor.evaluation.report.verdict import percent, with_interval
from braintumor.evaluation.trust import FEW, Trust

_FIGURES = (
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("macro_f1", "Macro F1"),
    ("mcc", "MCC"),
    ("auroc", "AUROC"),
)


def truth_of_page(metrics: Mapping[str, Any], trust: Trust) -> dict[str, Any]:
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


def leak(n: int, trust: Trust) -> list[str]:
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


def _tiles(metrics: Mapping[str, Any], trust: Trust) -> list[dict[str, str]]:
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
    if trust.best_floor is None:
        tiles.append(("Best floor", None, "not measured for this evaluation"))
    else:
        clean = trust.best_floor["clean_accuracy"]
        without = f"; without copies {percent(clean)}" if trust.count and clean == clean else ""
        hint = f"{trust.best_floor['name']}, all images{without}"
        tiles.append(("Best floor", trust.best_floor["accuracy"], hint))
    return [
        {"name": name, "value": "–" if value is None else percent(value), "hint": hint}
        for name, value, hint in tiles
    ]


def _warnings(trust: Trust) -> list[str]:
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


def _compared(metrics: Mapping[str, Any], trust: Trust) -> list[dict[str, Any]]:
    """Figures of all and of clean images, a row each; nothing where the two are the same."""
    if trust.clean is None or not trust.count:
        return []
    return [
        {"name": name, "all": _number(metrics[key]), "clean": _number(trust.clean[key])}
        for key, name in _FIGURES
    ]


def _recalls(metrics: Mapping[str, Any], trust: Trust) -> list[dict[str, Any]]:
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


def _above(metrics: Mapping[str, Any], trust: Trust) -> str:
    if trust.floors is None:
        return ""
    # where nothing is known from training, both would say the same
    clean = trust.clean["accuracy"] if trust.clean and trust.count else None
    return above_floor(metrics["accuracy"], trust.floors, clean)


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


def _shortcuts(metrics: Mapping[str, Any], trust: Trust) -> list[dict[str, str]]:
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
