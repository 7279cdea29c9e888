"""One evaluation as a record, made without torch, with all that a report shows."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braintumor.evaluation.baseline_figures import Baselines, baseline_figures, best_baseline
from braintumor.evaluation.provenance import KnownPatients, Provenance, patients_unknown
from braintumor.evaluation.quote import FEW, Quote, choose_quote
from braintumor.files import natural_key
from braintumor.progress import waiting
from braintumor.records import Predictions
from braintumor.statistics.confidence import calibration_summary
from braintumor.statistics.decision_summary import decision_summary
from braintumor.statistics.decisions import Decided, Decisions
from braintumor.statistics.intervals import metric_intervals
from braintumor.statistics.metrics import compute_metrics, means_over, with_intervals

# M images evaluated, S image size px, K classes


@dataclass(frozen=True, eq=False)
class Leakage:
    """What is known of M images beside the predictions; None is not known.

    contaminated: bool (M,), the model saw a copy of the image (or its patient) in training; of
        patients that are not known it can tell nothing.
    baselines: what they answered on these images.
    groups: int (M,), images of one patient or copies of one picture share a number; intervals
        count groups. None: each image stands alone.
    """

    contaminated: np.ndarray | None = None
    baselines: Baselines | None = None
    patients: KnownPatients | None = None
    groups: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Assessment:
    """What puts the figures over all images into their place.

    contaminated, patients: as in Leakage.  baselines: as baseline_figures gives them.
    baseline_answers: of each image, as in Baselines.
    clean: figures over the other images; None when unknown or no image is left.
    clean_counts: class -> clean images; empty when unknown.
    best_baseline: as the function of that name gives it.
    occlusion_tests: name -> accuracy, clean_accuracy (None without clean images) with a part of
        each picture blanked.
    """

    contaminated: np.ndarray | None
    clean: Mapping[str, Any] | None
    clean_counts: Mapping[str, int]
    baselines: pd.DataFrame | None
    baseline_answers: pd.DataFrame | None
    best_baseline: Mapping[str, Any] | None
    occlusion_tests: Mapping[str, Mapping[str, float | None]]
    patients: KnownPatients

    @property
    def count(self) -> int | None:
        """Contaminated images; None when unknown."""
        return None if self.contaminated is None else int(self.contaminated.sum())

    @property
    def few(self) -> dict[str, int]:
        """Classes with fewer than FEW clean images, when some image is clean: name -> count."""
        if self.clean is None:
            return {}
        return {name: n for name, n in self.clean_counts.items() if n < FEW}


@dataclass(frozen=True, eq=False)
class Explanations:
    """Heat maps, index of an image -> float (h, w) in [0, 1], and how far to trust them.

    h, w: of the cells that the model has, or of the picture; never enlarged in between.
    method: the setting eval.cam.  checks: as check_explanations gives them; None: not made.
    """

    method: str = ""
    heatmaps: Mapping[int, np.ndarray] = field(default_factory=dict)
    checks: Mapping[str, Mapping[str, Any]] | None = None

    @property
    def are_of_attention(self) -> bool:
        """Whether the maps show what attention looked at, which explains no class."""
        return bool(self.heatmaps) and self.method == "attention"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions of one split, their figures, and all that a report says and shows of them.

    metrics: figures over all images, each followed by its interval.
    decisions: of the checkpoint, at the temperature of the predictions; None without.
    decision_summary, calibration: measured on `unseen`; None without decisions.
    images: uint8 (M, S, S) or (M, S, S, 3); None: no picture is shown.
    examples: how many pictures to show at first; None: those with a heat map.
    wrong_pictures: of how many errors to keep the picture.
    groups: text (M,), as in the manifest, "" for an image of its own; None: not known.
    joined: what was done where model and data have other classes; empty where they have not.
    """

    split: str
    predictions: Predictions
    metrics: Mapping[str, Any]
    assessment: Assessment
    decisions: Decisions | None = None
    decided: Decided | None = None
    decision_summary: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    explanations: Explanations = field(default_factory=Explanations)
    images: np.ndarray | None = None
    examples: int | None = None
    wrong_pictures: int = 0
    groups: np.ndarray | None = None
    provenance: Provenance = field(default_factory=Provenance)
    joined: str = ""

    @property
    def is_right(self) -> np.ndarray:
        """bool (M,)."""
        return self.predictions.predicted == self.predictions.labels

    @property
    def unseen(self) -> np.ndarray:
        """The images without a copy in training, or all where there are no such two kinds.

        bool (M,). What is known from training says nothing of a decision on new images.
        """
        trust = self.assessment
        if trust.contaminated is None or not trust.count or trust.clean is None:
            return np.ones(len(self.predictions), dtype=bool)
        return ~trust.contaminated

    @property
    def quote(self) -> Quote:
        """The figure that can be quoted of this evaluation, or why there is none."""
        trust = self.assessment
        own = trust.patients.together is not None
        return choose_quote(self.split, self.metrics, trust.clean, trust.count, is_own=own)

    def to_dict(self) -> dict[str, Any]:
        """The content of metrics.json; undefined figures are NaN here and null there."""
        trust = self.assessment
        return {
            "split": self.split,
            "n": len(self.predictions),
            "all": self.metrics,
            "clean": trust.clean,
            "contaminated": trust.count,
            "patients": {
                **dataclasses.asdict(trust.patients.evaluated),
                "compared_with_training": trust.patients.are_compared,
            },
            "floor": trust.best_baseline,
            "shortcuts": dict(trust.occlusion_tests) or None,
            "calibration": self.calibration,
            "decisions": self.decision_summary,
            "explanations": self.explanations.checks,
            "quote": self.quote.to_dict(),
            "classes_joined": self.joined or None,
        }


