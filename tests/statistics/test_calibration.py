"""Calibration against scikit-learn, cases worked by hand, and data whose truth is known."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator

from braintumor.errors import DataError
from braintumor.records import Predictions
from braintumor.statistics.confidence import (
    brier,
    calibration_summary,
    expected_calibration_error,
    fit_temperature,
    image_losses,
    reliability,
)


class _AsItIs(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are its logits."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.classes_ = np.arange(count)

    def fit(self, x, y):
        return self

    def decision_function(self, x):
        return x

    def predict(self, x):
        return x.argmax(axis=1)


def _two(confidences, is_right) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of two classes that always answer the first, and labels."""
    top = np.asarray(confidences, dtype=float)
    return np.stack([top, 1 - top], axis=1), np.where(is_right, 0, 1)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_temperature_is_that_of_scikit_learn(make_predictions, sharpness):
    p = make_predictions(n=400, skill=2.0)
    logits = p.logits.astype(np.float64) * sharpness
    frozen = FrozenEstimator(_AsItIs(len(p.classes)))
    theirs = CalibratedClassifierCV(frozen, method="temperature").fit(logits, p.labels)
    expected = 1 / theirs.calibrated_classifiers_[0].calibrators[0].beta_
    # theirs minimises, so its last digits are lost in the flat bottom
    assert fit_temperature(logits, p.labels) == pytest.approx(expected, rel=1e-6)


def test_temperature_is_found_again():
    # labels drawn from softmax(logits / 1.7): the truth is known
    random = np.random.default_rng(0)
    logits = random.normal(scale=3, size=(60_000, 3))
    probs = np.exp(logits / 1.7)
    probs /= probs.sum(axis=1, keepdims=True)
    labels = (random.random((len(probs), 1)) > probs.cumsum(axis=1)).sum(axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(1.7, rel=0.02)


def test_temperature_scales_with_the_logits_and_not_with_the_order(make_predictions):
    p = make_predictions()
    once = fit_temperature(p.logits, p.labels)
    assert fit_temperature(3 * p.logits, p.labels) == pytest.approx(3 * once, rel=1e-6)
    order = np.random.default_rng(3).permutation(len(p))
    assert fit_temperature(p.logits[order], p.labels[order]) == pytest.approx(once, rel=1e-10)


def test_temperature_of_three_to_one_by_hand():
    # 3 of 4 right at a margin of 4: the best p is 3/4, and log(3) = 4 / T
    logits = np.tile([4.0, 0.0], (4, 1))
    assert fit_temperature(logits, np.array([0, 0, 0, 1])) == pytest.approx(4 / np.log(3))


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [1, 1, 1, 0]], ids=["all right", "below chance"])
def test_without_a_best_temperature_it_stays_one_and_says_so(labels, caplog):
    logits = np.tile([4.0, 0.0], (4, 1))
    with caplog.at_level(logging.WARNING):
        assert fit_temperature(logits, np.array(labels)) == 1.0
    assert f"on 4 validation images, {labels.count(0)} of them right" in caplog.text


def test_temperature_of_no_image_is_an_error():
    with pytest.raises(DataError, match="no image to fit a temperature on"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))


def test_reliability_by_hand():
    # 0.5 is closed on the right, so in the first of two bins
    count, mean, accuracy = reliability(*_two([0.5, 0.9, 0.9], [True, True, False]), 2)
    assert count.tolist() == [1, 2]
    assert mean == pytest.approx([0.5, 0.9])
    assert accuracy == pytest.approx([1, 0.5])


@pytest.mark.parametrize("bins", [5, 15])
def test_reliability_is_scikit_learns_curve(make_predictions, bins):
    p = make_predictions(n=500)
    count, mean, accuracy = reliability(p.probs, p.labels, bins)
    is_right = p.predicted == p.labels
    theirs = calibration_curve(is_right, p.probs.max(axis=1), n_bins=bins)
    assert accuracy[count > 0] == pytest.approx(theirs[0], abs=1e-12)
    assert mean[count > 0] == pytest.approx(theirs[1], abs=1e-12)
    assert count.sum() == 500


