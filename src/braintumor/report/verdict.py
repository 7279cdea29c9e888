"""The result in plain words: the first screen, and what accuracy is worth.

Three figures side by side, copies in training, baselines and occlusion tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braintumor.evaluation.provenance import about_patients
from braintumor.evaluation.quote import about_means, fall_from_validation
from braintumor.evaluation.record import Evaluation
from braintumor.report.page import accuracy_with_ci, percent
from braintumor.report.plots.style import elide
from braintumor.statistics.metrics import confusion_matrix

# K classes

_SPACE = "\N{NO-BREAK SPACE}"
COPIES = (
    "It is not known whether the model has seen some of these images, or copies of them, in "
    "training. Public data sets often share pictures between training and test; where this one "
    "does, every figure on this page is too high."
)
LEAK = (
    "The model knows {count:,} of these {n:,} images ({share}) from its training, as they are or "
    "as copies: the figures over all images are too high."
)
# of the lesser margin over the best floor: below, not told apart, above
_VERDICTS = {
    -1: "is worse than a simple rule",
    0: "is not shown to be better than a simple rule",
    1: "is better than every simple rule",
}
_FLOOR_COLUMNS = (
    ("accuracy", "Accuracy"), ("balanced_accuracy", "Balanced accuracy"),
    ("clean_accuracy", "Accuracy without copies"),
    ("clean_balanced_accuracy", "Balanced without copies"),
)  # fmt: skip


def headline(evaluation: Evaluation) -> str:
    """One sentence: how many are right, of which images; of those to quote where there are some."""
    quote = evaluation.quote
    figures = quote.figures or evaluation.metrics
    n = figures["n"]
    right = round(figures["accuracy"] * n)
    images = "image" if n == 1 else "images"
    data = elide(evaluation.provenance.data_name) or "the data"
    where = f"of {data}, all splits together,"
    if evaluation.split != "all":
        where = f"in the {evaluation.split} split of {data}"
    if quote.images == "clean":
        where += " that have no copy in training"
    said = (
        f"{right:,} of {n:,} {images} {where} are classified correctly: accuracy "
        f"{accuracy_with_ci(figures)}."
    )
    return said if quote.figures else f"{said} Do not quote this figure."


def findings(evaluation: Evaluation) -> list[str]:
    """How far above the baselines, where the model is weakest, which classes have no figure."""
    matrix = confusion_matrix(evaluation.predictions)
    names = [elide(name) for name in evaluation.predictions.classes]
    text, is_above = _floors(evaluation)
    above = [text] if text and is_above else []
    return [*above, _weakest(matrix, names), *_missing(evaluation, matrix, names)]


def cautions(evaluation: Evaluation) -> list[str]:
    """What not to believe: joined classes, split, copies, floors, a fall, patients."""
    split, n, trust = evaluation.split, len(evaluation.predictions), evaluation.assessment
    quote, count = evaluation.quote, evaluation.assessment.count
    said = [evaluation.joined, quote.why]
    if split != "train" and count is None:
        said.append(COPIES)
    elif split != "train" and count:
        said.append(LEAK.format(count=count, n=n, share=percent(count / n)))
    return [*filter(None, [*said, *doubts(evaluation), about_patients(trust.patients)])]


def doubts(evaluation: Evaluation) -> list[str]:
    """Sentences on a model that is not above its floors, and on a fall from validation."""
    text, is_above = _floors(evaluation)
    return [*filter(None, ["" if is_above else text, _fall(evaluation)])]


def _floors(evaluation: Evaluation) -> tuple[str, bool]:
    """What above_baseline says, and whether the model is above; an empty text where unknown."""
    trust = evaluation.assessment
    if trust.best_baseline is None:
        return "", True
    kinds = {"": "All images"}
    if trust.count and "clean_margin" in trust.best_baseline:  # else both would say the same
        kinds["clean_"] = "Images without copies"
    return above_baseline(trust.best_baseline, kinds)


def _fall(evaluation: Evaluation) -> str:
    """A sentence on a large fall of accuracy from validation; empty where there is none."""
    if evaluation.split in ("train", "val"):
        return ""
    about, quote = evaluation.provenance, evaluation.quote
    figures = quote.figures or evaluation.metrics
    fall = fall_from_validation(figures, about.history, about.images)
    if fall is None:
        return ""
    low, high = (f"{100 * limit:.1f}" for limit in fall.interval)
    copies = " without a copy" if quote.images == "clean" else ""
    return (
        f"Accuracy falls from {percent(fall.validation)} on {fall.images:,} validation images to "
        f"{percent(fall.here)} on these {figures['n']:,}{copies}: by "
        f"{100 * (fall.validation - fall.here):.1f} percentage points (95 % CI {low} to {high}). "
        "Do not expect the validation figure on new images."
    )


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


def _missing(evaluation: Evaluation, matrix: np.ndarray, names: list[str]) -> list[str]:
    said = []
    counts, called = matrix.sum(axis=1), matrix.sum(axis=0)
    if means := about_means(evaluation.metrics):
        said.append(f"{means} What cannot be computed is shown as a dash.")
    if silent := ", ".join(names[k] for k in np.flatnonzero((called == 0) & (counts > 0))):
        said.append(f"The model never answers {silent}: look at the training before using it.")
    return said


def above_baseline(best: Mapping[str, Any], kinds: Mapping[str, str]) -> tuple[str, bool]:
    """What the margins over the best baselines say, and whether the model is above without a doubt.

    best: as evaluation.baseline_figures.best_baseline gives it.  kinds: begin of its keys -> which
    images those are.  What the interval of a margin does not tell from 0 may be noise.
    """
    parts: list[str] = []
    places: list[int] = []
    for kind, images in kinds.items():
        name, accuracy = best["clean_name" if kind else "name"], best[f"{kind}accuracy"]
        if kind:
            accuracy = best["clean_best"]
        margin, (low, high) = best[f"{kind}margin"], best[f"{kind}margin_ci"]
        place = int(low > 0) - int(high < 0)
        parts.append(
            f"{images}: {percent(round(accuracy + margin, 9))} against {percent(accuracy)}"
            + ("" if parts and name == best["name"] else f" of the best floor, {name}")
            + f"; difference {100 * margin:+.1f} points "
            f"(95{_SPACE}% CI {100 * low:+.1f} to {100 * high:+.1f})"
            + ("." if place else ", which may be chance.")
        )
        places.append(place)
    said = f"The model {_VERDICTS[min(places)]} that knows no anatomy. {' '.join(parts)}"
    return said, min(places) > 0


def floor_tables(evaluation: Evaluation) -> dict[str, Any]:
    """The rows of the floors below the model, their columns, and the rows of occlusion tests."""
    metrics, trust = evaluation.metrics, evaluation.assessment
    answered = {}
    if trust.baselines is not None:
        ranked = trust.baselines.sort_values("accuracy", ascending=False, kind="stable")
        of_clean = {f"clean_{key}": value for key, value in (trust.clean or {}).items()}
        answered = {"the model": {**metrics, **of_clean}, **ranked.to_dict("index")}
    clean = trust.clean["accuracy"] if trust.clean else None
    whole = {"whole picture": {"accuracy": metrics["accuracy"], "clean_accuracy": clean}}
    return {
        "floors": answered,
        "floor_columns": _FLOOR_COLUMNS if trust.count and trust.clean else _FLOOR_COLUMNS[:2],
        "shortcuts": {**whole, **trust.occlusion_tests} if trust.occlusion_tests else {},
    }
