"""Which pictures of a data set are the same picture: re-encoded, resized, mirrored, cropped.

A perceptual hash names candidates, a coarse look drops most of them, and the correlation of local
contrast decides. On 7,019 real slices that correlation has two humps with next to nothing between
.80 and .87: neighbouring slices of one head end below, copies begin above.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy import fft, ndimage
from threadpoolctl import threadpool_limits

from braintumor.data.alignment import aligned_correlation, local_contrast, pooled, unit
from braintumor.data.neighbours import MOVED, near_pairs
from braintumor.runtime import in_threads

# N pictures, T side of a thumbnail in px, n = T * T pixels, P candidate pairs

_Candidates = tuple[np.ndarray, np.ndarray]  # pairs int (P, 2), a < b; which to align, bool (P,)
_Search = Callable[[], _Candidates]  # those of one block, for whichever thread takes it

SAME = 0.87  # correlation of local contrast from which two pictures are one
SAME_MOVED = 0.92  # the same after aligning, which brings neighbouring slices nearer too

# Correlation of local contrast at a quarter of the size, blurred. All 14,691 pairs of real copies
# keep more, those cut by 5 % on one side the least (.733), and so do 1,950 copies cut by 2 %; of
# phantoms of other patients with a near hash, 80 % keep less.
_SAME_COARSE = 0.72
_BLUR_PX, _COARSE_PX = 1.5, 4  # before pooling, and the side of a pooled cell

_HASH_SIDE = 16  # 256 bits; with 64 no radius parts copies from neighbouring slices
_CANDIDATE_BITS = 60  # of 256; finds a copy cropped by 2 % on each side, and every re-encoding
_ALIGN_FROM = 0.25  # a copy cropped by 2 % on each side keeps this much before it is aligned
# Pictures of which all pairs of hashes are compared. Beyond, pairs to align grow with the square,
# so descriptions choose them: 10,300 phantoms take 48 s of processor time without them, 10 s with
_EXHAUSTIVE = 12_000
_BLOCK = 1024
_QUERIES = 512  # hashes that are compared with all others at once
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
    mirrored = phashes(thumbnails[:, :, ::-1])
    found: list[pd.DataFrame] = []
    # step: along the rows of the second picture; backwards mirrors it
    with threadpool_limits(1, "blas"):  # a thread a core is enough
        for step, searches in _searches(thumbnails, hashes, mirrored):
            confirm = functools.partial(_confirmed, thumbnails, contrast, coarse, step)
            found += in_threads(confirm, searches)
    table = pd.concat(found).sort_values(["a", "b", "correlation"], ascending=[True, True, False])
    return table.drop_duplicates(["a", "b"], ignore_index=True)


def _contrasts(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local contrast, float16 (N, T, T), and the same from afar, float32 (N, T / 4, T / 4)."""
    count, side = thumbnails.shape[:2]
    contrast = np.empty(thumbnails.shape, np.float16)
    coarse = np.empty((count, side // _COARSE_PX, side // _COARSE_PX), np.float32)

    def fill(start: int) -> None:
        block = slice(start, start + _BLOCK)
        sharp = local_contrast(thumbnails[block].astype(np.float32))
        contrast[block] = sharp
        soft = ndimage.gaussian_filter(sharp, (0, _BLUR_PX, _BLUR_PX))
        coarse[block] = unit(pooled(soft, _COARSE_PX))

    list(in_threads(fill, range(0, count, _BLOCK)))
    return contrast, coarse


def _searches(
    thumbnails: np.ndarray, hashes: np.ndarray, mirrored: np.ndarray
) -> Iterator[tuple[int, Iterator[_Search]]]:
    """Steps and, for each, the searches of all blocks: at least one."""
    words, backwards = hash_words(hashes), hash_words(mirrored)
    if len(words) <= _EXHAUSTIVE:
        yield 1, _near_hashes(words, words)
        yield -1, _near_hashes(words, backwards)
        return
    for step, pairs, cosines in near_pairs(thumbnails):
        yield step, _near_both(words, words if step > 0 else backwards, pairs, cosines >= MOVED)


def _near_hashes(words: np.ndarray, queries: np.ndarray) -> Iterator[_Search]:
    """All pairs whose hashes differ in few bits."""

    def search(start: int) -> _Candidates:
        distance = hamming(queries[start : start + _QUERIES], words)
        i, j = np.nonzero(distance <= _CANDIDATE_BITS)
        pairs = np.sort(np.stack([start + i, j], axis=1), axis=1)
        pairs = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)
        return pairs, np.ones(len(pairs), bool)

    return (functools.partial(search, at) for at in range(0, len(words) or 1, _QUERIES))


def _near_both(
    words: np.ndarray, queries: np.ndarray, pairs: np.ndarray, is_close: np.ndarray
) -> Iterator[_Search]:
    """Those of the pairs whose hashes differ in few bits too; close ones are worth aligning."""

    def search(start: int) -> _Candidates:
        block = pairs[start : start + _BLOCK]
        a, b = block.T
        bits = (np.bitwise_count(words[x] ^ queries[y]).sum(axis=1) for x, y in ((a, b), (b, a)))
        is_near = np.minimum(*bits) <= _CANDIDATE_BITS
        return block[is_near], is_close[start : start + _BLOCK][is_near]

    return (functools.partial(search, at) for at in range(0, len(pairs) or 1, _BLOCK))


def _confirmed(
    thumbnails: np.ndarray,
    contrast: np.ndarray,
    coarse: np.ndarray,
    step: int,
    search: _Search,
) -> pd.DataFrame:
    """Those of the candidates that are one picture."""
    pairs, may_move = search()
    is_alike = _correlations(coarse, pairs, step) >= _SAME_COARSE
    pairs, may_move = pairs[is_alike], may_move[is_alike]
    correlation = _correlations(contrast, pairs, step)
    doubtful = np.flatnonzero(may_move & (correlation >= _ALIGN_FROM) & (correlation < SAME))
    for start in range(0, len(doubtful), _ALIGNED):
        rows = doubtful[start : start + _ALIGNED]
        a, b = pairs[rows].T
        moved = aligned_correlation(thumbnails[a], thumbnails[b][..., ::step])
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
