"""Which of very many pictures may be the same: a few numbers a picture, compared pair by pair.

A linear discriminant analysis in which every picture is a class of its own, seen moved a little:
its directions tell pictures apart and hardly change when one is cropped.
Source: Fisher 1936, The use of multiple measurements in taxonomic problems.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from scipy import linalg, ndimage

from braintumor.data.alignment import local_contrast, pooled, sample, unit
from braintumor.runtime import in_threads

# N pictures, T side of a thumbnail in px, D numbers that describe a picture, P pairs

# Cosine of two descriptions from which a pair is looked at, and from which it is worth aligning
# (2 ms). Of 12,489 pairs of copies among 6,593 real slices three keep less than ALIKE, the least
# .644, and are lost; 108 keep less than MOVED, and none of them is lost by that. Of 500 phantoms
# and 500 slices cropped by 2 % on each side all keep more than MOVED, the least .812
ALIKE, MOVED = 0.70, 0.80

_NUMBERS = 192  # D; with 96 three times as many pairs of 6,000 phantoms reach ALIKE
_LEARNT_FROM = 2000  # pictures, each moved twice
_CROP = 0.04  # of a side at most, cut from or added to each
_SHRINKAGE = 0.05  # of the scatter within a class towards a multiple of identity
_BLUR_PX, _CELL_PX = 1.0, 2  # before pooling, and the side of a pooled cell
_BLOCK = 1024
_TILE = 4096  # a tile of 1,024 x 4,096 cosines is 16 MB


def near_pairs(thumbnails: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For step 1 and then -1: step, pairs int (P, 2), a < b, and their cosines float32 (P,).

    thumbnails: uint8 (N, T, T).  step -1 takes the second of each pair mirrored.
    Every pair is compared, but by D numbers: 20,000 pictures take 9 s of processor time, 100,000
    take 76 s, of which about half grow with the square.
    """
    mean, directions = _discriminant(thumbnails)

    def describe(start: int) -> list[np.ndarray]:
        images = _contrast(thumbnails[start : start + _BLOCK])
        both = (each.reshape(len(each), -1) for each in (images, images[..., ::-1]))
        numbers = ((each - mean) @ directions for each in both)
        return [each / np.linalg.norm(each, axis=1, keepdims=True) for each in numbers]

    described = in_threads(describe, range(0, len(thumbnails), _BLOCK))
    plain, mirrored = map(np.concatenate, zip(*described, strict=True))
    for step, other in ((1, plain), (-1, mirrored)):
        found = in_threads(functools.partial(_tile, plain, other), _tiles(plain))
        pairs, cosines = map(np.concatenate, zip(*found, strict=True))
        yield step, pairs, cosines


def _tiles(descriptions: np.ndarray) -> Iterator[tuple[int, int]]:
    """Upper left corners of the tiles that hold a pair a < b."""
    count = len(descriptions)
    for row in range(0, count, _BLOCK):
        yield from ((row, column) for column in range(row, count, _TILE))


def _tile(
    one: np.ndarray, other: np.ndarray, corner: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    row, column = corner
    cosines = one[row : row + _BLOCK] @ other[column : column + _TILE].T
    at = np.flatnonzero(cosines >= ALIKE)
    a, b = np.divmod(at, cosines.shape[1])
    is_pair = row + a < column + b
    pairs = np.stack([row + a, column + b], axis=1)[is_pair]
    return pairs, cosines.ravel()[at[is_pair]]


def _contrast(images: np.ndarray) -> np.ndarray:
    """Blurred local contrast, float32 (N, T / 2, T / 2), of length 1 a picture."""
    contrast = local_contrast(images.astype(np.float32))
    return unit(pooled(ndimage.gaussian_filter(contrast, (0, _BLUR_PX, _BLUR_PX)), _CELL_PX))


def _discriminant(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (T * T / 4,) and directions (T * T / 4, D), learnt from some of the pictures."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(thumbnails))[:_LEARNT_FROM]
    images = thumbnails[np.sort(chosen)].astype(np.float32)
    seen = _contrast(images).reshape(len(images), -1)
    moved = [_contrast(_moved(images, rng)).reshape(len(images), -1) for _ in range(2)]
    change = np.concatenate(moved) - np.concatenate([seen, seen])
    mean = seen.mean(axis=0)
    between, within = (each.T @ each / len(each) for each in (seen - mean, change))
    within += _SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within), dtype=np.float32)
    size = len(within)
    _, directions = linalg.eigh(between, within, subset_by_index=[size - _NUMBERS, size - 1])
    return mean, directions.astype(np.float32)


def _moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each cut or widened on its four sides, by a draw of its own."""
    low, high = rng.uniform(-_CROP, _CROP, (2, len(images), 2))
    move = np.empty((len(images), 4), np.float32)
    move[:, 0::2] = -(low + high)
    move[:, 1::2] = (low - high) / 2 * images.shape[1]
    (moved,), inside = sample([images], move)
    return np.where(inside, moved, 0)
