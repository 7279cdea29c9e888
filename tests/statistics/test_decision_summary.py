from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from braintumor.records import Predictions
from braintumor.statistics.decision_summary import decision_summary
from braintumor.statistics.decisions import Decided, Decisions, decide
from made_up import of_confidence

CLASSES = ("glioma", "no_tumor")
DECISIONS = Decisions(
    n=50, groups=40, temperature=1.0, sensitivity=0.9, threshold=0.5, coverage=0.8, conformal=0.5,
    reject=0.02, outlier_threshold=1.0, turned_threshold=None, risk=0.1, confidence=0.5,
)  # fmt: skip


def decided_on(is_tumor: list[int], sets: list[list[int]], is_foreign: list[int]) -> Decided:
    rows = np.zeros(len(is_tumor))
    return Decided(
        rows,
        np.array(is_tumor, bool),
        np.array(sets, bool),
        rows,
        np.array(is_foreign, bool),
        ~np.array(is_foreign, bool),
        np.array(is_tumor, bool),
    )


@pytest.fixture
def worked() -> tuple[Predictions, Decided]:
    """Ten images: 6 tumours of which 5 are called, 4 others of which 3 are cleared."""
    labels = np.array([0] * 6 + [1] * 4)
    predictions = Predictions(CLASSES, ("x",) * 10, labels, np.zeros((10, 2)))
    both, first, second, none = [1, 1], [1, 0], [0, 1], [0, 0]
    sets = [first] * 4 + [both, second] + [second, both, first, none]
    return predictions, decided_on([1] * 5 + [0, 1] + [0] * 3, sets, [0] * 9 + [1])


def test_the_tumor_call_by_hand(worked: tuple[Predictions, Decided]) -> None:
    call = decision_summary(worked[0], DECISIONS, worked[1], None, None)["tumor_call"]
    assert (call["n_tumor"], call["n_no_tumor"]) == (6, 4)
    assert call["sensitivity"] == pytest.approx(5 / 6)
    assert call["specificity"] == pytest.approx(3 / 4)
    for name, right, n in (("sensitivity", 5, 6), ("specificity", 3, 4)):
        wilson = binomtest(right, n).proportion_ci(method="wilson")
        assert call[f"{name}_ci"] == pytest.approx([wilson.low, wilson.high], abs=1e-9)
    # 6 were called of which 5 are tumours; 4 were not of which 3 are none
    assert call["prevalence"] == pytest.approx(0.6)
    assert not call["prevalence_is_stated"]
    assert call["ppv"] == pytest.approx(5 / 6)
    assert call["npv"] == pytest.approx(3 / 4)


def test_predictive_values_at_a_stated_prevalence_are_those_of_altman_and_bland() -> None:
    # BMJ 1994;309:102: sensitivity 231/258, specificity 54/86; PPV .88 and NPV .67 at the
    # prevalence .75 of the study, and PPV .45 and NPV .95 at .25
    labels = np.array([0] * 258 + [1] * 86)
    called = [1] * 231 + [0] * 27 + [1] * 32 + [0] * 54
    predictions = Predictions(CLASSES, ("x",) * 344, labels, np.zeros((344, 2)))
    decided = decided_on(called, [[1, 1]] * 344, [0] * 344)
    found = {
        at: decision_summary(predictions, DECISIONS, decided, None, at)["tumor_call"]
        for at in (None, 0.25)
    }
    assert (round(found[None]["ppv"], 2), round(found[None]["npv"], 2)) == (0.88, 0.67)
    assert (round(found[0.25]["ppv"], 2), round(found[0.25]["npv"], 2)) == (0.45, 0.95)
    assert found[0.25]["prevalence_is_stated"]
    for call in found.values():
        assert call["ppv_ci"][0] < call["ppv"] < call["ppv_ci"][1]
        assert call["npv_ci"][0] < call["npv"] < call["npv_ci"][1]


def test_intervals_of_predictive_values_cover_at_least_95_percent() -> None:
    random = np.random.default_rng(0)
    sensitivity, specificity, at = 0.9, 0.8, 0.1
    truth = sensitivity * at / (sensitivity * at + (1 - specificity) * (1 - at))
    labels = np.repeat([0, 1], [120, 80])
    predictions = Predictions(CLASSES, ("x",) * 200, labels, np.zeros((200, 2)))
    inside = 0
    for _ in range(300):
        called = random.random(200) < np.where(labels == 0, sensitivity, 1 - specificity)
        decided = decided_on(called.tolist(), [[1, 1]] * 200, [0] * 200)
        call = decision_summary(predictions, DECISIONS, decided, None, at)["tumor_call"]
        inside += call["ppv_ci"][0] <= truth <= call["ppv_ci"][1]
    assert inside / 300 > 0.94


def test_sets_by_hand(worked: tuple[Predictions, Decided]) -> None:
    sets = decision_summary(worked[0], DECISIONS, worked[1], None, None)["sets"]
    # 7 of 10 hold the truth: 5 of 6 tumours, 2 of 4 others; 2 of 10 hold both, 1 none
    assert sets["coverage"] == pytest.approx(0.7)
    assert sets["coverage_ci"] == pytest.approx(proportion_confint(7, 10, method="wilson"))
    assert sets["mean_size"] == pytest.approx(1.1)
    assert sets["singletons"] == pytest.approx(0.7)
    assert sets["empty"] == pytest.approx(0.1)
    assert [sets["per_class"][name]["coverage"] for name in CLASSES] == pytest.approx([5 / 6, 0.5])
    assert [sets["per_class"][name]["n"] for name in CLASSES] == [6, 4]


