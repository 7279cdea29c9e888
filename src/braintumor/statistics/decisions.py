"""What a model's probabilities let one do: call a tumour, name a set, turn a picture away.

Everything here is fitted on validation images and only applied to others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from braintumor.errors import ConfigError
from braintumor.records import Predictions

# N images, K classes

NO_TUMOR = "no_tumor"


@dataclass(frozen=True)
class DecisionSettings:
    """The `decision` section. Documented in configs/decision/default.yaml."""

    sensitivity: float
    prevalence: float | None
    coverage: float
    risk: float
    reject: float

    def __post_init__(self) -> None:
        for name in ("sensitivity", "prevalence", "coverage", "risk", "reject"):
            value = getattr(self, name)
            # a sensitivity of 1 can be had: the threshold of the least sure tumour
            if value is None or 0 < value < 1 or (name == "sensitivity" and value == 1):
                continue
            raise ConfigError(
                f"`decision.{name}={value}` should be a share between 0 and 1, both left out; "
                "give 0.05 for 5 %"
            )


@dataclass(frozen=True)
class Decisions:
    """Fitted on validation, kept in the card: `Decisions(**dataclasses.asdict(d))` is d again.

    n, groups: images and groups they were fitted on.
    temperature: all probabilities below are after it.
    threshold: p(any tumour) >= threshold is called tumour; None where no class is no_tumor, or
        validation had no tumour.
    conformal: a class is in the set where 1 - probability <= conformal; None where validation
        had too few groups to promise the coverage.
    outlier_threshold: an outlier score above it is foreign; None where no scores were given.
    turned_threshold: an orientation score above it stands on its head; None likewise.
    confidence: an image is answered where its top probability reaches it; None where validation
        could not show that at most the share `risk` of the answers is wrong.
    The last three are None in checkpoints of older versions.
    """

    n: int
    groups: int
    temperature: float
    sensitivity: float
    threshold: float | None
    coverage: float
    conformal: float | None
    reject: float
    outlier_threshold: float | None
    turned_threshold: float | None = None
    risk: float | None = None
    confidence: float | None = None


@dataclass(frozen=True, eq=False)
class Decided:
    """What the decisions say of N images; None where there is no such decision.

    tumor_prob: float (N,), of all tumor classes together; 1 where no class is no_tumor.
    is_tumor: bool (N,).  sets: bool (N, K).  outlier_score: float (N,).  is_foreign: bool (N,).
    is_turned: bool (N,), looks upside down.
    is_answered: bool (N,), sure enough, foreign or not; the others are for a person.
    """

    tumor_prob: np.ndarray
    is_tumor: np.ndarray | None
    sets: np.ndarray | None
    outlier_score: np.ndarray | None
    is_foreign: np.ndarray | None
    is_turned: np.ndarray | None = None
    is_answered: np.ndarray | None = None


def decide(
    predictions: Predictions,
    decisions: Decisions,
    outlier_scores: np.ndarray | None,
    turned_scores: np.ndarray | None = None,
) -> Decided:
    """Apply the decisions to any images of the same model.

    predictions: its temperature is not read, that of the decisions is used.
    outlier_scores, turned_scores: float (N,), by what the decisions were fitted with.
    """
    probs = replace(predictions, temperature=decisions.temperature).probs
    tumor = tumor_probability(probs, predictions.classes)
    return Decided(
        tumor_prob=tumor,
        is_tumor=None if decisions.threshold is None else tumor >= decisions.threshold,
        # 1 - p, as in the fit: p >= 1 - conformal can round the other way at a tie
        sets=None if decisions.conformal is None else 1 - probs <= decisions.conformal,
        outlier_score=outlier_scores,
        is_foreign=_above(outlier_scores, decisions.outlier_threshold),
        is_turned=_above(turned_scores, decisions.turned_threshold),
        is_answered=(
            None if decisions.confidence is None else probs.max(axis=1) >= decisions.confidence
        ),
    )


def columns_of(classes: tuple[str, ...], decided: Decided) -> dict[str, Sequence[Any]]:
    """What predictions.csv says beside the probabilities; no column where nothing was decided.

    tumor_prob, is_tumor, set (names, "; " between them, "" when empty), answered,
    outlier_score, foreign, upside_down; what is true or false is "true" or "false".
    """

    def words(flags: np.ndarray) -> list[str]:
        return ["true" if flag else "false" for flag in flags]

    columns: dict[str, Sequence[Any]] = {}
    if decided.is_tumor is not None:
        columns["tumor_prob"] = [float(f"{p:.9g}") for p in decided.tumor_prob]
        columns["is_tumor"] = words(decided.is_tumor)
    if decided.sets is not None:
        members = [np.flatnonzero(row) for row in decided.sets]
        columns["set"] = ["; ".join(classes[k] for k in row) for row in members]
    if decided.is_answered is not None:
        columns["answered"] = words(decided.is_answered)
    if decided.is_foreign is not None and decided.outlier_score is not None:
        columns["outlier_score"] = [float(f"{score:.4g}") for score in decided.outlier_score]
        columns["foreign"] = words(decided.is_foreign)
    if decided.is_turned is not None:
        columns["upside_down"] = words(decided.is_turned)
    return columns


def tumor_probability(probs: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Probability of any tumour: float (N,), the sum over all classes but no_tumor.

    The sum, and not 1 - p(no_tumor), which rounds the smallest ones to 0.
    """
    return np.asarray(probs[:, [name != NO_TUMOR for name in classes]].sum(axis=1))


def _above(scores: np.ndarray | None, limit: float | None) -> np.ndarray | None:
    return None if limit is None or scores is None else scores > limit
