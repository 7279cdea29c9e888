"""What an accuracy is worth: subsets, counts, the best floor."""

from __future__ import annotations

import numpy as np

from braintumor.evaluation.record import Leakage, assess
from braintumor.records import Predictions


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
    floors.loc["only good on clean"] = [0.5, 0.5, 1311, 0.95, 0.9, 319, 1.0]
    trust = assess(make_predictions(), Leakage(baselines=floors))
    assert trust.best_baseline == {
        "name": "eight intensity statistics", "accuracy": 0.899, "clean_accuracy": 0.697,
    }  # fmt: skip


def test_shortcuts_have_no_clean_figure_without_clean_images() -> None:
    p, blanked = _predictions([0, 1], [0, 1]), _predictions([0, 1], [0, 0])
    trust = assess(p, Leakage(np.ones(2, bool)), {"rim blanked": blanked})
    assert trust.occlusion_tests == {"rim blanked": {"accuracy": 0.5, "clean_accuracy": None}}
