"""What the decisions did on evaluated images: figures for metrics.json and the report."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from braintumor.records import Predictions
from braintumor.statistics.confidence import aurc, by_confidence
from braintumor.statistics.decisions import NO_TUMOR, Decided, Decisions
from braintumor.statistics.proportions import share_interval

# N images, K classes, G groups

KEPT = (1.0, 0.95, 0.9, 0.8)  # shares of images answered, for the table of abstention
_UNDEFINED = float("nan")


def decision_summary(
    predictions: Predictions,
    decisions: Decisions,
    decided: Decided,
    groups: np.ndarray | None,
    prevalence: float | None,
) -> dict[str, Any]:
    """Six blocks that json can hold; beside a figure "x" stands "x_ci", [low, high] or None.

    fitted_on: n, groups, temperature, of validation.
    tumor_call (None without a threshold): threshold, target, sensitivity, specificity, n_tumor,
        n_no_tumor, prevalence, prevalence_is_stated, ppv, npv.
    sets (None without sets): target, coverage_groups (mean over groups, what the target
        promises), groups, coverage (of the images), n, mean_size, singletons, empty (shares), and
        per_class: {name: coverage, n}. An empty set is no fault: no class was likely enough, and
        the image is one to abstain from.
    abstention: aurc; kept: [{share, n, accuracy}], the most confident first; and fitted: target
        (of the risk), confidence, and unless that is None, share and n of the images answered,
        risk (the share of wrong answers).
    foreign, turned (None without such scores): target, share, n.

    groups: int (N,); None: each image stands alone.
    prevalence: for PPV and NPV; None: as in these images.
    Figures without images are NaN. Intervals are Wilson's at 95 %, on the number of independent
    images that the groups are worth; those of PPV and NPV are explained in `_predictive_values`.
    """
    groups = np.arange(len(predictions)) if groups is None else groups
    calibrated = replace(predictions, temperature=decisions.temperature)
    return {
        "fitted_on": {name: getattr(decisions, name) for name in ("n", "groups", "temperature")},
        "tumor_call": _tumor_call(predictions, decisions, decided, groups, prevalence),
        "sets": _sets(predictions, decisions, decided, groups),
        "abstention": {
            "aurc": aurc(calibrated),
            "kept": _kept(calibrated, groups),
            "fitted": _answered(predictions, decisions, decided, groups),
        },
        "foreign": _flagged(decided.is_foreign, decisions, groups),
        "turned": _flagged(decided.is_upside_down, decisions, groups),
    }


def _kept(predictions: Predictions, groups: np.ndarray) -> list[dict[str, Any]]:
    errors, order = by_confidence(predictions)
    rows = []
    for share in KEPT:
        n = math.ceil(share * len(errors) - 1e-9)
        accuracy = _share("accuracy", 1 - errors[:n], groups[order[:n]])
        rows.append({"share": share, "n": n, **accuracy})
    return rows


def _answered(
    predictions: Predictions, decisions: Decisions, decided: Decided, groups: np.ndarray
) -> dict[str, Any]:
    found = {"target": decisions.risk, "confidence": decisions.confidence}
    if (given := decided.is_answered) is None:
        return found
    is_wrong = predictions.predicted != predictions.labels
    share = _share("share", given, groups)
    risk = _share("risk", is_wrong[given], groups[given])
    return {**found, **share, **risk, "n": int(given.sum())}


def _tumor_call(
    predictions: Predictions,
    decisions: Decisions,
    decided: Decided,
    groups: np.ndarray,
    prevalence: float | None,
) -> dict[str, Any] | None:
    if decided.is_tumor is None:
        return None
    is_tumor = predictions.labels != predictions.classes.index(NO_TUMOR)
    called = decided.is_tumor
    found = {
        **_share("sensitivity", called[is_tumor], groups[is_tumor]),
        **_share("specificity", ~called[~is_tumor], groups[~is_tumor]),
    }
    at = float(is_tumor.mean()) if prevalence is None else prevalence
    return {
        "threshold": decisions.threshold,
        "target": decisions.sensitivity,
        **found,
        "n_tumor": int(is_tumor.sum()),
        "n_no_tumor": int((~is_tumor).sum()),
        "prevalence": at,
        "prevalence_is_stated": prevalence is not None,
        **_predictive_values(found, at),
    }


def _predictive_values(found: dict[str, Any], prevalence: float) -> dict[str, Any]:
    """PPV and NPV by Bayes from sensitivity and specificity.

    Both rise with both, so the lower ends of their intervals put together give a lower end, and
    the upper an upper; wider than 95 % needs, since both are seldom off to the same side.
    Source: Altman & Bland 1994, BMJ 309:102; Zou & Donner 2008, Stat. Med. 27:1693-1702, for
    the narrower interval that the ends enclose.
    """
    sensitivity, specificity = (
        np.array([found[name], *(found[f"{name}_ci"] or (_UNDEFINED, _UNDEFINED))])
        for name in ("sensitivity", "specificity")
    )  # each with its lower and upper end
    right, wrong = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    cleared, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    with np.errstate(invalid="ignore"):  # NaN where none would be called so
        values = {"ppv": right / (right + wrong), "npv": cleared / (cleared + missed)}
    summary: dict[str, Any] = {}
    for name, (value, *ends) in values.items():
        summary[name] = float(value)
        summary[f"{name}_ci"] = None if np.isnan([value, *ends]).any() else list(map(float, ends))
    return summary


def _sets(
    predictions: Predictions, decisions: Decisions, decided: Decided, groups: np.ndarray
) -> dict[str, Any] | None:
    if decided.sets is None:
        return None
    is_covered = decided.sets[np.arange(len(predictions)), predictions.labels]
    sizes = decided.sets.sum(axis=1)
    owns = [predictions.labels == k for k in range(len(predictions.classes))]
    per_class = {
        name: {**_share("coverage", is_covered[own], groups[own]), "n": int(own.sum())}
        for name, own in zip(predictions.classes, owns, strict=True)
    }
    _, of_group = np.unique(groups, return_inverse=True)
    means = np.bincount(of_group, weights=is_covered) / np.bincount(of_group)
    return {
        "target": decisions.coverage,
        **_share("coverage_groups", means, np.arange(len(means))),
        "groups": len(means),
        **_share("coverage", is_covered, groups),
        "n": len(predictions),
        "mean_size": float(sizes.mean()),
        **_share("singletons", sizes == 1, groups),
        **_share("empty", sizes == 0, groups),
        "per_class": per_class,
    }


def _flagged(
    flags: np.ndarray | None, decisions: Decisions, groups: np.ndarray
) -> dict[str, Any] | None:
    if flags is None:
        return None
    return {"target": decisions.reject, **_share("share", flags, groups), "n": len(flags)}


def _share(name: str, values: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """The mean of shares in [0, 1] and its Wilson interval: {name, name_ci}."""
    if not len(values):
        return {name: _UNDEFINED, f"{name}_ci": None}
    interval = share_interval(values.astype(float), groups)
    return {name: float(values.mean()), f"{name}_ci": list(interval)}
