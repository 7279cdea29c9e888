"""Two checks of a picture by a network's own features: is it foreign, does it stand on its head?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braintumor.errors import DataError, some

# N images, F features, D dimensions of the subspace

_MOST_DIMENSIONS = 64  # 330 kB for 1,280 features
_EXPLAINED = 0.95  # of the variance; a small network needs few dimensions for it
_LEAST_DISTANCE = 1e-12  # features that are all alike have no residual to divide by
_C = 0.003  # inverse strength of the penalty, for N images and as many turned ones
_LEAST_SPREAD = 1e-6  # a feature that never changes says nothing


@dataclass(frozen=True, eq=False)
class Outliers:
    """The subspace of the training images' features.

    mean: float32 (F,).  basis: float32 (F, D), orthonormal columns.
    scale: float32 (), root mean square distance of the training images from the subspace.
    """

    mean: np.ndarray
    basis: np.ndarray
    scale: np.ndarray


def fit_outliers(features: np.ndarray, labels: np.ndarray) -> Outliers:
    """The principal subspace that holds 95 % of the variance, in at most 64 dimensions.

    features: float (N, F) of the training images without augmentation: the backbone's map,
    averaged over its cells.  labels: int (N,); each class has the same weight in the subspace,
    or a rare class of many looks would be strange for being rare.
    Raises DataError when there are fewer than two images.
    Source: the residual of ViM, Wang et al. 2022, arXiv:2203.10807, section 4.1, alone: without
    its logit, and around the mean of the features, since heads with attention or a hidden layer
    have no origin to move it to. Mahalanobis distance (Lee et al. 2018, arXiv:1807.03888), its
    relative form and nearest neighbours were tried: in a subspace of this size they let noise
    and text pass as brains, for what is foreign about these lies outside it.
    """
    if len(features) < 2:
        raise DataError(
            f"{some(len(features), 'training image', 'is')} not enough to learn the common "
            "features from; it takes two or more"
        )
    # slow to import, and needed by training alone
    from scipy.linalg import eigh

    weights = 1 / np.bincount(labels)[labels]
    weights /= weights.sum()
    mean = weights @ features.astype(np.float64)
    centred = (features - mean) * np.sqrt(weights)[:, None]
    covariance = centred.T @ centred
    width = len(mean)
    variances, vectors = eigh(
        covariance, subset_by_index=[max(0, width - _MOST_DIMENSIONS), width - 1]
    )
    variances, vectors = variances[::-1], vectors[:, ::-1]
    total = float(np.trace(covariance))
    count = int(np.searchsorted(np.cumsum(variances), _EXPLAINED * total)) + 1
    scale = np.sqrt(max(total - float(variances[:count].sum()), _LEAST_DISTANCE))
    parts = mean, vectors[:, :count], scale
    return Outliers(*(np.asarray(part, dtype=np.float32) for part in parts))


def outlier_scores(outliers: Outliers, features: np.ndarray) -> np.ndarray:
    """Distance from the subspace: float64 (N,), 0 or more; about 1 for training images.

    features: float (N, F), made as those of the fit.

    >>> line = Outliers(mean=np.zeros(2), basis=np.array([[1.0], [0.0]]), scale=np.array(2.0))
    >>> outlier_scores(line, np.array([[7.0, 0.0], [7.0, 3.0]])).tolist()
    [0.0, 1.5]
    """
    centred = features.astype(np.float64) - outliers.mean
    residual = centred - (centred @ outliers.basis) @ outliers.basis.T
    return np.asarray(np.linalg.norm(residual, axis=1) / float(outliers.scale))


@dataclass(frozen=True, eq=False)
class Orientation:
    """The rule: weight float32 (F,) times upper half less lower half, plus offset float32 ().

    In standard deviations from the mean of upright training images, so that the scores of two
    networks, each by its own rule, can meet one threshold.
    """

    weight: np.ndarray
    offset: np.ndarray


def fit_orientation(upright: np.ndarray, turned: np.ndarray) -> Orientation:
    """Logistic regression of training images against the same turned upside down.

    upright, turned: float (N, 2, F), the backbone's map averaged over its upper and its lower
    half, of the pictures as they are and of their mirror images top to bottom.
    The difference of above and below says more than the mean: on Nickparvar AUROC .994 against
    .980 (mobilenetv2_035_mhsa, 160 px, thirds of the map, 1,500 training images, n=774
    validation). Data sets that hold slices of both orientations limit what can be had.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import

    x = np.concatenate([_difference(upright), _difference(turned)])
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), _LEAST_SPREAD)
    is_upside_down = np.repeat([0, 1], [len(upright), len(turned)])
    rule = LogisticRegression(C=_C, max_iter=1000).fit((x - mean) / scale, is_upside_down)
    log_odds = rule.decision_function((x[: len(upright)] - mean) / scale)
    spread = max(float(log_odds.std()), _LEAST_SPREAD)
    weight = rule.coef_[0] / scale
    offset = rule.intercept_[0] - weight @ mean - log_odds.mean()
    parts = weight / spread, offset / spread
    return Orientation(*(np.asarray(part, dtype=np.float32) for part in parts))


def orientation_scores(orientation: Orientation, features: np.ndarray) -> np.ndarray:
    """How upside down slices look: float64 (N,), about 0 upright.  features: float (N, 2, F)."""
    weight = orientation.weight.astype(np.float64)
    return np.asarray(_difference(features) @ weight + float(orientation.offset))


def _difference(features: np.ndarray) -> np.ndarray:
    return features[:, 0].astype(np.float64) - features[:, 1]