def test_bins_of_equal_mass_hold_equally_many_and_never_part_equals():
    random = np.random.default_rng(0)
    top = random.uniform(0.5, 1, 30)
    count, *_ = reliability(*_two(top, np.ones(30, bool)), 10, mass=True)
    assert count.tolist() == [3] * 10
    count, *_ = reliability(*_two([0.6, 0.9, 0.9, 0.9], [True] * 4), 2, mass=True)
    assert count.tolist() == [4, 0]


def test_calibration_error_by_hand():
    # widths: |0.55 - 1| of 1 image, |0.9 - 0.5| of 2, |0.95 - 1| of 1, in bins of a tenth;
    # the last two, 0.9 and 0.95, are in (0.8, 0.9] and (0.9, 1]
    probs, labels = _two([0.55, 0.9, 0.9, 0.95], [True, True, False, True])
    found = expected_calibration_error(probs, labels, 10)
    assert found == pytest.approx((0.45 + 2 * 0.4 + 0.05) / 4, abs=1e-12)
    # masses, two bins: 0.55, 0.9, 0.9 (2 of 3 right) and 0.95
    found = expected_calibration_error(probs, labels, 2, mass=True)
    assert found == pytest.approx((abs(2 - 2.35) + 0.05) / 4, abs=1e-12)


@pytest.mark.parametrize("mass", [False, True])
def test_calibration_error_of_a_perfect_forecast_is_near_zero(mass):
    random = np.random.default_rng(1)
    top = random.uniform(0.5, 1, 200_000)
    probs, labels = _two(top, random.random(200_000) < top)
    assert expected_calibration_error(probs, labels, mass=mass) < 0.006
    # and of one that is always 0.1 too sure it is 0.1
    probs, labels = _two(top, random.random(200_000) < top - 0.1)
    assert expected_calibration_error(probs, labels, mass=mass) == pytest.approx(0.1, abs=0.006)


def test_brier_is_scikit_learns_summed_over_classes(make_predictions):
    p = make_predictions()
    theirs = sk.brier_score_loss(p.labels, p.probs, scale_by_half=False)
    assert brier(p.probs, p.labels) == pytest.approx(theirs, abs=1e-12)
    two = make_predictions(classes=("no", "yes"))
    of_yes = sk.brier_score_loss(two.labels, two.probs[:, 1])
    assert brier(two.probs, two.labels) == pytest.approx(2 * of_yes, abs=1e-12)


def test_brier_goes_from_0_to_2():
    sure = np.array([[1.0, 0.0, 0.0]])
    assert (brier(sure, np.array([0])), brier(sure, np.array([2]))) == (0, 2)


def test_losses_are_those_of_the_tempered_probabilities(make_predictions):
    p = replace(make_predictions(), temperature=2.5)
    expected = -np.log(p.probs[np.arange(len(p)), p.labels])
    assert image_losses(p) == pytest.approx(expected, abs=1e-9)


def test_summary_tells_before_from_after(make_predictions):
    p = make_predictions(n=2000)
    p = Predictions(p.classes, p.paths, p.labels, 5 * p.logits)  # far too sure
    fitted = replace(p, temperature=fit_temperature(p.logits, p.labels))
    found = calibration_summary(fitted)
    before, after = found["before"], found["after"]
    assert found["temperature"] == fitted.temperature
    assert before["loss"] == pytest.approx(sk.log_loss(p.labels, p.probs), rel=1e-6)
    assert before["ece"] == expected_calibration_error(p.probs, p.labels)
    assert after["ece_mass"] == expected_calibration_error(fitted.probs, p.labels, mass=True)
    assert all(after[name] < before[name] for name in ("ece", "ece_mass", "brier", "loss"))
    plain = calibration_summary(p)
    assert plain["before"] == plain["after"]


def test_no_image_has_no_calibration():
    for figure in (brier, expected_calibration_error):
        with pytest.raises(DataError, match="no image to judge"):
            figure(np.zeros((0, 2)), np.zeros(0, int))
