from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

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


def upper(wrong: float, n: float) -> float:
    """Of the errors, from one side with 95 % certainty."""
    return float(proportion_confint(wrong, n, alpha=0.1, method="wilson")[1])


@pytest.mark.parametrize("answered", [3, 5, 6, 7])
def test_confidence_answers_as_many_as_the_upper_limit_of_their_errors_allows(
    answered: int,
) -> None:
    confidence, is_right = [0.95, 0.9, 0.8, 0.7, 0.65, 0.6, 0.5], [1, 1, 1, 0, 1, 1, 0]
    predictions = of_confidence(confidence, is_right)
    limits = [upper(k - sum(is_right[:k]), k) for k in range(1, 8)]
    risk = limits[answered - 1] + 1e-9
    # the most images whose limit is within the risk, of all that could be answered
    most = max(k for k in range(1, 8) if limits[k - 1] <= risk)
    below = confidence[min(most, 6)]
    found = fit_confidence(predictions, np.arange(7), risk)
    assert found == pytest.approx((confidence[most - 1] + below) / 2)
    assert fit_confidence(predictions, np.arange(7), min(limits) - 1e-9) is None


def test_equally_confident_images_are_answered_together_or_not_at_all() -> None:
    # three right ones alone would do, but a wrong one is as sure as the third
    predictions = of_confidence([0.9, 0.8, 0.7, 0.7, 0.6], [1, 1, 1, 0, 0])
    alone = of_confidence([0.9, 0.8, 0.7, 0.69, 0.6], [1, 1, 1, 0, 0])
    risk = upper(0, 3)
    assert fit_confidence(alone, np.arange(5), risk) == pytest.approx(0.695)
    assert fit_confidence(predictions, np.arange(5), risk) is None
    assert fit_confidence(predictions, np.arange(5), upper(1, 4)) == pytest.approx(0.65)


def test_copies_of_an_image_show_no_more_than_the_image() -> None:
    confidence, is_right = np.linspace(0.99, 0.6, 40), [1] * 30 + [0] + [1] * 9
    one = of_confidence(confidence.tolist(), is_right)
    many = of_confidence(np.repeat(confidence, 5).tolist(), np.repeat(is_right, 5).tolist())
    groups = np.repeat(np.arange(40), 5)
    alone, grouped = (
        fit_confidence(*given, upper(0, 30)) for given in ((one, np.arange(40)), (many, groups))
    )
    assert alone == grouped == pytest.approx((confidence[29] + confidence[30]) / 2)
    assert fit_confidence(many, np.arange(200), upper(0, 30)) < alone


def test_what_cannot_be_shown_is_said(caplog: pytest.LogCaptureFixture) -> None:
    right = of_confidence(np.linspace(0.99, 0.6, 133).tolist(), [1] * 133)
    assert fit_confidence(right, np.arange(133), 0.02) == pytest.approx(0.6)
    few = of_confidence(np.linspace(0.99, 0.6, 132).tolist(), [1] * 132)
    with caplog.at_level(logging.WARNING):
        assert fit_confidence(few, np.arange(132), 0.02) is None
    assert "at most 0.02 of the answers are wrong" in caplog.text


@pytest.mark.parametrize("size", [1, 4])
def test_answers_to_new_images_keep_to_the_risk_in_19_of_20_models(size: int) -> None:
    """size: images of a group, which share most of what makes them hard."""
    random = np.random.default_rng(0)

    def draw(groups: int) -> tuple[Predictions, np.ndarray]:
        owner = np.repeat(np.arange(groups), size)
        labels = random.integers(0, 3, groups)[owner]
        shared = random.normal(size=(groups, 3))[owner]
        logits = np.sqrt(0.8) * shared + np.sqrt(0.2) * random.normal(size=(len(owner), 3))
        logits[np.arange(len(owner)), labels] += 1.8
        return Predictions(("a", "b", "c"), ("x",) * len(owner), labels, logits), owner

    many, _ = draw(40_000 // size)
    is_wrong = many.predicted != many.labels
    assert is_wrong.mean() > 0.15  # without abstention far more than the risk
    risks, shares = [], []
    for _ in range(100):
        confidence = fit_confidence(*draw(300), 0.1)
        assert confidence is not None
        answered = many.probs.max(axis=1) >= confidence
        risks.append(is_wrong[answered].mean())
        shares.append(answered.mean())
    assert np.mean(np.array(risks) > 0.1) <= 0.1
    assert 0.05 < np.mean(risks) < 0.09
    assert 0.5 < np.mean(shares) < 0.9


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