@waiting("measuring figures and their intervals")
def measure(
    predictions: Predictions,
    split: str,
    leakage: Leakage | None = None,
    occluded: Mapping[str, Predictions] | None = None,
    decisions: Decisions | None = None,
    decided: Decided | None = None,
    prevalence: float | None = None,
) -> Evaluation:
    """The figures of predictions, with intervals, and what puts them into their place.

    occluded: name -> predictions of the same images with a part of each blanked.
    prevalence: for PPV and NPV; None: as in the images.
    """
    leakage = leakage or Leakage()
    groups = np.arange(len(predictions)) if leakage.groups is None else leakage.groups
    found = Evaluation(
        split=split,
        predictions=predictions,
        metrics=figures_with_intervals(predictions, groups),
        assessment=assess(predictions, leakage, occluded),
        decisions=decisions,
        decided=decided,
    )
    if decisions is None or decided is None:
        return found
    rows = found.unseen
    unseen = predictions.subset(rows)
    called: dict[str, Any] = {
        name: None if values is None else values[rows] for name, values in vars(decided).items()
    }
    summary = decision_summary(unseen, decisions, Decided(**called), groups[rows], prevalence)
    return dataclasses.replace(
        found, decision_summary=summary, calibration=calibration_summary(unseen)
    )


def assess(
    predictions: Predictions, leakage: Leakage, occluded: Mapping[str, Predictions] | None = None
) -> Assessment:
    """What the figures are worth: without copies of training images, and beside baselines."""
    labels, contaminated, classes = predictions.labels, leakage.contaminated, predictions.classes
    groups = np.arange(len(labels)) if leakage.groups is None else leakage.groups
    is_clean = np.zeros(len(labels), bool) if contaminated is None else ~contaminated
    clean, tests = None, {}
    if is_clean.any():
        clean = figures_with_intervals(predictions.subset(is_clean), groups[is_clean])
    for name, blanked in (occluded or {}).items():
        is_right = blanked.predicted == blanked.labels
        tests[name] = {
            "accuracy": float(is_right.mean()),
            "clean_accuracy": float(is_right[is_clean].mean()) if is_clean.any() else None,
        }
    table = best = answers = None
    if leakage.baselines is not None:
        answers = leakage.baselines.answers.loc[list(predictions.paths)]
        floors = Baselines(answers, leakage.baselines.seconds)
        table = baseline_figures(floors, np.array(classes, object)[labels], is_clean, classes)
        best = best_baseline(table, answers, predictions, groups, is_clean)
    # a class that the split never had is not one that copies have emptied
    counted = labels[:0] if contaminated is None else np.unique(labels)
    return Assessment(
        contaminated=contaminated,
        clean=clean,
        clean_counts={classes[k]: int(is_clean[labels == k].sum()) for k in counted},
        baselines=table,
        baseline_answers=answers,
        best_baseline=best,
        occlusion_tests=tests,
        patients=leakage.patients or patients_unknown(len(predictions)),
    )


def figures_with_intervals(predictions: Predictions, groups: np.ndarray | None) -> dict[str, Any]:
    """What compute_metrics says, each figure followed by its interval; groups; means_over."""
    found = with_intervals(compute_metrics(predictions), metric_intervals(predictions, groups))
    count = len(predictions if groups is None else np.unique(groups))
    return found | {"groups": count, "means_over": means_over(found["per_class"])}


def choose_examples(predictions: Predictions, count: int) -> list[int]:
    """Indices of at most `count` images worth a look: the wrong ones first, worst first.

    Half are wrong, those with most probability on the wrong class; the rest are right, class
    by class in turn and evenly over the confidence, so that they are typical and not the best.
    Where one kind is short the other fills up. The choice does not depend on the order of rows.
    """
    confidence = predictions.probs.max(axis=1)
    is_right = predictions.predicted == predictions.labels
    order = sorted(
        range(len(predictions)), key=lambda i: (-confidence[i], natural_key(predictions.paths[i]))
    )
    wrong, right = ([i for i in order if is_right[i] == kind] for kind in (False, True))
    wrong = wrong[: max(count // 2, count - len(right))]
    classes = range(len(predictions.classes))
    by_class = [[i for i in right if predictions.labels[i] == k] for k in classes]
    places = sorted((place, k) for k in classes for place in range(len(by_class[k])))
    places = places[: count - len(wrong)]
    shares = Counter(k for _, k in places)
    return wrong + [
        by_class[k][int((place + 0.5) * len(by_class[k]) / shares[k])] for place, k in places
    ]
