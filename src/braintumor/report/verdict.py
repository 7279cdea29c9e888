"""The result in plain words: the first screen, and what accuracy is worth.

Three figures side by side, copies in training, baselines and occlusion tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from braintumor.evaluation.provenance import about_patients, about_training
from braintumor.evaluation.record import FEW, Assessment, Evaluation
from braintumor.report.page import is_defined, percent, with_interval
from braintumor.report.plots.style import elide
from braintumor.statistics.metrics import confusion_matrix

# K classes

_OF_SPLIT = {
    "train": "These are the images that the model was trained on: the figures tell how well it "
    "remembers them, not how it does on new ones.",
    "val": "The epoch that was kept was chosen on these very images, so the figures are somewhat "
    "too good; the test split is the one to quote.",
}
COPIES = (
    "It is not known here which of these images the model has seen in training, as they are or as "
    "copies. A public data set's own test split may share pictures with its training split; where "
    "it does, every figure on this page is too high."
)
LEAK = (
    "The model knows {count:,} of these {n:,} images ({share}) from its training. The figures over "
    "all images are too high; read the second of the three below."
)
_COMPARED = {
    "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro F1",
    "mcc": "MCC", "auroc": "AUROC",
}  # fmt: skip


def headline(evaluation: Evaluation) -> str:
    """One sentence: how many are right, of which images."""
    n, right = len(evaluation.predictions), int(evaluation.is_right.sum())
    images = "image" if n == 1 else "images"
    data = elide(evaluation.provenance.data_name) or "the data"
    return (
        f"{right:,} of {n:,} {images} in the {evaluation.split} split of {data} are classified "
        f"correctly: accuracy {with_interval(evaluation.metrics, 'accuracy')}."
    )


def findings(evaluation: Evaluation) -> list[str]:
    """How far above the baselines, where the model is weakest, which classes have no figure."""
    matrix = confusion_matrix(evaluation.predictions)
    names = [elide(name) for name in evaluation.predictions.classes]
    trust, above = evaluation.assessment, []
    if trust.baselines is not None:
        # where nothing is known from training, both would say the same
        clean = trust.clean["accuracy"] if trust.clean and trust.count else None
        above = [above_baseline(evaluation.metrics["accuracy"], trust.baselines, clean)]
    return [*above, _weakest(matrix, names), *_missing(matrix, names)]


def cautions(evaluation: Evaluation) -> list[str]:
    """What the figures do not say: joined classes, the split, copies in training, patients."""
    split, n, count = evaluation.split, len(evaluation.predictions), evaluation.assessment.count
    said = [evaluation.joined, _OF_SPLIT.get(split, "")]
    if split != "train" and count is None:
        said.append(COPIES)
    elif split != "train" and count:
        said.append(LEAK.format(count=count, n=n, share=percent(count / n)))
    return [*filter(None, [*said, about_patients(evaluation.assessment.patients)])]


def _weakest(matrix: np.ndarray, names: list[str]) -> str:
    counts = matrix.sum(axis=1)
    missed = counts - matrix.diagonal()
    if not missed.any():
        return "No image is misclassified."
    worst = max(np.flatnonzero(counts), key=lambda k: (missed[k] / counts[k], missed[k]))
    others = matrix[worst].copy()
    others[worst] = 0
    taken_for = int(others.argmax())
    recall = 1 - missed[worst] / counts[worst]
    return (
        f"Weakest class: {names[worst]}. {missed[worst]:,} of its {counts[worst]:,} images are "
        f"missed (recall {percent(recall)}), most often taken for {names[taken_for]} "
        f"({others[taken_for]:,})."
    )


def _missing(matrix: np.ndarray, names: list[str]) -> list[str]:
    said = []
    counts, called = matrix.sum(axis=1), matrix.sum(axis=0)
    if absent := [names[k] for k in np.flatnonzero(counts == 0)]:
        said.append(
            f"The split holds no image of {', '.join(absent)}: what cannot be computed is shown "
            "as a dash, and means over classes leave it out."
        )
    if silent := ", ".join(names[k] for k in np.flatnonzero((called == 0) & (counts > 0))):
        said.append(f"The model never answers {silent}: look at the training before using it.")
    return said


def above_baseline(accuracy: float, baselines: pd.DataFrame, clean_accuracy: float | None) -> str:
    """One sentence: how far a model is above the best baseline, on all and on clean images.

    accuracy, clean_accuracy: the model's, in [0, 1]; None or NaN: no clean figure is known.
    Over the clean images the best baseline may be another.
    """
    on_all, is_above = _against(accuracy, baselines["accuracy"])
    count = int(baselines["n"].iloc[0])
    text = f"over all {count:,} images the model ({percent(accuracy)}) is {on_all}"
    known = baselines["clean_accuracy"].dropna()
    if is_defined(clean_accuracy) and len(known):
        on_clean, is_above_clean = _against(clean_accuracy, known)
        count, is_above = int(baselines["clean_n"].iloc[0]), is_above and is_above_clean
        text += (
            f"; over the {count:,} without a copy in training it ({percent(clean_accuracy)}) "
            f"is {on_clean}"
        )
    if is_above:
        return f"{text[0].upper()}{text[1:]}."
    return f"The model is not better than a rule that knows no anatomy: {text}."


def _against(accuracy: float, baselines: pd.Series) -> tuple[str, bool]:
    """ "2.1 percentage points above the best floor, NAME (96.3 %)", and whether it is above."""
    name, best = baselines.idxmax(), baselines.max()
    points = round(100 * (accuracy - best), 1)
    place = "above" if points > 0 else "below"
    distance = f"{abs(points):.1f} percentage points {place}" if points else "level with"
    return f"{distance} the best floor, {name} ({percent(best)})", points > 0


def leakage_section(evaluation: Evaluation) -> dict[str, Any]:
    """What leakage.html.j2 needs: tiles, sentences and tables."""
    metrics, trust = evaluation.metrics, evaluation.assessment
    floors, shortcuts = trust.baselines, trust.occlusion_tests
    if floors is not None:
        floors = floors.sort_values("accuracy", ascending=False, kind="stable")
    clean = trust.clean["accuracy"] if trust.clean else None
    whole = {"whole picture": {"accuracy": metrics["accuracy"], "clean_accuracy": clean}}
    return {
        "tiles": _tiles(metrics, trust),
        "warnings": _warnings(trust),
        "leak": _leak(metrics["n"], trust),
        "compared": _COMPARED,
        "clean": trust.clean if trust.count else None,
        "floors": {} if floors is None else floors.to_dict("index"),
        "shortcuts": {**whole, **shortcuts} if shortcuts else {},
        "has_clean": bool(trust.count),  # else both would say the same
    }


def _tiles(metrics: Mapping[str, Any], trust: Assessment) -> list[dict[str, str]]:
    clean, best = trust.clean, trust.best_baseline
    of_clean, of_best = "not known for this evaluation", "not measured for this evaluation"
    if clean is not None:
        counts = ", ".join(f"{elide(name, 24)} {k:,}" for name, k in trust.clean_counts.items())
        of_clean = f"accuracy, n = {clean['n']:,} ({counts}){_interval(clean)}"
    elif trust.count is not None:
        of_clean = "n = 0: every image is known"
    if best is not None:
        of_best, without = f"{best['name']}, all images", best["clean_accuracy"]
        if trust.count and is_defined(without):
            of_best += f"; without copies {percent(without)}"
    of_all = f"accuracy, n = {metrics['n']:,}{_interval(metrics)}"
    tiles = (
        ("All images", metrics, of_all),
        ("Without copies in training", clean, of_clean),
        ("Best floor", best, of_best),
    )
    return [
        {"name": name, "value": percent(figures["accuracy"] if figures else None), "hint": hint}
        for name, figures, hint in tiles
    ]


def _interval(figures: Mapping[str, Any]) -> str:
    """ "; 95 % CI 94.0 to 96.3 %" of the accuracy; empty where there is none."""
    _, is_known, text = with_interval(figures, "accuracy").partition("(")
    return f"; {text[:-1]}" if is_known else ""


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


def _leak(n: int, trust: Assessment) -> list[str]:
    """How many of the n images the model knows from training, and what follows; for anyone."""
    if trust.count is None:
        return []
    not_known = about_training(trust.patients)
    if not trust.count:
        found_none = (
            f"None of the {n:,} images was found among the pictures that the model was trained "
            "on: neither byte for byte, nor re-encoded, resized or mirrored."
        )
        return [found_none, not_known or "None is of a patient with other images in training."]
    were = "image is" if trust.count == 1 else "images are"
    together = trust.patients.together
    ways = "as the same file, or as a re-encoded, resized or mirrored copy of the picture"
    if together and together.known:
        ways = f"{ways}, or as another slice of the same patient"
    said = [
        f"{trust.count:,} of {n:,} {were} known to the model from its training "
        f"({percent(trust.count / n)}): {ways}. Such images can be "
        "answered from memory, as an examination can whose questions were handed out before; "
        "a new patient's scan cannot.",
        not_known,
    ]
    if trust.clean is None:
        said.append("No image is left that could tell how the model does on new patients.")
    else:
        images = "image" if trust.clean["n"] == 1 else "images"
        said.append(
            f"The figure to quote is the accuracy over the {trust.clean['n']:,} {images} without "
            f"a copy: {with_interval(trust.clean, 'accuracy')}."
        )
    return [*filter(None, said)]
