from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from scipy.stats import binomtest

from braintumor.records import Predictions
from braintumor.statistics.confidence import aurc, fit_confidence, risk_coverage
from braintumor.statistics.decisions import DecisionSettings, columns_of, decide, fit_decisions
from made_up import of_confidence


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
    """Of the errors, from one side with 95 % certainty, by SciPy's exact interval."""
    test = binomtest(round(wrong), round(n))
    return float(test.proportion_ci(0.9, method="exact").high)


def test_shares_are_tried_from_the_surest_on_until_one_fails() -> None:
    # 100 images: the first could show .1 with 29; then 34, 39, ... and 100
    assert upper(0, 28) > 0.1 > upper(0, 29)
    confidence = np.linspace(0.99, 0.5, 100)
    is_right = np.ones(100, dtype=int)
    is_right[[60, 70, 71, 72, 73, 74, 75]] = 0
    assert upper(1, 69) < 0.1 < upper(5, 74)
    # at 100 it would hold again for a higher risk, but nothing counts beyond a failure
    predictions = of_confidence(confidence.tolist(), is_right.tolist())
    found = fit_confidence(predictions, np.arange(100), 0.1)
    assert found == pytest.approx((confidence[68] + confidence[69]) / 2)
    later = is_right.copy()
    later[20:25] = 0
    assert upper(5, 29) > 0.1
    predictions = of_confidence(confidence.tolist(), later.tolist())
    assert fit_confidence(predictions, np.arange(100), 0.1) is None


def test_all_images_may_be_answered() -> None:
    confidence = np.linspace(0.99, 0.6, 149)
    right = of_confidence(confidence.tolist(), [1] * 149)
    assert fit_confidence(right, np.arange(149), 0.02) == pytest.approx(0.6)


def test_equally_confident_images_are_answered_together_or_not_at_all() -> None:
    # 29 right ones alone would do, but 9 wrong ones are as sure as the last of them
    confidence = [0.9] * 25 + [0.8] * 4
    predictions = of_confidence([*confidence, *[0.8] * 9, 0.6], [1] * 29 + [0] * 10)
    alone = of_confidence([*confidence, *[0.79] * 9, 0.6], [1] * 29 + [0] * 10)
    assert fit_confidence(alone, np.arange(39), 0.1) == pytest.approx(0.795)
    assert fit_confidence(predictions, np.arange(39), 0.1) is None


def test_copies_of_an_image_show_no_more_than_the_image() -> None:
    confidence = np.linspace(0.99, 0.6, 40)
    many = of_confidence(np.repeat(confidence, 5).tolist(), [1] * 200)
    groups = np.repeat(np.arange(40), 5)
    # 40 right images show 7.2 %, 200 show 1.5 %
    assert fit_confidence(many, groups, 0.08) == pytest.approx(0.6)
    assert fit_confidence(many, groups, 0.07) is None
    assert fit_confidence(many, np.arange(200), 0.07) == pytest.approx(0.6)


def test_errors_of_one_group_are_as_many_as_the_group_has_images() -> None:
    # 24 wrong ones of 600, all among the least sure: 3 of each of 8 groups
    assert upper(24, 600) < 0.06 < upper(8, 200)
    confidence = np.repeat(np.linspace(0.99, 0.5, 200), 3)
    predictions = of_confidence(confidence.tolist(), [1] * 576 + [0] * 24)
    groups = np.repeat(np.arange(200), 3)
    assert fit_confidence(predictions, np.arange(600), 0.06) == pytest.approx(0.5)
    assert fit_confidence(predictions, groups, 0.06) > 0.51


def test_what_cannot_be_shown_is_said(caplog: pytest.LogCaptureFixture) -> None:
    few = of_confidence(np.linspace(0.99, 0.6, 148).tolist(), [1] * 148)
    with caplog.at_level(logging.WARNING):
        assert fit_confidence(few, np.arange(148), 0.02) is None
    assert "a person has to check every answer" in caplog.text
    assert "at most 2 % of the answers are wrong" in caplog.text


@pytest.mark.parametrize("kind", ["told", "told in groups", "not told"])
def test_answers_to_new_images_keep_to_the_risk_in_19_of_20_models(kind: str) -> None:
    """told: errors are less confident; not told: they are as confident as the rest.

    In groups of 4 the images share most of what makes them hard.
    """
    random = np.random.default_rng(0)
    size = 4 if kind == "told in groups" else 1

    def draw(groups: int) -> tuple[Predictions, np.ndarray]:
        owner = np.repeat(np.arange(groups), size)
        labels = random.integers(0, 3, groups)[owner]
        shared = random.normal(size=(groups, 3))[owner]
        logits = np.sqrt(0.8) * shared + np.sqrt(0.2) * random.normal(size=(len(owner), 3))
        logits[np.arange(len(owner)), labels] += 1.8
        if kind == "not told":
            is_wrong = random.random(len(owner)) < 0.105
            labels = (logits.argmax(axis=1) + is_wrong) % 3
        return Predictions(("a", "b", "c"), ("x",) * len(owner), labels, logits), owner

    many, _ = draw(40_000 // size)
    is_wrong = many.predicted != many.labels
    assert is_wrong.mean() > 0.1
    risks, shares = [], []
    for _ in range(300):
        confidence = fit_confidence(*draw(400), 0.1)
        answered = many.probs.max(axis=1) >= (2.0 if confidence is None else confidence)
        risks.append(is_wrong[answered].mean() if answered.any() else 0.0)
        shares.append(answered.mean())
    assert np.mean(np.array(risks) > 0.1) <= 0.06
    if kind != "not told":
        assert np.mean(shares) > 0.4


def test_what_is_not_answered_is_a_column_and_refers_to_calibrated_probabilities(
    make_predictions,  # type: ignore[no-untyped-def]
) -> None:
    predictions = make_predictions(400)
    settings = DecisionSettings(
        sensitivity=0.98, prevalence=None, coverage=0.9, risk=0.2, reject=0.02
    )
    decisions = fit_decisions(predictions, None, None, settings)
    decided = decide(dataclasses.replace(predictions, temperature=7.0), decisions, None)
    probs = dataclasses.replace(predictions, temperature=decisions.temperature).probs
    expected = (probs.max(axis=1) >= decisions.confidence).tolist()
    assert columns_of(predictions.classes, decided)["answered"].tolist() == expected
    assert set(expected) == {True, False}
    unsure = dataclasses.replace(decisions, confidence=None)
    assert "answered" not in columns_of(predictions.classes, decide(predictions, unsure, None))
