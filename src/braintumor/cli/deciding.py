"""What validation fits once training has ended, and how it is kept with the checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braintumor.config import typed
from braintumor.data.manifest import group_numbers
from braintumor.data.tensors import ImageSplit
from braintumor.evaluation.predict import features_of, predict_with_features
from braintumor.runs.checkpoint import Card, load_classifier, load_outliers, save_best
from braintumor.runs.folder import RunFolder
from braintumor.runtime import mix_seed
from braintumor.statistics.decisions import Decisions, DecisionSettings, fit_decisions
from braintumor.statistics.input_checks import (
    Orientation,
    Outliers,
    fit_orientation,
    fit_outliers,
    orientation_scores,
    outlier_scores,
)
from braintumor.workflows.console import log
from braintumor.workflows.setup import Experiment as Work

_MOST = 1000  # training images, many times the 64 dimensions that are looked for in them


@dataclass(frozen=True, eq=False)
class PostProcessing:
    """What a checkpoint carries beside its network; outliers, orientation: of its own features.

    orientation: None in checkpoints of older versions.
    """

    decisions: Decisions
    outliers: Outliers
    orientation: Orientation | None

    def scores(self, features: np.ndarray) -> dict[str, np.ndarray | None]:
        """How strange images are, by the names that `decide` takes: float (N,) each.

        features: float (N, 2, F), as predict_with_features gives them.
        """
        rule = self.orientation
        return {
            "outlier_scores": outlier_scores(self.outliers, features.mean(axis=1)),
            "turned_scores": None if rule is None else orientation_scores(rule, features),
        }


def load_postprocessing(path: Path, card: Card) -> PostProcessing | None:
    """What was fitted for the checkpoint; None for one without, as of older versions."""
    arrays = load_outliers(path)
    if card.decisions is None or arrays is None:
        return None
    decisions = Decisions(**card.decisions)
    return PostProcessing(decisions, Outliers.from_arrays(arrays), Orientation.from_arrays(arrays))


def fit_postprocessing(work: Work, run: RunFolder) -> None:
    """Fit temperature, thresholds and sets on validation, and add them to the checkpoint.

    A refitted model has seen validation, so it takes what was fitted with the model that
    validation chose; common features are its own, and scores of strangeness are relative.
    """
    settings = typed(DecisionSettings, work.settings["decision"], "decision")
    groups = group_numbers(work.data.manifest["group"].iloc[work.rows("val")])
    how: dict[str, Any] = {
        "batch_size": 2 * work.recipe.train.batch_size,
        "dtype": work.dtype,
        "keep": work.keeps_summaries(),
    }
    rows = _some(work)
    chosen = run.selected if work.recipe.train.refit else run.best
    decisions: Decisions | None = None
    for path in dict.fromkeys((chosen, run.best)):
        model, card = load_classifier(path, work.device)
        some = work.images_at(rows)
        upright, turned = (features_of(model, part, **how) for part in (some, _turned(some)))
        outliers = fit_outliers(upright.mean(axis=1), work.labels[rows])
        orientation = fit_orientation(upright, turned)
        if decisions is None:
            views = work.settings["eval"]["views"]  # as many as the test images will have
            predictions, features = predict_with_features(
                model, work.images("val"), card.classes, views=views, **how
            )
            decisions = fit_decisions(
                predictions,
                groups,
                outlier_scores(outliers, features.mean(axis=1)),
                settings,
                orientation_scores(orientation, features),
            )
            _describe(decisions)
        card = dataclasses.replace(card, decisions=dataclasses.asdict(decisions))
        weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
        save_best(path, weights, card, outliers.to_arrays() | orientation.to_arrays())


def _some(work: Work) -> np.ndarray:
    """Rows of training images that show what is common, drawn by the seed."""
    rows = work.rows("train")
    rng = np.random.default_rng(mix_seed(work.settings["seed"], "outliers"))
    return np.sort(rng.permutation(rows)[:_MOST])


def _turned(split: ImageSplit) -> ImageSplit:
    """The images upside down, in memory: there are few of them."""
    return dataclasses.replace(split, images=split.images[:].flip(-2))


def _describe(decisions: Decisions) -> None:
    parts = [f"temperature {decisions.temperature:.2f}"]
    if decisions.threshold is not None:
        parts.append(
            f"tumor from {decisions.threshold:.3g} on (sensitivity {decisions.sensitivity:g})"
        )
    if decisions.conformal is not None:
        parts.append(f"sets of classes from {1 - decisions.conformal:.3g} on")
    if decisions.confidence is not None:
        parts.append(f"answered from {decisions.confidence:.3g} on (risk {decisions.risk:g})")
    log.info("decided on %d validation images: %s", decisions.n, ", ".join(parts))
