"""Which pictures of a data set are the same picture: re-encoded, resized, mirrored, cropped.

A perceptual hash names candidates, a coarse look drops most of them, and the correlation of local
contrast decides. On 7,019 real slices that correlation has two humps with next to nothing between
.80 and .87: neighbouring slices of one head end below, copies begin above.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy import fft, ndimage

from braintumor.runtime import in_threads

# N pictures, T side of a thumbnail in px, n = T * T pixels, P candidate pairs

SAME = 0.87  # correlation of local contrast from which two pictures are one
SAME_MOVED = 0.92  # the same after aligning, which brings neighbouring slices nearer too

# Correlation of local contrast at a quarter of the size, blurred. All 14,691 pairs of real copies
# keep more, those cut by 5 % on one side the least (.733), and so do 1,950 copies cut by 2 %; of
# phantoms of other patients with a near hash, 80 % keep less.
_SAME_COARSE = 0.72
_BLUR_PX, _COARSE_PX = 1.5, 4  # before pooling, and the side of a pooled cell

_HASH_SIDE = 16  # 256 bits; with 64 no radius parts copies from neighbouring slices
_CANDIDATE_BITS = 60  # of 256; finds a copy cropped by 2 % on each side, and every re-encoding
_WINDOW_PX = 5  # of local contrast: about a gyrus at 64 px
_FLOOR = 4.0  # grey levels; keeps the noise of air from counting as contrast
_ALIGN_FROM = 0.25  # a copy cropped by 2 % on each side keeps this much before it is aligned
_ONE_CELL = 12_000  # pictures that are searched as one; beyond, by neighbourhoods of hashes
_CELL = 1500  # pictures of a neighbourhood
_PROBES = 4  # neighbourhoods in which a picture looks for its like
_BLOCK = 1024
_STEPS = 4  # of the alignment
_LARGEST = 0.06  # scale and shift, as a share of the side: beyond, it is another picture
_ALIGNED = 64  # pairs that are aligned at once: they stay in the cache of the processor


def phashes(thumbnails: np.ndarray) -> np.ndarray:
    """Perceptual hashes of uint8 (N, T, T), 256 bits as 64 hex characters each: str (N,).

    The signs of the lowest 16 x 16 cosine frequencies about their median; those of
    imagehash.phash(hash_size=16), which takes one picture at a time and five times as long.
    Source: Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions, 3.2.1.
    """
    hashes: list[str] = []
    for start in range(0, len(thumbnails), _BLOCK):
        block = thumbnails[start : start + _BLOCK].astype(np.float64)
        rows = fft.dct(block, axis=1)[:, :_HASH_SIDE]
        low = fft.dct(rows, axis=2)[:, :, :_HASH_SIDE].reshape(len(block), -1)
        bits = np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)
        hashes.extend(row.tobytes().hex() for row in bits)
    return np.array(hashes, dtype="U64")


def hash_words(hashes: Sequence[str] | np.ndarray) -> np.ndarray:
    """Perceptual hashes, 64 hex characters each -> uint64 (N, 4). Raises ValueError on others."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(len(hashes), 4)


