"""How far one comes without looking at the brain: what any model's accuracy has to beat.

Six answers that know nothing of anatomy, each trained on the training images and asked about the
same images as the model. Where one of them comes near the model, the test rewards copies,
brightness or the cut of the pictures, and not the reading of a scan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from braintumor.data.split import seen_in_training
from braintumor.errors import DataError
from braintumor.evaluation._baseline_features import (
    Describe,
    describe,
    intensities,
    metadata,
    rim,
    thumbnails,
)

# N training images, M images tested, S side in px, F features, K classes

# features and labels of training, features of test -> predicted (M,)
_Answer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_NEAREST_CELLS = 2**24  # of training x test at a time: 200 MB


@dataclass(frozen=True)
class _Floor:
    """describe: what it sees of a picture; None: the manifest's metadata."""

    name: str
    describe: Describe | None
    answer: _Answer


def measure_baselines(
    pixels: np.ndarray, manifest: pd.DataFrame, classes: Sequence[str], split: str = "test"
) -> pd.DataFrame:
    """A row a floor, in a fixed order; index: its name.

    Columns accuracy, balanced_accuracy (mean recall of the classes that are there) and n over all
    images of `split`; clean_accuracy, clean_balanced_accuracy and clean_n over those that
    data.split.seen_in_training does not name, NaN and 0 where there is none; seconds.
    pixels: uint8 (…, S, S) or (…, S, S, 3), row i that of manifest row i.
    manifest: with splits assigned; the floors learn from the rows of train. They choose nothing,
    so val is not read. classes: all that occur.
    The figures do not depend on the order of rows.
    Raises DataError when train or `split` has no image.
    """
    # By path, so that a draw between neighbours or a sum in another order cannot change a figure.
    order = np.array(sorted(range(len(manifest)), key=list(manifest["path"]).__getitem__))
    manifest = manifest.iloc[order]
    train, test = (_rows_of(manifest, part) for part in ("train", split))
    number = {name: k for k, name in enumerate(classes)}
    labels = manifest["label"].map(number).to_numpy(dtype=np.int64)
    is_clean = ~seen_in_training(manifest, split)

    used = np.concatenate([train, test])
    features, seconds = describe(
        pixels, order[used], {f.name: f.describe for f in FLOORS if f.describe is not None}
    )
    about = metadata(manifest.iloc[used])
    table = {}
    for floor in FLOORS:
        seen = features.get(floor.name, about)
        before = time.perf_counter()
        predicted = _answer(floor, seen[: len(train)], labels[train], seen[len(train) :])
        took = seconds.get(floor.name, 0.0) + time.perf_counter() - before
        clean = _figures(labels[test][is_clean], predicted[is_clean])
        clean = {f"clean_{name}": value for name, value in clean.items()}
        table[floor.name] = _figures(labels[test], predicted) | clean | {"seconds": took}
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("floor")


def _rows_of(manifest: pd.DataFrame, part: str) -> np.ndarray:
    rows = np.flatnonzero(manifest["split"] == part)
    if not len(rows):
        raise DataError(
            f"no image is in the split {part}, so no floor can be measured; assign splits first, "
            "such as with split=auto"
        )
    return rows


def _answer(floor: _Floor, seen: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """What a floor answers, int (M,). Of one class alone nothing can be learnt but that class."""
    if (labels == labels[0]).all():
        return np.full(len(asked), labels[0])
    return floor.answer(seen, labels, asked)


def _figures(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    if not len(labels):
        return {"accuracy": np.nan, "balanced_accuracy": np.nan, "n": 0}
    recall = recall_score(labels, predicted, labels=np.unique(labels), average="macro")
    return {
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": float(recall),
        "n": len(labels),
    }


def _majority(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The most frequent class of training, the first of equals."""
    return np.full(len(asked), np.bincount(labels).argmax())


def _nearest(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The label of the training picture at the least Euclidean distance, the first of equals.

    In blocks of test pictures, so that memory does not grow with M x N.
    """
    # Centred bytes: 1,024 products of at most 2**14 add up to whole numbers that float32 holds
    # exactly, and no order of summation can turn a draw.
    known, query = (x.astype(np.float32) - 128 for x in (seen, asked))
    square = (known.astype(np.float64) ** 2).sum(axis=1)
    rows = max(1, _NEAREST_CELLS // len(known))
    nearest = [
        (square - 2.0 * (query[start : start + rows] @ known.T).astype(np.float64)).argmin(axis=1)
        for start in range(0, len(query), rows)
    ]
    return labels[np.concatenate(nearest)]


def _logistic(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    # C=0.01 is the best of 0.001, 0.01, 0.1 and 1 in 4-fold cross-validation by groups within the
    # 5,708 training images of Nickparvar (79.4 %), and converges in 80 steps.
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    return np.asarray(model.fit(seen.astype(np.float64), labels).predict(asked.astype(np.float64)))


def _boosting(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    # Without early stopping, which scikit-learn would switch on by itself above 10,000 images.
    model = HistGradientBoostingClassifier(early_stopping=False, random_state=0)
    return np.asarray(model.fit(seen, labels).predict(asked))


FLOORS = (
    _Floor("majority class", None, _majority),
    _Floor("1-nearest neighbour on pixels", thumbnails(32), _nearest),
    _Floor("16x16 thumbnails", thumbnails(16), _logistic),
    _Floor("metadata only", None, _boosting),
    _Floor("eight intensity statistics", intensities, _boosting),
    # Boosting: 89.0 % against 64.1 % of a logistic regression, in the same cross-validation.
    _Floor("outer rim only", rim, _boosting),
)
