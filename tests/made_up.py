"""Predictions, pictures and tables made up for tests; fixtures of every room."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from braintumor.evaluation.baseline_figures import Baselines
from braintumor.evaluation.provenance import Provenance
from braintumor.evaluation.record import (
    Evaluation,
    Explanations,
    Leakage,
    measure,
)
from braintumor.records import Predictions
from braintumor.statistics import intervals
from chromium import Browser

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")


def misnamed_links(page: str) -> list[tuple[str, str]]:
    """Links of a page's index, and the headings that they lead to, where the words differ."""
    links = re.findall(r'<a href="#([\w-]+)">([^<]*)</a>', page[: page.index("</nav>")])
    headings = dict(re.findall(r'<h2 id="([\w-]+)-h"[^>]*>([^<]*)</h2>', page))
    assert len(links) > 2
    return [(words, headings[name]) for name, words in links if words != headings[name]]


def intervals_by(
    predictions: Predictions, groups: np.ndarray | None, resamples: int, seed: int = 0
) -> dict[str, Any]:
    """metric_intervals with fewer resamples, which take less time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "RESAMPLES", resamples)
        patch.setattr(intervals, "SEED", seed)
        return intervals.metric_intervals(predictions, groups)


def evaluation_of(
    predictions: Predictions,
    contaminated: np.ndarray | None = None,
    floors: dict[str, tuple[float, float]] | None = None,
    occluded: dict[str, Predictions] | None = None,
    *,
    heatmaps: dict[int, np.ndarray] | None = None,
    about: dict[str, Any] | None = None,
    **more: Any,
) -> Evaluation:
    """An evaluation as measured, with fields of it replaced.

    floors: as baselines_of takes them.
    about: fields of its provenance.  more: patients and groups; split, decisions, decided and
    prevalence, that it is measured with; method and checks of its heat maps; other fields.
    """
    answers = floors and baselines_of(predictions, contaminated, floors)
    leakage = Leakage(
        contaminated, answers or None, more.pop("patients", None), more.pop("groups", None)
    )
    given = ("decisions", "decided", "prevalence")
    how = {name: more.pop(name) for name in given if name in more}
    found = measure(predictions, more.pop("split", "test"), leakage, occluded, **how)
    maps = Explanations(more.pop("method", "gradcam"), heatmaps or {}, more.pop("checks", None))
    about = about or {}
    return dataclasses.replace(found, explanations=maps, provenance=Provenance(**about), **more)


def baselines_of(
    predictions: Predictions,
    contaminated: np.ndarray | None,
    floors: dict[str, tuple[float, float]],
) -> Baselines:
    """Answers that are right as often as they are said to be.

    floors: name -> accuracy over all images and over clean ones, as near as can be.
    """
    count, classes = len(predictions), np.array(predictions.classes, dtype=object)
    is_clean = np.zeros(count, bool) if contaminated is None else ~contaminated
    answers = {}
    for name, (of_all, of_clean) in floors.items():
        said = (predictions.labels + 1) % len(classes)
        right_clean = np.flatnonzero(is_clean)[: round(of_clean * is_clean.sum())]
        right = np.flatnonzero(~is_clean)[: max(0, round(of_all * count) - len(right_clean))]
        rows = np.concatenate([right_clean, right])
        said[rows] = predictions.labels[rows]
        answers[name] = classes[said]
    table = pd.DataFrame(answers, index=list(predictions.paths))
    return Baselines(table, pd.Series(1.0, index=table.columns))


def of_confidence(confidence: list[float], is_right: list[int]) -> Predictions:
    """Two classes; the first is always predicted."""
    p = np.array(confidence)
    labels = 1 - np.array(is_right)
    return Predictions(
        ("glioma", "no_tumor"), ("x",) * len(p), labels, np.log(np.stack([p, 1 - p], axis=1))
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Its tests skip themselves where there is no Chromium."""
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def make_predictions() -> Callable[..., Predictions]:
    """Seeded predictions, mostly right: make(n, classes=..., seed=..., skill=...)."""

    def make(
        n: int = 120, classes: tuple[str, ...] = CLASSES, seed: int = 0, skill: float = 2.0
    ) -> Predictions:
        random = np.random.default_rng(seed)
        labels = random.integers(0, len(classes), n)
        logits = random.normal(size=(n, len(classes))).astype(np.float32)
        logits[np.arange(n), labels] += skill
        paths = tuple(f"Testing/{classes[k]}/Image{i}.jpg" for i, k in enumerate(labels))
        return Predictions(tuple(classes), paths, labels.astype(np.int64), logits)

    return make


@pytest.fixture
def images() -> np.ndarray:
    """uint8 (120, 24, 24), noise."""
    return np.random.default_rng(1).integers(0, 256, (120, 24, 24), dtype=np.uint8)


@pytest.fixture
def history() -> pd.DataFrame:
    """Five epochs in two phases; the fourth is the best."""
    epochs = np.arange(1, 6)
    return pd.DataFrame(
        {
            "epoch": epochs,
            "phase": [1, 1, 2, 2, 2],
            "lr": 1e-3,
            "train_loss": 1 / epochs,
            "train_accuracy": 1 - 0.5 / epochs,
            "val_loss": 1.1 / epochs,
            "val_accuracy": 1 - 0.6 / epochs,
            "val_balanced_accuracy": 0.8,
            "val_macro_f1": [0.4, 0.6, 0.7, 0.9, 0.8],
            "val_auroc": 0.9,
            "images_per_s": 100.0,
            "seconds": 1.0,
            "is_best": [True, True, True, True, False],
        }
    )


@pytest.fixture
def floors() -> dict[str, tuple[float, float]]:
    """Two floors, accuracy over all images and over clean ones; made up."""
    return {"majority class": (0.3, 0.4), "eight intensity statistics": (0.9, 0.7)}
