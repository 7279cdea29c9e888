"""The rule that tells slices from the same upside down."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from braintumor.data.host_images import load_split
from braintumor.evaluation.predict import Inference, features_of, predict_with_features
from braintumor.models.classifier import Classifier, build_model
from braintumor.statistics.decisions import DecisionSettings, decide, fit_decisions
from braintumor.statistics.input_checks import Orientation, fit_orientation, orientation_scores
from foreign import upside_down
from real_slices import halves_of, imagenet_backbone, slices
from small_fit import MODEL

F = 30
SETTINGS = DecisionSettings(
    sensitivity=0.98, prevalence=None, coverage=0.95, risk=0.02, reject=0.02
)


def halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features with something of its own above and below, upright and turned: (N, 2, F) each."""
    random = np.random.default_rng(seed)
    upright = random.normal(size=(n, 2, F)).astype(np.float32) + random.normal(size=(n, 1, F))
    upright[:, 0, :5] += 1.5
    return upright.astype(np.float32), upright[:, ::-1].astype(np.float32)


def test_slices_are_told_from_the_same_upside_down() -> None:
    orientation = fit_orientation(*halves(500, 0))
    upright, turned = (orientation_scores(orientation, part) for part in halves(300, 1))
    truth = np.repeat([0, 1], 300)
    assert roc_auc_score(truth, np.concatenate([upright, turned])) > 0.99
    assert abs(upright.mean()) < 0.3 < 2 < turned.mean()  # in deviations of upright training images


def test_the_rule_is_logistic_regression_on_the_difference_of_the_halves() -> None:
    upright, turned = halves(200, 2)
    x = np.concatenate([upright, turned]).astype(np.float64)
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=1000))
    peer.fit(x[:, 0] - x[:, 1], np.repeat([0, 1], 200))
    new, _ = halves(50, 3)
    log_odds = peer.decision_function(x[:200, 0] - x[:200, 1])
    expected = peer.decision_function(new[:, 0] - new[:, 1].astype(np.float64))
    expected = (expected - log_odds.mean()) / log_odds.std()
    found = orientation_scores(fit_orientation(upright, turned), new)
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_map_of_one_row_says_nothing() -> None:
    alike = np.repeat(np.random.default_rng(4).normal(size=(40, 1, F)), 2, axis=1)
    orientation = fit_orientation(alike, alike)
    assert orientation_scores(orientation, alike) == pytest.approx(0, abs=1e-5)


def test_the_rule_survives_being_stored() -> None:
    upright, turned = halves(100, 5)
    orientation = fit_orientation(upright, turned)
    again = Orientation(orientation.weight.copy(), orientation.offset.copy())
    assert np.array_equal(
        orientation_scores(again, turned), orientation_scores(orientation, turned)
    )


def test_few_of_validation_and_most_of_the_turned_are_called_upside_down(make_predictions) -> None:  # type: ignore[no-untyped-def]
    predictions = make_predictions(1000)
    orientation = fit_orientation(*halves(500, 6))
    upright, turned = (orientation_scores(orientation, part) for part in halves(1000, 7))
    decisions = fit_decisions(predictions, None, None, SETTINGS, upright)
    own = decide(predictions, decisions, None, upright).is_upside_down
    others = decide(predictions, decisions, None, turned).is_upside_down
    assert own is not None
    assert others is not None
    assert all(own[predictions.labels == k].mean() <= 0.02 for k in range(4))
    assert own.any()
    assert others.mean() > 0.8


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    return build_model(MODEL, 4, 32).eval()


def test_features_are_the_means_of_the_upper_and_the_lower_half(model: Classifier) -> None:
    images = np.random.default_rng(8).integers(0, 256, (6, 32, 32), dtype=np.uint8)
    split = load_split(images, np.zeros(6), tuple("abcdef"), np.arange(6), torch.device("cpu"))
    how = Inference(batch_size=4, dtype=torch.float32)
    found = features_of(model, split, how)
    with torch.no_grad():
        map_BFhw = model.forward_features(torch.from_numpy(images)[:, None])
    middle = map_BFhw.shape[2] // 2
    assert map_BFhw.shape[2] % 2 == 0
    for half, rows in enumerate((slice(0, middle), slice(middle, None))):
        expected = map_BFhw[:, :, rows].mean(dim=(2, 3)).numpy()
        assert found[:, half] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    _, same = predict_with_features(model, split, tuple("wxyz"), how, views=1)
    assert same == pytest.approx(found, rel=1e-5, abs=1e-6)


@pytest.mark.real_data
@pytest.mark.weights
def test_real_slices_on_their_heads_are_told_apart(
    nickparvar: Path, imagenet_weights: Path
) -> None:
    """Features of ImageNet alone, 96 px, where the upright images are what the folder calls so."""
    features = functools.partial(halves_of, imagenet_backbone(imagenet_weights))
    train, _ = slices(nickparvar / "Training", 100)
    test, _ = slices(nickparvar / "Testing", 40)
    orientation = fit_orientation(features(train), features(upside_down(train)))
    scores = [orientation_scores(orientation, features(x)) for x in (test, upside_down(test))]
    truth = np.repeat([0, 1], len(test))
    assert roc_auc_score(truth, np.concatenate(scores)) >= 0.8
