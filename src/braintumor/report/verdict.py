"""The result in plain words: the first screen, and what accuracy is worth.

Three figures side by side, copies in training, baselines and occlusion tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braintumor.evaluation.provenance import about_patients
from braintumor.evaluation.quote import LEAVES_MORE, about_means, fall_from_validation
from braintumor.evaluation.record import Evaluation
from braintumor.records import Predictions
from braintumor.report.page import sentences
from braintumor.report.plots.style import elide
from braintumor.report.texts import percent
from braintumor.statistics.metrics import confusion_matrix

# of the lesser margin over the best floor: below, not told apart, above
_VERDICTS = {
    -1: "is worse than a simple rule",
    0: "is not shown to be better than a simple rule",
    1: "is better than every simple rule",
}


def headline(evaluation: Evaluation) -> str:
    """One sentence: how many are right, of which images; of those to quote where there are some."""
    return _sentences(evaluation)["headline"]


def findings(evaluation: Evaluation) -> list[str]:
    """How far above the baselines, where the model is weakest, which classes have no figure."""
    said, (text, is_above) = _sentences(evaluation), _floors(evaluation)
    above = text if is_above else ""
    return [*filter(None, [above, said["weakest"], said["means"], said["silent"]])]


def cautions(evaluation: Evaluation) -> list[str]:
    """What not to believe: joined classes, split, copies, floors, a fall, patients."""
    said = [evaluation.joined, evaluation.quote.why, _sentences(evaluation)["copies"]]
    patients = about_patients(evaluation.assessment.patients)
    return [*filter(None, [*said, *doubts(evaluation), patients])]


def leaves_more(evaluation: Evaluation) -> str:
    """Which other splits would leave more images of the few classes; empty where none would."""
    trust, rows = evaluation.assessment, evaluation.metrics["per_class"]
    is_own = trust.patients.together is not None
    return LEAVES_MORE * (is_own and any(n < rows[name]["n"] for name, n in trust.few.items()))


def doubts(evaluation: Evaluation) -> list[str]:
    """Sentences on a model below its floors, a fall from validation, and a test seen before."""
    (text, is_above), said = _floors(evaluation), _sentences(evaluation)
    return [*filter(None, ["" if is_above else text, said["fall"], said["again"]])]


def _sentences(evaluation: Evaluation) -> dict[str, str]:
    """What verdict.j2 says."""
    quote, about, predictions = evaluation.quote, evaluation.provenance, evaluation.predictions
    figures, fallen = quote.figures or evaluation.metrics, None
    if evaluation.split not in ("train", "val"):
        fallen = fall_from_validation(figures, about.history, about.images)
    matrix = confusion_matrix(predictions)
    counts, called = matrix.sum(axis=1), matrix.sum(axis=0)
    return sentences(
        "verdict.j2",
        evaluation=evaluation,
        quote=quote,
        figures=figures,
        right=round(figures["accuracy"] * figures["n"]),
        data=elide(about.data_name) or "the data",
        worst=weakest_class(predictions),
        about_means=about_means(evaluation.metrics),
        never=[predictions.classes[k] for k in np.flatnonzero((called == 0) & (counts > 0))],
        fallen=fallen,
    )


def weakest_class(predictions: Predictions) -> dict[str, Any]:
    """The class with the largest share of its images missed, and what they were taken for most."""
    matrix, names = confusion_matrix(predictions), predictions.classes
    counts, errors = matrix.sum(axis=1), matrix * ~np.eye(len(matrix), dtype=bool)
    missed = errors.sum(axis=1)
    worst = max(np.flatnonzero(counts).tolist(), key=lambda k: (missed[k] / counts[k], missed[k]))
    other = int(errors[worst].argmax())
    return {
        "name": names[worst], "missed": int(missed[worst]), "n": int(counts[worst]),
        "taken_for": names[other], "confused": int(errors[worst, other]),
    }  # fmt: skip


def _floors(evaluation: Evaluation) -> tuple[str, bool]:
    """What above_baseline says, and whether the model is above; an empty text where unknown."""
    trust = evaluation.assessment
    if trust.best_baseline is None:
        return "", True
    kinds = {"": "All images"}
    if trust.count and "clean_margin" in trust.best_baseline:  # else both would say the same
        kinds["clean_"] = "Images without copies"
    return above_baseline(trust.best_baseline, kinds)


def above_baseline(best: Mapping[str, Any], kinds: Mapping[str, str]) -> tuple[str, bool]:
    """What the margins over the best baselines say, and whether the model is above without a doubt.

    best: as evaluation.baseline_figures.best_baseline gives it.  kinds: begin of its keys -> which
    images those are.  What the interval of a margin does not tell from 0 may be noise.
    """
    parts: list[str] = []
    places: list[int] = []
    for kind, images in kinds.items():
        keys = ("clean_name", "clean_best") if kind else ("name", "accuracy")
        name, accuracy = (best[key] for key in keys)
        margin, (low, high) = best[f"{kind}margin"], best[f"{kind}margin_ci"]
        place = int(low > 0) - int(high < 0)
        parts.append(
            f"{images}: {percent(round(accuracy + margin, 9))} against {percent(accuracy)}"
            + ("" if parts and name == best["name"] else f" of the best floor, {name}")
            + f"; difference {100 * margin:+z.1f} points "
            f"(95\N{NO-BREAK SPACE}% CI {100 * low:+z.1f} to {100 * high:+z.1f})"
            + ("." if place else ", which may be chance.")
        )
        places.append(place)
    said = f"The model {_VERDICTS[min(places)]} that knows no anatomy. {' '.join(parts)}"
    return said, min(places) > 0


def floors(evaluation: Evaluation) -> dict[Any, dict[Any, Any]]:
    """Name -> figures of the model and, the best first, of the baselines; empty without those."""
    trust = evaluation.assessment
    if trust.baselines is None:
        return {}
    ranked = trust.baselines.sort_values("accuracy", ascending=False, kind="stable")
    of_clean = {f"clean_{key}": value for key, value in (trust.clean or {}).items()}
    return {"the model": {**evaluation.metrics, **of_clean}, **ranked.to_dict("index")}
