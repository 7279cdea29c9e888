"""What validation fits once training has ended, and how it is kept with the checkpoint."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from braintumor.data.host_images import ImageSplit
from braintumor.evaluation.predict import Inference, features_of, predict_with_features
from braintumor.models.classifier import Classifier
from braintumor.progress import waiting
from braintumor.records import Predictions
from braintumor.runs.checkpoint import Card, load_classifier, load_outliers, save_best
from braintumor.runs.commands import resume_command
from braintumor.statistics import input_checks
from braintumor.statistics.decisions import (
    Decided,
    Decisions,
    DecisionSettings,
    decide,
    fit_decisions,
)

# N images, F features

_log = logging.getLogger(__name__)

MOST_COMMON = 1000  # training images, many times the 64 dimensions that are looked for in them


@dataclass(frozen=True, eq=False)
class PostProcessing:
    """What a checkpoint carries beside its network; outliers, upside_down: of its own features."""

    decisions: Decisions
    outliers: input_checks.Outliers
    upside_down: input_checks.Orientation

    def scores(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How strange images are, and how much they look upside down: float (N,) each.

        features: float (N, 2, F), as predict_with_features gives them.
        """
        outliers = input_checks.outlier_scores(self.outliers, features.mean(axis=1))
        return outliers, input_checks.orientation_scores(self.upside_down, features)

    def decide(self, predictions: Predictions, features: np.ndarray) -> Decided:
        """What the decisions say of each image."""
        return decide(predictions, self.decisions, *self.scores(features))


@dataclass(frozen=True, eq=False)
class FitImages:
    """Images to fit on. train: those that show what is common.  groups: int (N,), of val."""

    train: ImageSplit
    val: ImageSplit
    groups: np.ndarray


def load_postprocessing(path: Path, card: Card) -> PostProcessing | None:
    """What was fitted for the checkpoint; None, and a word on it, where there is nothing.

    Nothing is fitted for an ensemble: the thresholds of each model are for its own probabilities,
    and those of the mean are less extreme.
    """
    if path.is_dir():
        _log.info(
            "%s: probabilities are averaged; thresholds were fitted for each model alone, so "
            "none is applied, and the answer is the most probable class",
            card.model_name,
        )
        return None
    if card.decisions is None:
        _log.warning(
            "%s has no temperature and thresholds yet, since its training did not end; go on with "
            "`%s`", path, resume_command(path.parent),
        )  # fmt: skip
        return None
    arrays = load_outliers(path)
    return PostProcessing(
        Decisions(**card.decisions),
        input_checks.Outliers(arrays["mean"], arrays["basis"], arrays["scale"]),
        input_checks.Orientation(arrays["turned_weight"], arrays["turned_offset"]),
    )


@waiting("fitting decisions on validation")
def add_postprocessing(
    paths: Sequence[Path], images: FitImages, settings: DecisionSettings, how: Inference, views: int
) -> tuple[Classifier, Card, PostProcessing]:
    """Fit temperature, thresholds and sets on validation, and add them to the checkpoints.

    paths: the model that validation chose, then what was made of it. A refitted model has seen
        validation, so it takes the decisions of the chosen one; common features are its own, and
        scores of strangeness are relative.
    views: as many as the images to be judged will have.
    Returns the last checkpoint, as it is in its file.
    """
    # upside down in memory: there are few of them
    flipped = dataclasses.replace(images.train, images=images.train.images[:].flip(-2))
    decisions: Decisions | None = None
    for path in paths:
        model, card = load_classifier(path, images.val.device)
        with model.fused():
            upright, turned = (features_of(model, part, how) for part in (images.train, flipped))
            outliers = input_checks.fit_outliers(
                upright.mean(axis=1), images.train.labels.cpu().numpy()
            )
            orientation = input_checks.fit_orientation(upright, turned)
            if decisions is None:
                val, features = predict_with_features(model, images.val, card.classes, how, views)
                decisions = fit_decisions(
                    val,
                    images.groups,
                    input_checks.outlier_scores(outliers, features.mean(axis=1)),
                    settings,
                    input_checks.orientation_scores(orientation, features),
                )
        fitted = PostProcessing(decisions, outliers, orientation)
        card = dataclasses.replace(card, decisions=dataclasses.asdict(decisions))
        weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
        rule = {f"turned_{name}": array for name, array in vars(orientation).items()}
        save_best(path, weights, card, vars(outliers) | rule)
    return model, card, fitted
