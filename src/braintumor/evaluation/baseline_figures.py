"""What the answers of baselines are worth, and how far above the best of them a model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braintumor.records import Predictions
from braintumor.statistics.intervals import RESAMPLES, SEED
from braintumor.statistics.paired import Answers, interval_of_difference, paired_bootstrap

# M images evaluated, K classes


@dataclass(frozen=True, eq=False)
class Baselines:
    """answers: a row an image, named by its path, a column a baseline, in it the class answered.

    seconds: that each baseline took, by its name.
    """

    answers: pd.DataFrame
    seconds: pd.Series


def baseline_figures(
    baselines: Baselines, truth: np.ndarray, is_clean: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """A row a baseline: accuracy, balanced_accuracy (mean recall of the classes that are there), n
    and recall_<class> over all images; the same with clean_ before it over the clean ones, NaN and
    0 where there is none; seconds.

    truth: the class of each row of the answers, (M,).  is_clean: bool (M,).
    """
    table = {}
    for name, answers in baselines.answers.items():
        said = answers.to_numpy()
        clean = _figures(truth[is_clean], said[is_clean], classes)
        clean = {f"clean_{figure}": value for figure, value in clean.items()}
        seconds = {"seconds": float(baselines.seconds[str(name)])}
        table[name] = _figures(truth, said, classes) | clean | seconds
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("floor")


def _figures(truth: np.ndarray, said: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    recalls = [
        float((said[truth == name] == name).mean()) if (truth == name).any() else np.nan
        for name in classes
    ]
    figures = {"accuracy": np.nan, "balanced_accuracy": np.nan, "n": len(truth)}
    if len(truth):
        figures["accuracy"] = float((said == truth).mean())
        figures["balanced_accuracy"] = float(np.nanmean(recalls))
    return figures | {f"recall_{name}": r for name, r in zip(classes, recalls, strict=True)}


def best_baseline(
    figures: pd.DataFrame,
    answers: pd.DataFrame,
    predictions: Predictions,
    groups: np.ndarray,
    is_clean: np.ndarray,
) -> dict[str, Any]:
    """The best baseline over all images, name and accuracy, and margin: the accuracy of the model
    less its own, with margin_ci, the 95 % interval over the same groups of images for both.

    The same over the clean images, where another may be the best: clean_name, clean_best,
    clean_margin, clean_margin_ci; without clean images they are not there. clean_accuracy is that
    of the one named first. The first of equals is the best.
    answers: as in Baselines, in the order of the predictions.  groups: int (M,).
    """
    name = str(figures["accuracy"].idxmax())
    best = {key: float(figures[key][name]) for key in ("accuracy", "clean_accuracy")}
    found = {"name": name, **best, **_margin(predictions, answers[name], groups)}
    if not is_clean.any():
        return found
    name = str(figures["clean_accuracy"].idxmax())
    rows = np.flatnonzero(is_clean)
    clean = _margin(predictions.subset(is_clean), answers[name].iloc[rows], groups[is_clean])
    found |= {"clean_name": name, "clean_best": float(figures["clean_accuracy"][name])}
    return found | {f"clean_{key}": value for key, value in clean.items()}


def _margin(predictions: Predictions, answers: pd.Series, groups: np.ndarray) -> dict[str, Any]:
    """margin and margin_ci, of the model less a baseline on the same images."""
    said = answers.map(predictions.classes.index).to_numpy(dtype=np.int64)
    one_hot = np.eye(len(predictions.classes))
    labels = predictions.labels
    sides = [
        [Answers(labels, chosen, one_hot[chosen], groups)]
        for chosen in (predictions.predicted, said)
    ]
    model, floor = (drawn["accuracy"] for drawn in paired_bootstrap(sides, RESAMPLES, SEED))
    margin = float((predictions.predicted == labels).mean() - (said == labels).mean())
    return {
        "margin": margin,
        "margin_ci": interval_of_difference(model - floor, len(np.unique(groups))),
    }