def hamming(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits that differ between each of one and each of other, uint64 (B, W) and (N, W): (B, N).

    >>> hamming(np.array([[0], [7]], np.uint64), np.array([[1]], np.uint64))
    array([[1],
           [2]], dtype=uint16)
    """
    distance = np.zeros((len(one), len(other)), np.uint16)
    for w in range(one.shape[1]):
        distance += np.bitwise_count(one[:, None, w] ^ other[None, :, w])
    return distance


def find_near_copies(thumbnails: np.ndarray, hashes: np.ndarray) -> pd.DataFrame:
    """Pairs of the same picture: columns a < b (row numbers), mirrored (bool), correlation.

    thumbnails: uint8 (N, T, T), grey.  hashes: their perceptual hashes, str (N,).
    A pair that agrees in both mirror states counts once, in the better one.
    Memory is bounded: about N x 15 kB and a few blocks of 1,024 pictures, not N x N; but every
    pair is listed, so n re-encodings of one picture make n * (n - 1) / 2 rows.
    """
    contrast, coarse = _contrasts(thumbnails)
    found: list[pd.DataFrame] = []
    for step in (1, -1):  # along the rows of the second picture; backwards mirrors it
        queries = hashes if step > 0 else phashes(thumbnails[:, :, ::-1])
        confirm = functools.partial(_confirmed, thumbnails, contrast, coarse, step)
        found += in_threads(confirm, _candidates(hashes, queries))
    table = pd.concat(found).sort_values(["a", "b", "correlation"], ascending=[True, True, False])
    return table.drop_duplicates(["a", "b"], ignore_index=True)


def _contrasts(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local contrast, float16 (N, T, T), and the same from afar, float32 (N, T / 4, T / 4)."""
    count, side = thumbnails.shape[:2]
    contrast = np.empty(thumbnails.shape, np.float16)
    coarse = np.empty((count, side // _COARSE_PX, side // _COARSE_PX), np.float32)
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        sharp = _local_contrast(thumbnails[block].astype(np.float32))
        contrast[block] = sharp
        soft = ndimage.gaussian_filter(sharp, (0, _BLUR_PX, _BLUR_PX))
        coarse[block] = _unit(_pooled(soft, _COARSE_PX))
    return contrast, coarse


def _local_contrast(images: np.ndarray) -> np.ndarray:
    """Local contrast normalisation of float32 (N, T, T), then mean 0 and length 1 a picture.

    Source: Jarrett et al. 2009, What is the best multi-stage architecture for object
    recognition?, with a box window.
    """
    window = (0, _WINDOW_PX, _WINDOW_PX)
    mean = ndimage.uniform_filter(images, window)
    variance = ndimage.uniform_filter(images * images, window) - mean * mean
    return _unit((images - mean) / (np.sqrt(np.maximum(variance, 0)) + _FLOOR))


def _unit(images: np.ndarray) -> np.ndarray:
    images = images - images.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((images**2).sum(axis=(1, 2), keepdims=True))
    return images / np.maximum(length, 1e-6)


def _pooled(images: np.ndarray, cell_px: int) -> np.ndarray:
    count, side = images.shape[0], images.shape[1] // cell_px
    return images.reshape(count, side, cell_px, side, cell_px).mean(axis=(2, 4))


def _candidates(hashes: np.ndarray, queries: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of pairs int (P, 2), a < b, whose hashes differ in few bits; at least one block.

    Up to _ONE_CELL pictures every query meets every hash; beyond that each hash lives in the
    cell of its nearest centre, and a query visits the few cells that are nearest to it.
    """
    words, query_words = hash_words(hashes), hash_words(queries)
    for members, visitors in _cells(words, query_words):
        for start in range(0, len(visitors) or 1, _BLOCK):
            block = visitors[start : start + _BLOCK]
            distance = hamming(query_words[block], words[members])
            i, j = np.nonzero(distance <= _CANDIDATE_BITS)
            pairs = np.sort(np.stack([block[i], members[j]], axis=1), axis=1)
            yield np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)


def _cells(words: np.ndarray, queries: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(members, visitors) of each cell: who lives in it, and who has to look there."""
    everybody = np.arange(len(words))
    if len(words) <= _ONE_CELL:
        yield everybody, everybody
        return
    from sklearn.cluster import MiniBatchKMeans  # a second to import, and seldom needed

    bits, query_bits = (
        np.unpackbits(each.view(np.uint8), axis=1).astype(np.float32) for each in (words, queries)
    )
    count = round(len(bits) / _CELL)
    index = MiniBatchKMeans(count, n_init=1, batch_size=4096, max_iter=20, random_state=0).fit(bits)
    home = index.predict(bits)
    blocks = (query_bits[start : start + _BLOCK] for start in range(0, len(bits), _BLOCK))
    visits = np.concatenate(
        [np.argpartition(index.transform(b), _PROBES, axis=1)[:, :_PROBES].copy() for b in blocks]
    )
    for cell in range(count):
        members = np.flatnonzero(home == cell)
        if len(members):
            yield members, np.flatnonzero((visits == cell).any(axis=1))


def _confirmed(
    thumbnails: np.ndarray, contrast: np.ndarray, coarse: np.ndarray, step: int, pairs: np.ndarray
) -> pd.DataFrame:
    """Those of the pairs that are one picture."""
    pairs = pairs[_correlations(coarse, pairs, step) >= _SAME_COARSE]
    correlation = _correlations(contrast, pairs, step)
    doubtful = np.flatnonzero((correlation >= _ALIGN_FROM) & (correlation < SAME))
    for start in range(0, len(doubtful), _ALIGNED):
        rows = doubtful[start : start + _ALIGNED]
        a, b = pairs[rows].T
        moved = _aligned(thumbnails[a], thumbnails[b][..., ::step])
        correlation[rows] = np.where(moved >= SAME_MOVED, moved, correlation[rows])
    same = correlation >= SAME
    a, b = pairs[same].T
    is_mirrored = np.full(len(a), step < 0)
    correlation = correlation[same].clip(max=1.0)
    return pd.DataFrame({"a": a, "b": b, "mirrored": is_mirrored, "correlation": correlation})


def _correlations(images: np.ndarray, pairs: np.ndarray, step: int) -> np.ndarray:
    """Of each pair, the second one mirrored where step is -1: float64 (P,)."""
    correlation = np.empty(len(pairs))
    for start in range(0, len(pairs), _BLOCK):
        a, b = pairs[start : start + _BLOCK].T
        one, other = images[a].astype(np.float32), images[b][..., ::step].astype(np.float32)
        correlation[start : start + _BLOCK] = np.einsum("nij,nij->n", one, other)
    return correlation


def _aligned(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation of local contrast after moving and scaling `one` onto `other`: (P,).

    Where the moved picture has no pixels, both are left out.
    """
    one, other = one.astype(np.float32), other.astype(np.float32)
    # half the side, blurred: a move of a pixel must stay within the slope of an edge
    soft = [ndimage.gaussian_filter(_pooled(each, 2), (0, 0.7, 0.7)) for each in (one, other)]
    move = _align(*soft)
    move[:, 1::2] *= 2  # shifts were in pixels of the halved pictures
    (moved,), inside = _sample([one], move)
    a, b = (_local_contrast(np.where(inside, each, 0)) * inside for each in (moved, other))
    return np.einsum("nij,nij->n", _unit(a), _unit(b))


def _align(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Scale y, shift y, scale x, shift x that bring one onto other: float32 (P, 4).

    Least squares over these, gain and offset, by Gauss-Newton from the identity; good for moves
    of about a pixel and a half of the full pictures.
    Source: Lucas and Kanade 1981, An iterative image registration technique.
    """
    count, side = one.shape[:2]
    target = other.reshape(count, -1)
    slope_y, slope_x = np.gradient(one, axis=(1, 2))
    line = np.arange(side, dtype=np.float32) - (side - 1) / 2  # px from the centre
    y, x = np.repeat(line, side), np.tile(line, side)
    limit = _LARGEST * side * np.array([2 / side, 1, 2 / side, 1], np.float32)
    move = np.zeros((count, 4), np.float32)
    for _ in range(_STEPS):
        sampled, inside = _sample([one, slope_y, slope_x], move)
        image, dy, dx = (part.reshape(count, -1) for part in sampled)
        # d(image)/d(move), then what gain and offset can explain
        jacobian = np.stack([dy * y, dy, dx * x, dx, image, np.ones_like(image)], axis=-1)
        jacobian *= inside.reshape(count, -1, 1)
        transposed = jacobian.transpose(0, 2, 1)
        normal = transposed @ jacobian
        right = transposed @ (target - image)[..., None]
        damping = 1e-6 * np.trace(normal, axis1=1, axis2=2)[:, None, None]
        step = np.linalg.solve(normal + damping * np.eye(6, dtype=np.float32), right)
        move = np.clip(move + step[:, :4, 0], -limit, limit)
    return move


def _sample(images: list[np.ndarray], move: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Bilinear samples of each (P, T, T) at the moved positions, and whether they lie inside.

    Both axes are moved on their own, so sampling is a product with a matrix on either side, in
    which each row holds the two shares of a position's neighbours; half the time of gathering.
    """
    side = images[0].shape[1]
    line = np.arange(side, dtype=np.float32)
    centred = line - (side - 1) / 2
    y, x = (line + move[:, i : i + 1] * centred + move[:, i + 1 : i + 2] for i in (0, 2))
    left, right = (np.maximum(1 - np.abs(p[:, :, None] - line), 0) for p in (y, x))
    sampled = [left @ image @ right.transpose(0, 2, 1) for image in images]
    inside_y, inside_x = ((p >= 0) & (p <= side - 1) for p in (y, x))
    return sampled, inside_y[:, :, None] & inside_x[:, None, :]
