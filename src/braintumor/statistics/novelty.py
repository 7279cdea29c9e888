"""How strange a picture is to a network: what its features hold that training's never did.

The features of the training images lie near a subspace of few dimensions. What a picture has
outside it is its outlier score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from braintumor.errors import DataError

# N images, F features, D dimensions of the subspace

_MOST_DIMENSIONS = 64  # 330 kB for 1,280 features
_EXPLAINED = 0.95  # of the variance; a small network needs few dimensions for it
_LEAST_SCALE = 1e-12  # features that are all alike have no residual to divide by


@dataclass(frozen=True, eq=False)
class Outliers:
    """The subspace of the training images' features.

    mean: float32 (F,).  basis: float32 (F, D), orthonormal columns.
    scale: float32 (), root mean square distance of the training images from the subspace.
    """

    mean: np.ndarray
    basis: np.ndarray
    scale: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """By name, to be stored as tensors; `from_arrays` takes them back."""
        return {"mean": self.mean, "basis": self.basis, "scale": self.scale}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Outliers:
        """What `to_arrays` gave."""
        return cls(**{name: np.asarray(arrays[name]) for name in ("mean", "basis", "scale")})


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
            f"there are {len(features)} training images to learn the common features from; "
            "it takes two or more"
        )
    # slow to import, and needed by training alone
    from scipy.linalg import eigh

    weights = 1 / np.bincount(labels)[labels]
    weights /= weights.sum()
    mean = weights @ features.astype(np.float64)
    centred = (features - mean) * np.sqrt(weights)[:, None]
    covariance = centred.T @ centred
    width = len(mean)
    last = [max(0, width - _MOST_DIMENSIONS), width - 1]
    variances, vectors = eigh(covariance, subset_by_index=last)
    variances, vectors = variances[::-1], vectors[:, ::-1]
    total = float(np.trace(covariance))
    count = int(np.searchsorted(np.cumsum(variances), _EXPLAINED * total)) + 1
    scale = np.sqrt(max(total - float(variances[:count].sum()), _LEAST_SCALE))
    parts = mean, vectors[:, :count], scale
    return Outliers(*(np.asarray(part, dtype=np.float32) for part in parts))


def outlier_scores(outliers: Outliers, features: np.ndarray) -> np.ndarray:
    """Distance from the subspace: float64 (N,), 0 or more; about 1 for training images.

    features: float (N, F), made as those of the fit.
    """
    centred = features.astype(np.float64) - outliers.mean
    residual = centred - (centred @ outliers.basis) @ outliers.basis.T
    return np.asarray(np.linalg.norm(residual, axis=1) / float(outliers.scale))
