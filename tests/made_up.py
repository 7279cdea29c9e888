"""Predictions, pictures and tables made up for tests; fixtures of every room."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest

from braintumor.records import Predictions
from chromium import Browser

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")


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
def floors() -> pd.DataFrame:
    """Two floors as measure_floors gives them; made up."""
    columns = ["accuracy", "balanced_accuracy", "n", "clean_accuracy", "clean_balanced_accuracy"]
    rows = {
        "majority class": [0.309, 0.25, 1311, 0.4, 0.25],
        "eight intensity statistics": [0.899, 0.89, 1311, 0.697, 0.6],
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.assign(clean_n=319, seconds=1.0).astype({"n": "int64"})
