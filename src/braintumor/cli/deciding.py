"""What validation fits once training has ended, and how it is kept with the checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braintumor.cli.console import log
from braintumor.cli.work import Work
from braintumor.data.manifest import group_numbers
from braintumor.evaluation.decisions import Decisions, DecisionSettings, fit_decisions
from braintumor.evaluation.outliers import Outliers, fit_outliers, outlier_scores
from braintumor.evaluation.predict import features_of, predict_with_features
from braintumor.runs.checkpoint import Card, load_classifier, load_outliers, save_best
from braintumor.runs.folder import RunFolder
from braintumor.runtime import mix_seed
from braintumor.settings import typed

_MOST = 2000  # training images, many times the 64 dimensions that are looked for in them


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a checkpoint carries beside its network. outliers: of its own features."""

    decisions: Decisions
    outliers: Outliers

    def scores(self, features: np.ndarray) -> np.ndarray:
        """How strange images are: float (N,)."""
        return outlier_scores(self.outliers, features)


def fitted_of(path: Path, card: Card) -> Fitted | None:
    """What was fitted for the checkpoint; None for one without, as of older versions."""
    arrays = load_outliers(path)
    if card.decisions is None or arrays is None:
        return None
    return Fitted(Decisions(**card.decisions), Outliers.from_arrays(arrays))


def settle(work: Work, run: RunFolder) -> None:
    """Fit temperature, threshold, sets and outliers on validation, and add them to the checkpoint.

    A refitted model has seen validation, so it takes what was fitted with the model that
    validation chose; common features are its own, and scores of strangeness are relative.
    """
    if "decision" not in work.settings:  # a run that began before there was this section
        return
    settings = typed(DecisionSettings, work.settings["decision"], "decision")
    groups = group_numbers(work.data.manifest["group"].iloc[work.rows("val")])
    size: dict[str, Any] = {"batch_size": 2 * work.recipe.train.batch_size, "dtype": work.dtype}
    rows = _some(work)
    chosen = run.selected if work.recipe.train.refit else run.best
    decisions: Decisions | None = None
    for path in dict.fromkeys((chosen, run.best)):
        model, card = load_classifier(path, work.device)
        common = features_of(model, work.images_at(rows), **size)
        outliers = fit_outliers(common, work.labels[rows])
        if decisions is None:
            views = work.settings["eval"]["views"]  # as many as the test images will have
            predictions, features = predict_with_features(
                model, work.images("val"), card.classes, views=views, **size
            )
            scores = outlier_scores(outliers, features)
            decisions = fit_decisions(predictions, groups, scores, settings)
            _describe(decisions)
        card = dataclasses.replace(card, decisions=dataclasses.asdict(decisions))
        weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
        save_best(path, weights, card, outliers.to_arrays())


def _some(work: Work) -> np.ndarray:
    """Rows of training images that show what is common, drawn by the seed."""
    rows = work.rows("train")
    rng = np.random.default_rng(mix_seed(work.settings["seed"], "outliers"))
    return np.sort(rng.permutation(rows)[:_MOST])


def _describe(decisions: Decisions) -> None:
    parts = [f"temperature {decisions.temperature:.2f}"]
    if decisions.threshold is not None:
        parts.append(
            f"tumor from {decisions.threshold:.3g} on (sensitivity {decisions.sensitivity:g})"
        )
    if decisions.conformal is not None:
        parts.append(f"sets of classes from {1 - decisions.conformal:.3g} on")
    log.info("decided on %d validation images: %s", decisions.n, ", ".join(parts))
