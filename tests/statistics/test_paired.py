"""Tests of pairs, against worked examples of others and independent computations."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.stats import binom, norm
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from braintumor.statistics.metrics import confusion_figures
from braintumor.statistics.paired import (
    Answers,
    delong,
    holm,
    interval_of_difference,
    mcnemar,
    mean_figures,
    paired_bootstrap,
)

# DeLong, DeLong & Clarke-Pearson 1988: 43 patients; albumin, total protein, K-G score, and whether
# the patient did well after surgery. As in SAS/STAT 9.2 User's Guide, example 51.8.
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""


def _of_rights(right, groups=None) -> list[Answers]:
    """One model of two classes that answers rightly where `right` says so."""
    labels = np.zeros(len(right), dtype=np.int64)
    predicted = 1 - np.asarray(right, dtype=np.int64)
    groups = np.arange(len(right)) if groups is None else np.asarray(groups)
    return [Answers(labels, predicted, np.eye(2)[predicted], groups)]


def _discordant(b: int, c: int, both: int = 5):
    """The first alone is right b times, the second alone c times."""
    first = [1] * b + [0] * c + [1] * both
    second = [0] * b + [1] * c + [1] * both
    return first, second


def _random(seed: int, n: int = 150, k: int = 3, skill: float = 1.0) -> Answers:
    random = np.random.default_rng(seed)
    labels = np.random.default_rng(99).integers(0, k, n)  # the same images for every seed
    scores = random.normal(size=(n, k))
    scores[np.arange(n), labels] += skill
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return Answers(labels, probs.argmax(axis=1), probs, np.arange(n))


def _twice(model: Answers) -> Answers:
    """Every image beside an exact copy of its own group."""
    return Answers(*(np.concatenate([part] * 2) for part in vars(model).values()))


def _of_score(score, label) -> list[Answers]:
    """A model of two classes whose score, any number, speaks for the second."""
    score, label = np.asarray(score, dtype=float), np.asarray(label, dtype=np.int64)
    groups = np.arange(len(label))
    return [Answers(label, np.zeros_like(label), np.stack([-score, score], axis=1), groups)]


def test_mcnemar_agrees_with_the_worked_example_of_fagerland():
    """Airway hyper-responsiveness of 21 children before and after transplantation, table 1 there.

    1 and 7 discordant pairs: exact conditional p .070, mid-p .039 (Fagerland et al. 2013).
    """
    first, second = _discordant(1, 7, both=13)
    assert mcnemar(_of_rights(first), _of_rights(second)) == pytest.approx(0.0390625, abs=1e-12)


@pytest.mark.parametrize(("b", "c"), [(3, 3), (0, 4), (12, 5), (40, 61), (1, 0), (200, 150)])
def test_mcnemar_is_the_exact_p_less_the_chance_of_the_table(b, c):
    first, second = _discordant(b, c)
    exact = reference_mcnemar([[5, b], [c, 0]], exact=True).pvalue
    at = binom.pmf(b, b + c, 0.5)
    expected = 1 - at / 2 if b == c else exact - at
    assert mcnemar(_of_rights(first), _of_rights(second)) == pytest.approx(expected, abs=1e-9)


def test_mcnemar_of_equal_answers_is_one():
    assert mcnemar(_of_rights([1, 0, 1]), _of_rights([1, 0, 1])) == 1


def test_mcnemar_flips_whole_groups():
    """Gaps +2 and -1: the sums 3, 1, -1, -3 are equally likely, and 1 was seen."""
    groups = [0, 0, 1]
    first, second = _of_rights([1, 1, 0], groups), _of_rights([0, 0, 1], groups)
    assert mcnemar(first, second) == pytest.approx(1 / 2 + 1 / 4)


@pytest.mark.parametrize("test", [mcnemar, lambda a, b: delong(a, b).p])
def test_copies_of_images_prove_nothing(test):
    first, second = _random(1), _random(2, skill=0.7)
    expected = test([first], [second])
    assert 0 < expected < 0.5
    assert test([_twice(first)], [_twice(second)]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("test", [mcnemar, lambda a, b: delong(a, b).p])
def test_the_same_model_as_several_seeds_proves_nothing_more(test):
    first, second = _random(1), _random(2, skill=0.7)
    expected = test([first], [second])
    assert test([first] * 3, [second] * 3) == pytest.approx(expected, abs=1e-12)
    assert test([first] * 2, [second] * 3) == pytest.approx(expected, abs=1e-12)
    assert test([second], [first]) == pytest.approx(expected, abs=1e-12)


def test_delong_agrees_with_the_worked_example_of_sas():
    albumin, protein, kg, label = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4).T
    tests = [_of_score(score, label) for score in (albumin, 10 - kg, protein)]
    level = _of_score(np.zeros(len(label)), label)  # AUROC .5 without error
    areas = [delong(test, level) for test in tests]
    assert [round(0.5 + a.value, 4) for a in areas] == [0.7366, 0.7258, 0.6478]
    errors = [(a.high - a.low) / 2 / 1.959964 for a in areas]
    assert [round(e, 4) for e in errors] == [0.0927, 0.1028, 0.1000]
    against = [delong(test, tests[1]) for test in (tests[0], tests[2])]
    assert [round(a.value, 4) for a in against] == [0.0108, -0.0780]
    assert [round((a.high - a.low) / 2 / 1.959964, 4) for a in against] == [0.0953, 0.1046]
    assert [round(a.p, 4) for a in against] == [0.9102, 0.4561]


def test_delong_takes_the_mean_auroc_of_all_classes():
    first, second = _random(1), _random(2, skill=0.5)
    expected = [
        sk.roc_auc_score(m.labels, m.probs, multi_class="ovr", average="macro")
        for m in (first, second)
    ]
    assert delong([first], [second]).value == pytest.approx(expected[0] - expected[1], abs=1e-12)


def test_delongs_error_of_many_classes_is_that_of_leaving_each_image_out():
    first, second = _random(1), _random(2, skill=0.8)
    gaps = []
    for i in range(150):
        kept = np.arange(150) != i
        gaps.append(_area(first, kept) - _area(second, kept))
    jackknife = np.sqrt(149 / 150 * ((gaps - np.mean(gaps)) ** 2).sum())
    found = delong([first], [second])
    assert (found.high - found.low) / 2 / 1.959964 == pytest.approx(jackknife, rel=0.02)


def _area(model: Answers, kept: np.ndarray) -> float:
    """Mean AUROC of the classes, pair by pair."""
    areas = []
    for k in range(model.probs.shape[1]):
        score, is_class = model.probs[kept, k], model.labels[kept] == k
        areas.append((score[is_class][:, None] > score[~is_class]).mean())
    return float(np.mean(areas))


def test_delong_without_both_sides_of_a_class_is_undefined():
    model = Answers(np.zeros(3, int), np.zeros(3, int), np.full((3, 2), 0.5), np.arange(3))
    assert np.isnan(delong([model], [model]).p)


def test_figures_are_those_of_scikit_learn():
    model = _random(3, skill=0.3)
    found = mean_figures([model])
    labels, predicted = model.labels, model.predicted
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted), abs=1e-12)
    assert found["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(labels, predicted), abs=1e-12
    )
    assert found["macro_f1"] == pytest.approx(
        sk.f1_score(labels, predicted, average="macro"), abs=1e-12
    )


def test_a_class_that_is_absent_is_left_out_of_means():
    found = confusion_figures(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((6 / 7 + 4 / 5) / 2)


def test_resampling_moves_a_rate_as_a_binomial_and_counts_groups():
    right = np.arange(200) < 150
    alone = paired_bootstrap([_of_rights(right)], 4000, seed=0)[0]["accuracy"]
    assert alone.mean() == pytest.approx(0.75, abs=0.002)
    assert alone.std() == pytest.approx(np.sqrt(0.75 * 0.25 / 200), rel=0.04)
    copied = [_twice(model) for model in _of_rights(right)]
    assert np.array_equal(paired_bootstrap([copied], 4000, seed=0)[0]["accuracy"], alone)


def test_all_competitors_see_the_same_resamples():
    one = [_random(1)]
    first, second = paired_bootstrap([one, one], 50, seed=1)
    assert np.array_equal(first["macro_f1"], second["macro_f1"])


def test_resamples_are_those_of_the_seed_whatever_fits_into_memory(monkeypatch):
    """Intervals are stored: who draws in another order changes them."""
    right = np.arange(40) % 3 > 0
    drawn = np.random.default_rng(5).integers(0, 40, (30, 40))
    expected = right[drawn].mean(axis=1)
    for most in (2**20, 40 * 7):
        monkeypatch.setattr("braintumor.statistics.paired.MOST", most)
        (found,) = paired_bootstrap([_of_rights(right)], 30, seed=5)
        assert found["accuracy"] == pytest.approx(expected, abs=1e-12)


def test_the_interval_of_a_difference_covers_the_truth_as_often_as_it_says():
    """300 sets of 60 groups of 3 images that are easy or hard together."""
    random, covered = np.random.default_rng(0), 0
    truth = _chance(0.85) - _chance(0.75)
    groups = np.repeat(np.arange(60), 3)
    for _ in range(300):
        ease = np.repeat(random.random(60), 3)  # a hard patient is hard for both
        models = [_of_rights((ease + random.normal(0, 0.1, 180)) < p, groups) for p in (0.85, 0.75)]
        first, second = paired_bootstrap(models, 300, seed=1)
        low, high = interval_of_difference(first["accuracy"] - second["accuracy"], 60)
        covered += low <= truth <= high
    assert 0.91 <= covered / 300 <= 0.98


def _chance(p: float) -> float:
    """Of being right: ease even in [0, 1], noise of .1."""
    ease = (np.arange(20000) + 0.5) / 20000
    return float(norm.cdf((p - ease) / 0.1).mean())


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed):
    p = np.random.default_rng(seed).random(9) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


def test_holm_passes_over_what_was_not_tested():
    assert holm([0.01, np.nan, 0.04])[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(holm([0.01, np.nan])[1])
