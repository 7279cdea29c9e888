"""Intervals: against references, by simulation of data whose truth is known, and as laws."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from braintumor.records import Predictions
from braintumor.statistics.intervals import metric_intervals, weighted_figures
from braintumor.statistics.metrics import compute_metrics, with_intervals
from braintumor.statistics.proportions import wilson
from made_up import intervals_by

pytestmark = pytest.mark.filterwarnings("error")

CLASSES = ("a", "b")
CUT = norm.cdf(1.0)  # true accuracy of _simulated, which is right where a normal is above -1


def _simulated(seed: int, groups: int, size: int, within: float) -> tuple[Predictions, np.ndarray]:
    """Two classes, groups of one class each; within: correlation inside a group.

    The margin of the true class is normal with mean 2 and variance 4, in every image.
    """
    random = np.random.default_rng(seed)
    owner = np.repeat(np.arange(groups), size)
    labels = random.integers(0, 2, groups)[owner]
    shared, own = random.normal(size=groups)[owner], random.normal(size=len(owner))
    margin = 2 + 2 * (np.sqrt(within) * shared + np.sqrt(1 - within) * own)
    logits = np.zeros((len(owner), 2), np.float32)
    logits[np.arange(len(owner)), labels] = margin
    return Predictions(CLASSES, tuple(map(str, range(len(owner)))), labels, logits), owner


# AUROC: P(margin + other margin > 0), a normal with mean 4 and variance 8
TRUTH = {
    "accuracy": CUT, "balanced_accuracy": CUT, "macro_f1": CUT, "mcc": 2 * CUT - 1,
    "auroc": norm.cdf(4 / np.sqrt(8)),
}  # fmt: skip


def _coverage(sets: int, groups: int, size: int, within: float, known: bool) -> dict[str, float]:
    hits = dict.fromkeys(TRUTH, 0)
    for seed in range(sets):
        predictions, owner = _simulated(seed, groups, size, within)
        found = intervals_by(predictions, owner if known else None, 150, seed)
        for name, truth in TRUTH.items():
            low, high = found[f"{name}_ci"]
            hits[name] += low <= truth <= high
    return {name: count / sets for name, count in hits.items()}


def test_intervals_cover_the_truth_in_95_of_100_sets():
    for name, covered in _coverage(500, 150, 1, 0.0, known=True).items():
        assert 0.93 <= covered <= 0.97, (name, covered)


def test_intervals_of_groups_cover_and_those_that_ignore_groups_do_not():
    aware = _coverage(300, 70, 3, 0.7, known=True)
    blind = _coverage(100, 70, 3, 0.7, known=False)
    for name in TRUTH:
        assert 0.93 <= aware[name] <= 0.97, (name, aware[name])
        assert blind[name] < 0.90, (name, blind[name])


def test_proportions_of_single_images_are_wilsons(make_predictions):
    p = make_predictions(skill=1.0)
    found = intervals_by(p, None, 20)
    assert found["accuracy_ci"] == wilson((p.labels == p.predicted).sum(), len(p))
    is_class, is_called = p.labels == 2, p.predicted == 2
    row = found["per_class"]["no_tumor"]
    assert row["recall_ci"] == wilson((is_class & is_called).sum(), is_class.sum())
    assert row["precision_ci"] == wilson((is_class & is_called).sum(), is_called.sum())
    assert row["specificity_ci"] == wilson((~is_class & ~is_called).sum(), (~is_class).sum())
    assert row["npv_ci"] == wilson((~is_class & ~is_called).sum(), (~is_called).sum())


def test_resampled_figures_are_those_of_the_repeated_images(make_predictions):
    random = np.random.default_rng(0)
    p = make_predictions(n=50, skill=1.0)
    p = replace(p, logits=np.round(p.logits), temperature=1.5)  # with ties
    groups = np.concatenate([np.arange(15), random.integers(1, 15, 35)])
    weights = random.poisson(1, (groups.max() + 1, 8)).astype(np.int32)
    weights[:, 0] = 0
    weights[0, 0] = 2  # one class is left, and one answer
    found = weighted_figures(p, groups, weights)
    for r in range(8):
        rows = np.repeat(np.arange(50), weights[groups, r])
        paths = tuple(map(str, rows))
        repeated = replace(p, paths=paths, labels=p.labels[rows], logits=p.logits[rows])
        expected = compute_metrics(repeated)
        for name in set(found) - {"class_auroc", "class_auprc", "ece_noise"}:
            assert found[name][r] == pytest.approx(expected[name], abs=1e-9, nan_ok=True), name
        for figure in ("auroc", "auprc"):
            theirs = [row[figure] for row in expected["per_class"].values()]
            values = found[f"class_{figure}"][:, r]
            assert values == pytest.approx(theirs, abs=1e-9, nan_ok=True), figure


def test_groups_of_one_image_are_no_groups(make_predictions):
    p = make_predictions(n=80)
    names = np.random.default_rng(0).permutation(1000)[:80]
    _assert_equal(metric_intervals(p, names), metric_intervals(p, None))


def test_order_of_images_and_numbers_of_groups_change_nothing(make_predictions):
    random = np.random.default_rng(1)
    p = make_predictions(n=80)
    groups = random.integers(0, 30, 80)
    order = random.permutation(80)
    paths = tuple(p.paths[i] for i in order)
    moved = replace(p, paths=paths, labels=p.labels[order], logits=p.logits[order])
    renamed = random.permutation(30)[groups][order]
    _assert_equal(metric_intervals(p, groups), metric_intervals(moved, renamed))


def test_copies_of_every_image_are_no_new_evidence(make_predictions):
    p = make_predictions(n=60, skill=1.0)
    twice = np.repeat(np.arange(60), 2)
    paths = tuple(f"{i}" for i in range(120))
    copied = replace(p, paths=paths, labels=p.labels[twice], logits=p.logits[twice])
    found = metric_intervals(copied, twice)["accuracy_ci"]
    # the design effect is 119 / 59 and not 2, and Student's tail is that of 59 and not of 119
    assert found == pytest.approx(metric_intervals(p, None)["accuracy_ci"], abs=3e-3)
    perfect = _perfect(20)
    copied = replace(perfect, paths=paths[:40], labels=perfect.labels[twice[:40]],
                     logits=perfect.logits[twice[:40]])  # fmt: skip
    assert metric_intervals(copied, twice[:40])["accuracy_ci"] == wilson(20, 20)


def test_every_figure_has_an_interval_around_it(make_predictions):
    p = make_predictions(skill=1.5)
    metrics = compute_metrics(p)
    merged = with_intervals(metrics, intervals_by(p, None, 300))
    for block in (merged, *merged["per_class"].values()):
        for name in set(block) - {"n", "per_class"}:
            if not name.endswith("_ci"):
                low, high = block[f"{name}_ci"]
                assert low <= block[name] <= high, name
                assert low < high, name


def test_a_model_without_an_error_is_not_said_to_be_sure():
    found = metric_intervals(_perfect(20), None)
    assert found["accuracy_ci"] == wilson(20, 20)
    low, high = found["balanced_accuracy_ci"]
    # two recalls of 10 in 10: half the sum of squared reaches
    reach = (1 - wilson(10, 10)[0]) / np.sqrt(2)
    assert (low, high) == pytest.approx((1 - reach, 1), abs=1e-9)
    assert 0.8 < found["auroc_ci"][0] < found["auroc_ci"][1] == 1
    assert np.isnan(found["mcc_ci"]).all()


def test_a_model_that_knows_one_answer_is_not_surely_of_mcc_0(make_predictions):
    p = make_predictions()
    p.logits[:, 0] = 50
    assert compute_metrics(p)["mcc"] == 0
    assert np.isnan(metric_intervals(p, None)["mcc_ci"]).all()


def test_undefined_figures_have_no_interval():
    # no image of "c", and nobody says "c"
    logits = np.array([[2, 1, 0], [1.5, 1, 0], [2, 0, 0], [1, 1.5, 0], [1, 1.8, 0]], np.float32)
    p = Predictions(("a", "b", "c"), tuple("12345"), np.array([0, 0, 0, 1, 0]), logits)
    found = metric_intervals(p, None)
    row = found["per_class"]["c"]
    for name in ("recall", "precision", "f1", "auroc", "auprc"):
        assert np.isnan(row[f"{name}_ci"]).all(), name
    assert not np.isnan(row["specificity_ci"]).any()


def test_one_image_is_enough_to_be_asked():
    p = Predictions(CLASSES, ("1",), np.array([0]), np.array([[1, 0]], np.float32))
    assert metric_intervals(p, np.array([7]))["accuracy_ci"] == wilson(1, 1)


def test_ece_of_a_calibrated_model_may_be_nothing():
    random = np.random.default_rng(0)
    logits = random.normal(scale=2, size=(300, 2)).astype(np.float32)
    plain = Predictions(CLASSES, tuple(map(str, range(300))), np.zeros(300, int), logits)
    labels = (random.random(300) < plain.probs[:, 1]).astype(int)
    calibrated = replace(plain, labels=labels)
    assert metric_intervals(calibrated, None)["ece_ci"][0] == 0
    too_sure = replace(calibrated, temperature=0.1)
    assert metric_intervals(too_sure, None)["ece_ci"][0] > 0.05


def test_intervals_of_1300_images_take_seconds_and_not_minutes(make_predictions):
    p = make_predictions(n=1300)
    start = time.process_time()
    metric_intervals(p, None)
    assert time.process_time() - start < 6  # 0.5 s on a free core


def _perfect(n: int) -> Predictions:
    labels = np.arange(n) % 2
    return Predictions(CLASSES, tuple(map(str, range(n))), labels, 5 * np.eye(2)[labels])


def _assert_equal(first, second) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, dict):
            _assert_equal(value, second[name])
        else:
            assert np.array_equal(value, second[name], equal_nan=True), name
