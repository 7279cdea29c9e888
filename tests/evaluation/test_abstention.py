from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from braintumor.evaluation.abstention import aurc, fit_confidence, risk_coverage
from braintumor.evaluation.decision_fit import fit_decisions
from braintumor.evaluation.decisions import DecisionSettings, columns_of, decide
from braintumor.records import Predictions

CLASSES = ("glioma", "no_tumor")


def of_confidence(confidence: list[float], is_right: list[int]) -> Predictions:
    """Two classes; the first is always predicted."""
    p = np.array(confidence)
    labels = 1 - np.array(is_right)
    return Predictions(CLASSES, ("x",) * len(p), labels, np.log(np.stack([p, 1 - p], axis=1)))


def test_risk_and_coverage_by_hand() -> None:
    predictions = of_confidence([0.6, 0.9, 0.8, 0.7], [0, 1, 0, 1])
    coverage, risk = risk_coverage(predictions)
    assert coverage == pytest.approx([0.25, 0.5, 0.75, 1])
    assert risk == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert aurc(predictions) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_risk_does_not_depend_on_the_order_of_equally_confident_images() -> None:
    one = of_confidence([0.8, 0.8, 0.8, 0.8, 0.6], [1, 0, 1, 1, 0])
    other = of_confidence([0.8, 0.8, 0.8, 0.8, 0.6], [0, 1, 1, 1, 0])
    assert risk_coverage(one)[1] == pytest.approx([1 / 4, 1 / 4, 1 / 4, 1 / 4, 2 / 5])
    assert np.array_equal(risk_coverage(one)[1], risk_coverage(other)[1])


@pytest.mark.parametrize(
    ("risk", "confidence"),
    [
        # one error more than seen, over one image more: 1/4 after three, 2/5, 2/6, 2/7, 3/8
        (0.25, 0.75),  # three right ones, and no share of those that follow is better
        (0.29, 0.55),  # six images, one wrong: up to the middle between .6 and the wrong .5
        (0.4, 0.5),  # all seven: the least sure one is the limit
        (0.24, None),
    ],
)
def test_confidence_answers_as_many_as_the_risk_allows(
    risk: float, confidence: float | None
) -> None:
    predictions = of_confidence([0.95, 0.9, 0.8, 0.7, 0.65, 0.6, 0.5], [1, 1, 1, 0, 1, 1, 0])
    found = fit_confidence(predictions, np.arange(7), risk)
    assert found == (None if confidence is None else pytest.approx(confidence))


def test_equally_confident_images_are_answered_together_or_not_at_all() -> None:
    # three right ones alone would do, but a wrong one is as sure as the third
    predictions = of_confidence([0.9, 0.8, 0.7, 0.7, 0.6], [1, 1, 1, 0, 0])
    assert fit_confidence(predictions, np.arange(5), 0.25) is None
    assert fit_confidence(predictions, np.arange(5), 1 / 3) == pytest.approx(0.75)
    assert fit_confidence(predictions, np.arange(5), 2 / 5) == pytest.approx(0.65)


def test_copies_of_an_image_show_no_more_than_the_image() -> None:
    confidence, is_right = [0.9, 0.8, 0.7], [1, 1, 0]
    one = of_confidence(confidence, is_right)
    many = of_confidence(confidence[:1] * 50 + confidence[1:], [1] * 50 + is_right[1:])
    groups = np.array([0] * 50 + [1, 2])
    for risk in (0.1, 0.34, 0.5):
        assert fit_confidence(many, groups, risk) == fit_confidence(one, np.arange(3), risk)
    assert fit_confidence(many, np.arange(52), 0.1) is not None


def test_what_cannot_be_shown_is_said(caplog: pytest.LogCaptureFixture) -> None:
    right = of_confidence(np.linspace(0.99, 0.6, 49).tolist(), [1] * 49)
    assert fit_confidence(right, np.arange(49), 0.02) == pytest.approx(0.6)
    few = of_confidence(np.linspace(0.99, 0.6, 48).tolist(), [1] * 48)
    with caplog.at_level(logging.WARNING):
        assert fit_confidence(few, np.arange(48), 0.02) is None
    assert "at most 0.02 of the answers are wrong" in caplog.text


def test_answers_to_new_images_are_as_seldom_wrong_as_promised() -> None:
    random = np.random.default_rng(0)
    settings = DecisionSettings(
        sensitivity=0.98, prevalence=None, coverage=0.9, risk=0.1, reject=0.02
    )

    def draw(n: int) -> Predictions:
        labels = random.integers(0, 3, n)
        logits = random.normal(size=(n, 3))
        logits[np.arange(n), labels] += 1.8
        return Predictions(("a", "b", "no_tumor"), ("x",) * n, labels, logits)

    wrong, given, errors = [], [], []
    for _ in range(60):
        new = draw(400)
        answered = decide(new, fit_decisions(draw(300), None, None, settings), None).is_answered
        assert answered is not None
        is_wrong = new.predicted != new.labels
        wrong.append(is_wrong[answered].mean())
        given.append(answered.mean())
        errors.append(is_wrong.mean())
    assert np.mean(errors) > 0.15  # without abstention far more than the risk
    assert 0.08 < np.mean(wrong) <= 0.1
    assert 0.6 < np.mean(given) < 0.95


def test_what_is_not_answered_is_a_column_and_refers_to_calibrated_probabilities(
    make_predictions,  # type: ignore[no-untyped-def]
) -> None:
    predictions = make_predictions(400)
    settings = DecisionSettings(
        sensitivity=0.98, prevalence=None, coverage=0.9, risk=0.1, reject=0.02
    )
    decisions = fit_decisions(predictions, None, None, settings)
    decided = decide(dataclasses.replace(predictions, temperature=7.0), decisions, None)
    probs = dataclasses.replace(predictions, temperature=decisions.temperature).probs
    expected = np.where(probs.max(axis=1) >= decisions.confidence, "true", "false").tolist()
    assert columns_of(predictions.classes, decided)["answered"] == expected
    assert {"true", "false"} == set(expected)
    older = dataclasses.replace(decisions, risk=None, confidence=None)
    assert "answered" not in columns_of(predictions.classes, decide(predictions, older, None))
