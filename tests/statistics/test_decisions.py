from __future__ import annotations

import dataclasses
import json
import logging

import numpy as np
import pytest
import yaml
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from braintumor.config import config_dir, typed
from braintumor.errors import ConfigError, DataError
from braintumor.records import Predictions
from braintumor.statistics.confidence import fit_temperature
from braintumor.statistics.decisions import (
    Decided,
    Decisions,
    DecisionSettings,
    decide,
    fit_decisions,
    tumor_probability,
)

SETTINGS = DecisionSettings(
    sensitivity=0.98, prevalence=None, coverage=0.95, risk=0.02, reject=0.02
)


class HandedThrough(ClassifierMixin, BaseEstimator):
    """Probabilities in, the same out: what MAPIE asks of a fitted classifier."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.classes_ = np.arange(classes)

    def fit(self, x: np.ndarray, y: np.ndarray) -> HandedThrough:
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(axis=1)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def binary(tumor_probs: list[float], labels: list[int]) -> Predictions:
    """Two classes (no_tumor, tumor) with these probabilities of tumour."""
    p = np.array(tumor_probs)
    logits = np.log(np.stack([1 - p, p], axis=1))
    return Predictions(("no_tumor", "tumor"), ("x",) * len(p), np.array(labels), logits)


def fit(predictions: Predictions, monkeypatch: pytest.MonkeyPatch, **settings: float) -> Decisions:
    """Without a temperature, so that probabilities are those written in the test."""
    monkeypatch.setattr("braintumor.statistics.decisions.fit_temperature", lambda *_: 1.0)
    return fit_decisions(predictions, None, None, dataclasses.replace(SETTINGS, **settings))


@pytest.mark.parametrize(
    ("sensitivity", "threshold"),
    [(1.0, 0.1), (0.8, 0.35), (0.81, 0.1), (0.6, 0.6), (0.5, 0.6), (0.2, 0.85)],
)
def test_threshold_reaches_the_sensitivity_with_the_fewest_false_alarms(
    monkeypatch: pytest.MonkeyPatch, sensitivity: float, threshold: float
) -> None:
    # five tumours: two at .7 go together, so 3 of 5 is the next step after 1 of 5
    tumors, healthy = [0.9, 0.7, 0.7, 0.4, 0.1], [0.95, 0.8, 0.5, 0.3]
    predictions = binary([*tumors, *healthy], [1] * 5 + [0] * 4)
    decisions = fit(predictions, monkeypatch, sensitivity=sensitivity)
    assert decisions.threshold == pytest.approx(threshold, abs=1e-12)
    called = decide(predictions, decisions, None).is_tumor
    assert called is not None
    assert called[:5].mean() >= sensitivity


def test_threshold_of_separated_images_lies_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = binary([1.0, 0.999, 0.99, 0.6, 0.2, 0.1], [1, 1, 1, 1, 0, 0])
    decisions = fit(predictions, monkeypatch, sensitivity=0.5)
    assert decisions.threshold == pytest.approx(0.4)


def test_threshold_asks_for_no_image_more_than_rounding_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tumors = np.linspace(0.99, 0.01, 100)  # 0.07 * 100 is 7.000000000000001
    decisions = fit(binary(tumors.tolist(), [1] * 100), monkeypatch, sensitivity=0.07)
    assert decisions.threshold == pytest.approx(tumors[6])


def test_tumor_probability_is_that_of_all_classes_with_a_tumor() -> None:
    probs = np.array([[0.5, 0.2, 0.2, 0.1], [0.0, 1e-20, 1.0, 0.0]])
    classes = ("glioma", "meningioma", "no_tumor", "pituitary")
    assert tumor_probability(probs, classes) == pytest.approx([0.8, 1e-20], rel=1e-9)


def test_without_a_class_no_tumor_nothing_is_called(make_predictions) -> None:  # type: ignore[no-untyped-def]
    predictions = make_predictions(classes=("glioma", "meningioma"))
    decisions = fit_decisions(predictions, None, None, SETTINGS)
    decided = decide(predictions, decisions, None)
    assert decisions.threshold is None
    assert decided.is_tumor is None
    assert decided.tumor_prob == pytest.approx(1)


def test_sets_are_those_of_mapie(make_predictions) -> None:  # type: ignore[no-untyped-def]
    for seed, n, coverage in ((0, 137, 0.9), (1, 400, 0.95), (2, 61, 0.8)):
        validation, new = make_predictions(n, seed=seed), make_predictions(300, seed=seed + 10)
        settings = dataclasses.replace(SETTINGS, coverage=coverage)
        decisions = fit_decisions(validation, None, None, settings)
        probs, fresh = (
            dataclasses.replace(p, temperature=decisions.temperature).probs
            for p in (validation, new)
        )
        mapie = SplitConformalClassifier(
            HandedThrough(4), confidence_level=coverage, conformity_score="lac", prefit=True
        ).conformalize(probs, validation.labels)
        sets = mapie.predict_set(fresh)[1][:, :, 0]
        ours = decide(new, decisions, None).sets
        assert np.array_equal(sets, ours)
        rank = int(np.ceil(coverage * (n + 1) - 1e-9))
        quantile = np.sort(mapie.conformity_scores.ravel())[rank - 1]
        assert decisions.conformal == pytest.approx(quantile, abs=1e-9)
        assert 0 < sets.mean() < 1


def test_groups_weigh_the_same_whatever_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    # scores 1 - p(true): .9 ten times in one group, .1, .2, .3 in a group each. Coverage .6 of
    # 5 groups (one is to come) is 3 groups: .1, .2, .3. Image by image it were .9.
    monkeypatch.setattr("braintumor.statistics.decisions.fit_temperature", lambda *_: 1.0)
    predictions = binary([0.1] * 10 + [0.9, 0.8, 0.7], [1] * 13)
    groups = np.array([7] * 10 + [1, 2, 3])
    settings = dataclasses.replace(SETTINGS, coverage=0.6)
    decisions = fit_decisions(predictions, groups, None, settings)
    alone = fit_decisions(predictions, None, None, settings)
    assert decisions.conformal == pytest.approx(0.3)
    assert alone.conformal == pytest.approx(0.9)
    assert (decisions.n, decisions.groups, alone.groups) == (13, 4, 13)


@pytest.mark.parametrize("is_grouped", [False, True])
def test_new_images_of_new_groups_are_covered_as_promised(is_grouped: bool) -> None:
    random = np.random.default_rng(5)
    covered = []
    for _ in range(200):
        # groups differ in how hard they are, and the hard ones are large
        hardness = random.exponential(1, 61)
        sizes = np.ceil(6 * hardness).astype(int) if is_grouped else np.ones(61, dtype=int)
        groups = np.repeat(np.arange(61), sizes)
        labels = random.integers(0, 3, len(groups))
        logits = random.normal(size=(len(groups), 3)) * (0.2 + hardness[groups, None])
        logits[np.arange(len(groups)), labels] += 1
        paths = np.full(len(groups), "x")
        is_new = groups == 60
        old, new = (
            Predictions(("a", "b", "c"), tuple(paths[rows]), labels[rows], logits[rows])
            for rows in (~is_new, is_new)
        )
        settings = dataclasses.replace(SETTINGS, coverage=0.8)
        decisions = fit_decisions(old, groups[~is_new], None, settings)
        sets = decide(new, decisions, None).sets
        assert sets is not None
        covered.append(sets[np.arange(len(new)), new.labels].mean())
    # at least .8, and not more than 1 / (60 + 1) above; 3 standard errors
    error = 3 * np.std(covered) / np.sqrt(len(covered))
    assert 0.8 - error < np.mean(covered) < 0.8 + 1 / 61 + error


def test_too_few_groups_promise_nothing(
    make_predictions,
    caplog: pytest.LogCaptureFixture,  # type: ignore[no-untyped-def]
) -> None:
    predictions = make_predictions(200)
    enough, few = np.arange(200) % 19, np.arange(200) % 18
    assert fit_decisions(predictions, enough, None, SETTINGS).conformal is not None
    with caplog.at_level(logging.WARNING):
        decisions = fit_decisions(predictions, few, None, SETTINGS)
    assert decisions.conformal is None
    assert decide(predictions, decisions, None).sets is None
    assert "takes 19 groups" in caplog.text


def test_decisions_refer_to_calibrated_probabilities(make_predictions) -> None:  # type: ignore[no-untyped-def]
    predictions = make_predictions(300)
    too_sure = dataclasses.replace(predictions, logits=4 * predictions.logits)
    one, other = (fit_decisions(p, None, None, SETTINGS) for p in (predictions, too_sure))
    assert one.temperature == fit_temperature(predictions.logits, predictions.labels)
    assert other.temperature == pytest.approx(4 * one.temperature, rel=1e-6)
    assert other.threshold == pytest.approx(one.threshold, rel=1e-6)
    assert other.conformal == pytest.approx(one.conformal, rel=1e-6)
    # whatever temperature the images come with, that of the decisions counts
    warm = dataclasses.replace(predictions, temperature=9.0)
    assert np.array_equal(decide(warm, one, None).sets, decide(predictions, one, None).sets)


def test_every_class_keeps_its_share_from_being_foreign(make_predictions) -> None:  # type: ignore[no-untyped-def]
    predictions = make_predictions(1000, classes=("no_tumor", "tumor"))
    random = np.random.default_rng(3)
    # one class looks stranger than the other
    scores = random.normal(size=1000) + 3 * (predictions.labels == 0)
    decisions = fit_decisions(predictions, None, scores, SETTINGS)
    is_foreign = decide(predictions, decisions, scores).is_foreign
    assert is_foreign is not None
    shares = [is_foreign[predictions.labels == k].mean() for k in (0, 1)]
    assert 0.01 < shares[0] <= 0.02
    assert shares[1] == 0
    assert decide(predictions, decisions, None).is_foreign is None


def test_a_new_image_is_foreign_as_seldom_as_meant() -> None:
    random = np.random.default_rng(4)
    labels, settings = np.zeros(99, dtype=int), dataclasses.replace(SETTINGS, reject=0.05)
    validation = Predictions(("a", "b"), ("x",) * 99, labels, random.normal(size=(99, 2)))
    found = []
    for _ in range(400):
        scores = random.normal(size=99)
        limit = fit_decisions(validation, None, scores, settings).outlier_threshold
        assert limit == np.sort(scores)[94]  # the 95th of 99: 100 chances in a hundred, 5 above
        found.append((random.normal(size=200) > limit).mean())
    assert np.mean(found) == pytest.approx(0.05, abs=0.005)
    few = fit_decisions(validation, None, scores, dataclasses.replace(SETTINGS, reject=0.001))
    assert few.outlier_threshold == scores.max()


def test_decisions_survive_json(make_predictions) -> None:  # type: ignore[no-untyped-def]
    predictions = make_predictions(150)
    scores = np.random.default_rng(0).random(150)
    decisions = fit_decisions(predictions, None, scores, SETTINGS)
    again = Decisions(**json.loads(json.dumps(dataclasses.asdict(decisions))))
    assert again == decisions
    for field in dataclasses.fields(Decided):
        one, other = (
            getattr(decide(predictions, d, scores), field.name) for d in (decisions, again)
        )
        assert np.array_equal(one, other)


def test_no_image_is_an_error(make_predictions) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match="no validation image"):
        fit_decisions(make_predictions(0), None, None, SETTINGS)


def test_the_config_holds_every_default() -> None:
    values = yaml.safe_load((config_dir() / "decision" / "default.yaml").read_text())
    assert typed(DecisionSettings, values, "decision") == SETTINGS


@pytest.mark.parametrize(
    "wrong", [{"sensitivity": 0.0}, {"coverage": 1.0}, {"reject": 98.0}, {"prevalence": 0.0}]
)
def test_shares_outside_0_and_1_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"decision.{next(iter(wrong))}="):
        typed(DecisionSettings, dataclasses.asdict(SETTINGS) | wrong, "decision")
