from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from braintumor.errors import DataError
from braintumor.statistics.input_checks import Outliers, fit_outliers, outlier_scores
from foreign import FOREIGN, make_foreign, upside_down
from real_slices import halves_of, imagenet_backbone, slices

# N images, F features


def features_of(random: np.random.Generator, n: int, axes: np.ndarray) -> np.ndarray:
    """Features on a few axes, with a little of everything else: float32 (n, F)."""
    own = random.normal(size=(n, len(axes))) * np.linspace(3, 1, len(axes))
    return (5 + own @ axes + 0.05 * random.normal(size=(n, axes.shape[1]))).astype(np.float32)


@pytest.fixture
def axes() -> np.ndarray:
    """Four orthogonal directions of 40: float (4, 40)."""
    return ortho_group.rvs(40, random_state=0)[:4]


def test_a_planted_foreign_cluster_is_flagged(axes: np.ndarray) -> None:
    random = np.random.default_rng(0)
    train, test = features_of(random, 500, axes), features_of(random, 300, axes)
    foreign = features_of(random, 60, axes)
    # foreign pictures are no further from the mean than brains, but in a direction of their own
    foreign += 2 * ortho_group.rvs(40, random_state=0)[7].astype(np.float32)
    outliers = fit_outliers(train, np.arange(500) % 3)
    own, strange = outlier_scores(outliers, test), outlier_scores(outliers, foreign)
    limit = np.quantile(outlier_scores(outliers, train), 0.98)
    assert (own > limit).mean() < 0.05
    assert (strange > limit).all()


def test_a_score_is_the_distance_from_the_principal_subspace(axes: np.ndarray) -> None:
    random = np.random.default_rng(1)
    train, new = features_of(random, 400, axes), 3 * features_of(random, 50, axes)
    outliers = fit_outliers(train, np.zeros(400, dtype=int))
    pca = PCA(outliers.basis.shape[1]).fit(train.astype(np.float64))

    def distance(x: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x - pca.inverse_transform(pca.transform(x)), axis=1)

    scale = np.sqrt((distance(train.astype(np.float64)) ** 2).mean())
    expected = distance(new.astype(np.float64)) / scale
    assert outlier_scores(outliers, new) == pytest.approx(expected, rel=1e-3)
    assert pca.explained_variance_ratio_.sum() >= 0.95
    assert pca.explained_variance_ratio_[:-1].sum() < 0.95


def test_a_rare_class_has_its_place_in_the_subspace(axes: np.ndarray) -> None:
    random = np.random.default_rng(2)
    common, rare = features_of(random, 980, axes[:2]), features_of(random, 20, axes[2:])
    train, labels = np.concatenate([common, rare]), np.repeat([0, 1], [980, 20])
    fresh = features_of(random, 100, axes[2:])
    fair, blind = (fit_outliers(train, y) for y in (labels, np.zeros(1000, dtype=int)))
    assert np.median(outlier_scores(fair, fresh)) < 2
    assert np.median(outlier_scores(blind, fresh)) > 3


def test_outliers_survive_being_stored_as_arrays(axes: np.ndarray) -> None:
    train = features_of(np.random.default_rng(3), 200, axes)
    outliers = fit_outliers(train, np.arange(200) % 4)
    arrays = vars(outliers)
    again = Outliers(**{name: array.copy() for name, array in arrays.items()})
    assert np.array_equal(outlier_scores(again, train), outlier_scores(outliers, train))
    assert all(array.dtype == np.float32 for array in arrays.values())


def test_outliers_of_a_wide_network_stay_below_a_megabyte() -> None:
    train = np.random.default_rng(4).normal(size=(300, 2048)).astype(np.float32)
    arrays = vars(fit_outliers(train, np.arange(300) % 4))
    assert sum(array.nbytes for array in arrays.values()) < 1_000_000


@pytest.mark.parametrize("train", [np.ones((5, 6)), np.eye(6)[:2], np.zeros((3, 1))])
def test_features_that_hardly_vary_give_finite_scores(train: np.ndarray) -> None:
    outliers = fit_outliers(train, np.zeros(len(train), dtype=int))
    assert np.isfinite(outlier_scores(outliers, np.full((2, train.shape[1]), 7.0))).all()


def test_one_image_is_too_few() -> None:
    with pytest.raises(DataError, match="two or more"):
        fit_outliers(np.ones((1, 4)), np.zeros(1, dtype=int))


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_pictures_are_a_function_of_their_seed(kind: str) -> None:
    one, same, other = (make_foreign(kind, 2, 48, seed) for seed in (0, 0, 1))
    assert one.shape == (2, 48, 48, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.real_data
@pytest.mark.weights
def test_what_is_no_brain_scan_is_told_from_real_ones(
    nickparvar: Path, imagenet_weights: Path
) -> None:
    """Features of ImageNet alone, 96 px; a trained network is at 0.99 and more."""
    model = imagenet_backbone(imagenet_weights)

    def features(images: np.ndarray) -> np.ndarray:
        return halves_of(model, images).mean(axis=1)

    train, labels = slices(nickparvar / "Training", 60)
    test, _ = slices(nickparvar / "Testing", 30)
    outliers = fit_outliers(features(train), labels)
    own = outlier_scores(outliers, features(test))
    for kind in FOREIGN:
        strange = outlier_scores(outliers, features(make_foreign(kind, 20, 96)))
        truth = np.repeat([0, 1], [len(own), len(strange)])
        assert roc_auc_score(truth, np.concatenate([own, strange])) >= 0.95, kind
    # a slice on its head is still a slice: the features see it as a little strange at most
    turned = outlier_scores(outliers, features(upside_down(test)))
    assert np.median(turned) >= np.median(own)