def test_the_target_of_sets_is_met_by_groups_and_not_by_images() -> None:
    # one group of eight images without the truth in any set, nine groups of one image each with
    labels = np.zeros(17, dtype=int)
    predictions = Predictions(CLASSES, ("x",) * 17, labels, np.zeros((17, 2)))
    decided = decided_on([1] * 17, [[0, 1]] * 8 + [[1, 0]] * 9, [0] * 17)
    groups = np.array([0] * 8 + list(range(1, 10)))
    sets = decision_summary(predictions, DECISIONS, decided, groups, None)["sets"]
    assert sets["coverage"] == pytest.approx(9 / 17)
    assert (sets["coverage_groups"], sets["groups"]) == (pytest.approx(0.9), 10)
    assert sets["coverage_groups_ci"] == pytest.approx(proportion_confint(9, 10, method="wilson"))


def test_images_of_one_group_widen_the_intervals(worked: tuple[Predictions, Decided]) -> None:
    predictions, decided = worked
    twice = Predictions(CLASSES, ("x",) * 20, np.repeat(predictions.labels, 2), np.zeros((20, 2)))
    doubled = Decided(
        *(np.repeat(getattr(decided, f.name), 2, axis=0) for f in dataclasses.fields(Decided))
    )
    alone = decision_summary(predictions, DECISIONS, decided, None, None)
    naive = decision_summary(twice, DECISIONS, doubled, None, None)
    grouped = decision_summary(twice, DECISIONS, doubled, np.repeat(np.arange(10), 2), None)

    def width(summary: dict, block: str, name: str) -> float:
        return float(np.ptp(summary[block][f"{name}_ci"]))

    for summary in (alone, naive, grouped):
        summary |= {"answered": summary["abstention"]["fitted"]}
    blocks = ("tumor_call", "sensitivity"), ("sets", "coverage"), ("foreign", "share")
    blocks = (*blocks, ("answered", "share"))
    for block, name in (*blocks, ("turned", "share")):
        assert grouped[block][name] == pytest.approx(alone[block][name])
        # a copy of every image is worth nothing (the t-quantiles cost a little)
        assert width(grouped, block, name) >= width(alone, block, name) - 0.02
        assert width(naive, block, name) < 0.9 * width(alone, block, name)


def test_abstention_keeps_the_most_confident(worked: tuple[Predictions, Decided]) -> None:
    confidence = np.linspace(0.99, 0.6, 20)
    predictions = of_confidence(confidence.tolist(), [1] * 17 + [0, 1, 0])
    decided = Decided(np.zeros(20), None, None, None, None)
    summary = decision_summary(predictions, DECISIONS, decided, None, None)
    kept = {row["share"]: (row["n"], row["accuracy"]) for row in summary["abstention"]["kept"]}
    assert kept == {
        1.0: (20, pytest.approx(18 / 20)),
        0.95: (19, pytest.approx(18 / 19)),
        0.9: (18, pytest.approx(17 / 18)),
        0.8: (16, 1.0),
    }
    assert summary["tumor_call"] is summary["sets"] is summary["foreign"] is None
    assert summary["turned"] is None
    assert summary["abstention"]["fitted"] == {"target": 0.1, "confidence": 0.5}


def test_wrong_answers_are_counted_among_those_given() -> None:
    predictions = of_confidence([0.9] * 6 + [0.6] * 4, [1, 1, 1, 1, 1, 0, 0, 0, 0, 1])
    decisions = dataclasses.replace(DECISIONS, risk=0.2, confidence=0.8)
    fitted = decision_summary(
        predictions, decisions, decide(predictions, decisions, None), None, None
    )["abstention"]["fitted"]
    assert (fitted["confidence"], fitted["target"], fitted["n"]) == (0.8, 0.2, 6)
    assert fitted["share"] == pytest.approx(0.6)
    assert fitted["risk"] == pytest.approx(1 / 6)
    assert fitted["risk_ci"] == pytest.approx(proportion_confint(1, 6, method="wilson"))
    none = dataclasses.replace(decisions, confidence=1.0)
    decided = decide(predictions, none, None)
    fitted = decision_summary(predictions, none, decided, None, None)["abstention"]["fitted"]
    assert (fitted["share"], fitted["n"], fitted["risk_ci"]) == (0, 0, None)
    assert np.isnan(fitted["risk"])


def test_a_summary_of_one_class_is_json_without_intervals_where_nothing_is_known() -> None:
    predictions = Predictions(CLASSES, ("x",) * 3, np.zeros(3, dtype=int), np.zeros((3, 2)))
    decided = decided_on([1, 1, 0], [[1, 0]] * 3, [0, 0, 0])
    summary = decision_summary(predictions, DECISIONS, decided, np.array([1, 1, 1]), None)
    json.dumps(summary)
    call = summary["tumor_call"]
    assert np.isnan(call["specificity"])
    assert call["specificity_ci"] is call["ppv_ci"] is call["npv_ci"] is None
    assert summary["sets"]["per_class"]["no_tumor"]["coverage_ci"] is None
