"""Figures against scikit-learn on random predictions, and against cases worked by hand."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from braintumor.errors import CheckpointError, DataError
from braintumor.records import Predictions
from braintumor.statistics.metrics import (
    classification_report,
    compute_metrics,
    confusion_figures,
    confusion_matrix,
    means_over,
    with_intervals,
)

pytestmark = pytest.mark.filterwarnings("error")


def _predictions(labels, predicted, classes, margin=2.0) -> Predictions:
    logits = np.zeros((len(labels), len(classes)), np.float32)
    logits[np.arange(len(labels)), predicted] = margin
    paths = tuple(f"{i}.png" for i in range(len(labels)))
    return Predictions(tuple(classes), paths, np.asarray(labels, np.int64), logits)


@pytest.mark.parametrize("classes", [("no_tumor", "tumor"), ("a", "b", "c", "d")])
@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn(make_predictions, classes, seed):
    p = make_predictions(classes=classes, seed=seed, skill=1.0)
    y, guess, probs = p.labels, p.predicted, p.probs
    one_hot = np.eye(len(classes))[y]
    found = compute_metrics(p)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, guess), abs=1e-12)
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, guess))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(y, guess, average="macro"))
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(y, guess))
    assert found["loss"] == pytest.approx(sk.log_loss(y, probs))
    assert found["brier"] == pytest.approx(((probs - one_hot) ** 2).sum() / len(p), abs=1e-12)
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(one_hot, probs, average="macro"))
    assert found["auprc"] == pytest.approx(
        np.mean([sk.average_precision_score(y == k, probs[:, k]) for k in range(len(classes))])
    )
    assert found["n"] == len(p)
    for k, name in enumerate(classes):
        row = found["per_class"][name]
        # Specificity is the recall of "not this class".
        assert row["specificity"] == pytest.approx(sk.recall_score(y != k, guess != k))
        assert row["recall"] == pytest.approx(sk.recall_score(y == k, guess == k))
        assert row["precision"] == pytest.approx(sk.precision_score(y == k, guess == k))
        # and the negative predictive value is the precision of "not this class"
        assert row["npv"] == pytest.approx(sk.precision_score(y != k, guess != k))
        assert row["f1"] == pytest.approx(sk.f1_score(y == k, guess == k))
        assert row["n"] == (y == k).sum()


def test_binary_auroc_is_the_usual_one(make_predictions):
    p = make_predictions(classes=("no_tumor", "tumor"), skill=0.5)
    assert compute_metrics(p)["auroc"] == pytest.approx(sk.roc_auc_score(p.labels, p.probs[:, 1]))


def test_a_case_worked_by_hand():
    # truth 0 0 0 0 1 1, answers 0 0 0 1 1 0: TP 1, FN 1, FP 1, TN 3 for class 1
    found = compute_metrics(_predictions([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0], ("no", "yes")))
    yes = found["per_class"]["yes"]
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert (yes["precision"], yes["recall"]) == pytest.approx((1 / 2, 1 / 2))
    assert (yes["specificity"], yes["npv"]) == pytest.approx((3 / 4, 3 / 4))
    # all answers lie in one bin of confidence 1 / (1 + e^-2), and 4 of 6 are right
    assert found["ece"] == pytest.approx(1 / (1 + math.exp(-2)) - 4 / 6, abs=1e-6)
    assert found["mcc"] == pytest.approx((1 * 3 - 1 * 1) / math.sqrt(2 * 2 * 4 * 4))
    # right: log(1 + e^-2), wrong: that plus 2
    assert found["loss"] == pytest.approx(math.log1p(math.exp(-2)) + 2 * 2 / 6, abs=1e-6)


def test_class_absent_from_the_split_has_no_figure_and_leaves_the_means():
    p = _predictions([0, 0, 1, 1], [0, 0, 1, 0], ("a", "b", "never"))
    found = compute_metrics(p)
    row = found["per_class"]["never"]
    assert row["n"] == 0
    assert all(math.isnan(row[key]) for key in ("precision", "recall", "f1", "auroc", "auprc"))
    assert row["specificity"] == 1
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert math.isfinite(found["auroc"])


def test_class_absent_but_answered_counts_as_zero_f1():
    p = _predictions([0, 0, 1, 1], [0, 2, 1, 1], ("a", "b", "c"))
    found = compute_metrics(p)
    assert found["per_class"]["c"]["f1"] == 0
    assert math.isnan(found["per_class"]["c"]["recall"])
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_class_never_answered_has_recall_zero_and_no_precision():
    found = compute_metrics(_predictions([0, 0, 1], [0, 0, 0], ("a", "b")))
    row = found["per_class"]["b"]
    assert (row["recall"], row["f1"]) == (0, 0)
    assert math.isnan(row["precision"])
    assert found["mcc"] == 0


def test_one_class_only_gives_no_ranking_figures():
    found = compute_metrics(_predictions([1, 1], [1, 0], ("a", "b")))
    assert found["accuracy"] == 0.5
    assert all(math.isnan(found[key]) for key in ("auroc", "auprc", "mcc"))
    assert math.isnan(found["per_class"]["b"]["specificity"])


def test_loss_of_a_sure_error_is_its_margin():
    # exp(-1000) is 0 in any float: from probabilities this would be infinite or clipped.
    p = _predictions([0], [1], ("a", "b"), margin=1000.0)
    assert compute_metrics(p)["loss"] == pytest.approx(1000)


def test_temperature_moves_probabilities_and_no_answer(make_predictions):
    p = make_predictions()
    cooled = replace(p, temperature=0.5)
    plain, found = compute_metrics(p), compute_metrics(cooled)
    assert found["loss"] == pytest.approx(sk.log_loss(p.labels, cooled.probs))
    assert found["brier"] == pytest.approx(
        sk.brier_score_loss(p.labels, cooled.probs, scale_by_half=False)
    )
    assert found["loss"] != pytest.approx(plain["loss"])
    assert all(found[key] == plain[key] for key in ("accuracy", "macro_f1", "mcc"))


def test_class_that_is_always_answered_has_no_negative_predictive_value():
    found = compute_metrics(_predictions([0, 0, 1], [0, 0, 0], ("a", "b")))
    assert math.isnan(found["per_class"]["a"]["npv"])


def test_each_interval_stands_right_behind_its_figure():
    nan = float("nan")
    metrics = {"accuracy": 0.9, "mcc": nan, "n": 5, "per_class": {"a": {"recall": 1.0, "n": 2}}}
    intervals = {
        "per_class": {"a": {"recall_ci": (0.5, 1.0)}},
        "mcc_ci": (nan, nan),
        "accuracy_ci": (0.8, 0.95),
    }
    found = with_intervals(metrics, intervals)
    assert list(found) == ["accuracy", "accuracy_ci", "mcc", "mcc_ci", "n", "per_class"]
    assert (found["accuracy_ci"], found["mcc_ci"]) == ([0.8, 0.95], None)
    assert found["per_class"]["a"] == {"recall": 1.0, "recall_ci": [0.5, 1.0], "n": 2}


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_permuting_samples_keeps_the_metrics(seed):
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 40))
    logits = random.normal(size=(n, 3)).astype(np.float32)
    p = Predictions(("a", "b", "c"), tuple(map(str, range(n))), random.integers(0, 3, n), logits)
    order = random.permutation(n)
    moved = Predictions(p.classes, p.paths, p.labels[order], p.logits[order])
    first, second = compute_metrics(p), compute_metrics(moved)
    assert first.pop("per_class").keys() == second.pop("per_class").keys()
    assert first == pytest.approx(second, nan_ok=True)


def test_confusion_matrix_has_the_truth_in_rows():
    matrix = confusion_matrix(_predictions([0, 0, 1], [2, 0, 1], ("a", "b", "c")))
    assert matrix.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_report_is_scikit_learns_word_for_word(make_predictions):
    p = make_predictions()
    theirs = sk.classification_report(p.labels, p.predicted, target_names=list(p.classes))
    assert classification_report(p) == theirs


def test_report_has_the_macro_f1_of_the_metrics_and_dashes_for_an_absent_class():
    """One class is not in the split: its F1 is undefined and not 0, here as in metrics.json."""
    p = _predictions([0, 0, 1, 1], [0, 0, 1, 1], ("a", "b", "nan"))
    text = classification_report(p)
    absent, macro = (re.search(rf"^ *{name} .*", text, re.M).group(0) for name in ("nan", "macro"))
    assert absent.split() == ["nan", "–", "–", "–", "0"]
    assert macro.split() == ["macro", "avg", "1.00", "1.00", "1.00", "4"]
    assert compute_metrics(p)["macro_f1"] == 1.0


@pytest.mark.parametrize("predicted", [[0, 1, 1, 0], [2, 1, 1, 0], [0, 0, 0, 0]])
def test_every_macro_f1_is_the_same(predicted):
    """Of console, metrics.json, resamples, training and scikit-learn's table."""
    p = _predictions([0, 0, 1, 1], predicted, ("a", "b", "c", "d"))
    found = compute_metrics(p)
    f1 = [row["f1"] for row in found["per_class"].values() if not np.isnan(row["f1"])]
    assert found["macro_f1"] == pytest.approx(np.mean(f1))
    resampled = confusion_figures(confusion_matrix(p).astype(float))["macro_f1"]
    assert resampled == pytest.approx(found["macro_f1"])
    assert sk.f1_score(p.labels, p.predicted, average="macro") == pytest.approx(found["macro_f1"])
    (row,) = re.findall(r"macro avg +\S+ +\S+ +(\S+)", classification_report(p))
    assert row == f"{found['macro_f1']:.2f}"
    names = means_over(found["per_class"])
    assert names["balanced_accuracy"] == ["a", "b"]
    assert names["macro_f1"] == (["a", "b", "c"] if 2 in predicted else ["a", "b"])


def test_no_image_is_an_error_that_says_so():
    with pytest.raises(DataError, match="no image to evaluate"):
        compute_metrics(Predictions(("a", "b"), (), np.zeros(0, np.int64), np.zeros((0, 2))))


def test_outputs_that_are_not_finite_are_named():
    p = _predictions([0, 1], [0, 1], ("a", "b"))
    p.logits[1, 0] = np.nan
    with pytest.raises(CheckpointError, match=r"1 of 2 images \(first: 1\.png\)"):
        compute_metrics(p)
