"""What an accuracy is worth: subsets, counts, the best floor."""

from __future__ import annotations

import numpy as np
import pytest

from braintumor.evaluation.record import Leakage, assess
from braintumor.records import Predictions
from made_up import baselines_of


def _predictions(labels: list[int], guesses: list[int]) -> Predictions:
    paths = tuple(f"{i}.png" for i in range(len(labels)))
    return Predictions(("a", "b", "c"), paths, np.array(labels), np.eye(3)[guesses])


def test_subset_keeps_order_and_rows_together() -> None:
    p = _predictions([0, 1, 2, 1], [0, 1, 1, 1]).subset(np.array([False, True, False, True]))
    assert p.paths == ("1.png", "3.png")
    assert p.labels.tolist() == p.predicted.tolist() == [1, 1]


def test_unknown_is_not_clean(make_predictions) -> None:
    trust = assess(make_predictions(), Leakage())
    assert (trust.count, trust.clean, trust.few, trust.best_baseline) == (None, None, {}, None)


def test_few_names_classes_that_copies_have_emptied() -> None:
    """25 of a, of which 20 are clean; 25 of b, of which 19 are; c was never in the split."""
    labels = [0] * 25 + [1] * 25
    contaminated = np.zeros(50, bool)
    contaminated[[0, 1, 2, 3, 4, *range(25, 31)]] = True
    trust = assess(_predictions(labels, labels), Leakage(contaminated))
    assert trust.clean_counts == {"a": 20, "b": 19}
    assert trust.few == {"b": 19}


def test_best_floor_is_by_accuracy_over_all_images(make_predictions, floors) -> None:
    p, known = make_predictions(), np.arange(120) < 100
    floors["only good on clean"] = (0.5, 1.0)
    best = assess(p, Leakage(known, baselines_of(p, known, floors))).best_baseline
    named = {key: best[key] for key in ("name", "accuracy", "clean_accuracy", "clean_name")}
    assert named == {
        "name": "eight intensity statistics", "accuracy": 0.9, "clean_accuracy": 0.7,
        "clean_name": "only good on clean",
    }  # fmt: skip


def test_a_margin_is_judged_on_the_same_images_by_group() -> None:
    """Of 200 images the model has 10 right that the floor has not, and the floor none of its own.

    Beside each other the intervals of 95 % and 90 % overlap; on the same images nobody doubts it.
    Where these ten are slices of one patient, it is one observation and may be noise.
    """
    labels = [0] * 200
    p = _predictions(labels, [0] * 190 + [1] * 10)
    floors = baselines_of(p, None, {"rim": (0.9, 0.9)})
    best = assess(p, Leakage(None, floors)).best_baseline
    assert best["margin"] == pytest.approx(0.05)
    low, high = best["margin_ci"]
    assert 0.01 < low < 0.05 < high < 0.09
    groups = np.arange(200)
    groups[180:190] = 180
    one = assess(p, Leakage(None, floors, groups=groups)).best_baseline
    assert one["margin_ci"][0] == 0


def test_clean_floors_are_over_the_images_that_the_model_does_not_know() -> None:
    """Also those known from init=, of which no manifest of this data set tells."""
    p = _predictions([0] * 10, [0] * 10)
    known = np.arange(10) < 6
    table = assess(p, Leakage(known, baselines_of(p, known, {"rim": (0.7, 0.25)}))).baselines
    assert table.loc["rim", ["clean_n", "clean_accuracy"]].tolist() == [4, 0.25]


def test_shortcuts_have_no_clean_figure_without_clean_images() -> None:
    p, blanked = _predictions([0, 1], [0, 1]), _predictions([0, 1], [0, 0])
    trust = assess(p, Leakage(np.ones(2, bool)), {"rim blanked": blanked})
    assert trust.occlusion_tests == {"rim blanked": {"accuracy": 0.5, "clean_accuracy": None}}
