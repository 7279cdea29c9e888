"""Intervals of AUROC and average precision: by simulation, at the edge, and of groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from braintumor.records import Predictions
from braintumor.statistics.proportions import auroc_interval, wilson
from made_up import intervals_by

CLASSES = ("a", "b", "c", "d")
RARE = (100, 100, 94, 6)


def draw(seed: int, counts: tuple[int, ...], skill: float) -> Predictions:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    logits = random.normal(size=(len(labels), len(counts)))
    logits[np.arange(len(labels)), labels] += skill
    return Predictions(CLASSES, tuple(map(str, range(len(labels)))), labels, logits)


@pytest.mark.parametrize(
    ("skill", "auroc", "auprc"), [(2.3, 0.97975, 0.9027), (3.0, 0.99683, 0.97833)]
)
def test_means_with_a_rare_class_are_covered(skill: float, auroc: float, auprc: float) -> None:
    """The truth is that of 200,000 images by scikit-learn; resamples alone cover 65 % to 90 %."""
    hits = {"auroc": 0, "auprc": 0}
    for seed in range(120):
        found = intervals_by(draw(seed, RARE, skill), None, 150)
        for name, truth in (("auroc", auroc), ("auprc", auprc)):
            low, high = found[f"{name}_ci"]
            hits[name] += low <= truth <= high
    assert min(hits.values()) >= 0.93 * 120, hits


@pytest.mark.parametrize(("value", "positives", "negatives"), [(0.9, 30, 50), (0.99, 6, 300)])
def test_limits_are_those_from_which_the_value_is_as_far_as_their_variance_allows(
    value: float, positives: int, negatives: int
) -> None:
    others = 0.5 * (positives + negatives) - 1
    for limit in auroc_interval(value, positives, negatives):
        # Hanley and McNeil: Q1 and Q2 are chances that two of one side stand right to one
        q1, q2 = limit / (2 - limit), 2 * limit**2 / (1 + limit)
        pairs = limit * (1 - limit) + others * (q1 - limit**2) + others * (q2 - limit**2)
        variance = pairs / (positives * negatives)
        assert abs(value - limit) / np.sqrt(variance) == pytest.approx(norm.ppf(0.975), rel=1e-6)


def test_worst_and_best_ranking_mirror_each_other() -> None:
    low, high = auroc_interval(1.0, 20, 40)
    assert high == 1 and 0.85 < low < 0.95
    assert auroc_interval(0.0, 20, 40) == pytest.approx((0, 1 - low), abs=1e-6)
    wide = auroc_interval(1.0, 5, 10)[0]
    assert wide < low < auroc_interval(1.0, 200, 400)[0]


def test_ranking_without_an_error_has_an_interval() -> None:
    perfect = draw(0, (20, 20, 20, 20), 50.0)
    found = intervals_by(perfect, None, 100)
    row = found["per_class"]["a"]
    assert row["auroc_ci"] == pytest.approx(auroc_interval(1.0, 20, 60))
    assert row["auprc_ci"] == wilson(20, 20)
    # four alike and independent: half the reach of one
    assert found["auprc_ci"] == pytest.approx((1 - (1 - wilson(20, 20)[0]) / 2, 1))
    copies = Predictions(
        CLASSES, tuple(map(str, range(240))), np.repeat(perfect.labels, 3),
        np.repeat(perfect.logits, 3, axis=0),
    )  # fmt: skip
    grouped = intervals_by(copies, np.repeat(np.arange(80), 3), 100)
    assert grouped["per_class"]["a"]["auroc_ci"] == pytest.approx(row["auroc_ci"])
    assert grouped["auprc_ci"] == pytest.approx(found["auprc_ci"])


def test_class_of_one_image_has_an_interval_that_says_little() -> None:
    found = intervals_by(draw(3, (40, 40, 40, 1), 1.5), None, 200)
    low, high = found["per_class"]["d"]["auroc_ci"]
    assert high - low > 0.3
