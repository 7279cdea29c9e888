"""Which pictures of a data set are the same picture: re-encoded, resized, mirrored, cropped.

A perceptual hash names candidates, and the correlation of local contrast decides. On 7,019 real
slices that correlation has two humps with next to nothing between .80 and .87: neighbouring
slices of one head end below, copies begin above.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import ndimage

from braintumor.data._align import align

# N pictures, T side of a thumbnail in px, P candidate pairs, W 64-bit words of a hash

SAME = 0.87  # correlation of local contrast from which two pictures are one
SAME_MOVED = 0.92  # the same after aligning, which brings neighbouring slices nearer too

_CANDIDATE_BITS = 60  # of 256; finds a copy cropped by 2 % on each side, and every re-encoding
_WINDOW_PX = 5  # of local contrast: about a gyrus at 64 px
_FLOOR = 4.0  # grey levels; keeps the noise of air from counting as contrast
_ALIGN_FROM = 0.25  # a copy cropped by 2 % on each side keeps this much before it is aligned
_ONE_CELL = 12_000  # pictures that are searched as one; beyond, by neighbourhoods of hashes
_CELL = 1500  # pictures of a neighbourhood
_PROBES = 4  # neighbourhoods in which a picture looks for its like
_BLOCK = 1024


def find_near_copies(
    thumbnails: np.ndarray, hashes: np.ndarray, mirrored: np.ndarray
) -> pd.DataFrame:
    """Pairs of the same picture: columns a < b (row numbers), mirrored (bool), correlation.

    thumbnails: uint8 (N, T, T), grey.  hashes, mirrored: perceptual hashes of the thumbnails
    and of their mirror images, str (N,), 64 hex characters each.
    A pair that agrees in both mirror states counts once, in the better one.
    Memory is bounded: about N x 15 kB and a few blocks of 1,024 pictures, not N x N; but every
    pair is listed, so n re-encodings of one picture make n * (n - 1) / 2 rows.
    """
    if len(thumbnails) < 2:
        return _no_pairs()
    contrast = _local_contrast(thumbnails)
    found = [
        _confirmed(thumbnails, contrast, pairs, is_mirrored)
        for is_mirrored, queries in ((False, hashes), (True, mirrored))
        for pairs in _candidates(hashes, queries)
    ]
    table = pd.concat([_no_pairs(), *found], ignore_index=True)
    table = table.sort_values(["a", "b", "correlation"], ascending=[True, True, False])
    return table.drop_duplicates(["a", "b"]).reset_index(drop=True)


def _no_pairs() -> pd.DataFrame:
    kinds = {"a": "int64", "b": "int64", "mirrored": "bool", "correlation": "float64"}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})


def _candidates(hashes: np.ndarray, queries: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of pairs int (P, 2), a < b, whose hashes differ in few bits.

    Up to _ONE_CELL pictures every query meets every hash; beyond that each hash lives in the
    cell of its nearest centre, and a query visits the few cells that are nearest to it.
    """
    words, query_words = _words(hashes), _words(queries)
    for members, visitors in _cells(_bits(hashes), _bits(queries)):
        for start in range(0, len(visitors), _BLOCK):
            block = visitors[start : start + _BLOCK]
            distance = np.zeros((len(block), len(members)), np.uint16)
            for w in range(words.shape[1]):
                differing = query_words[block, None, w] ^ words[None, members, w]
                distance += np.bitwise_count(differing)
            i, j = np.nonzero(distance <= _CANDIDATE_BITS)
            pairs = np.sort(np.stack([block[i], members[j]], axis=1), axis=1)
            pairs = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)
            if len(pairs):
                yield pairs


def _cells(bits: np.ndarray, query_bits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(members, visitors) of each cell: who lives in it, and who has to look there."""
    everybody = np.arange(len(bits))
    if len(bits) <= _ONE_CELL:
        yield everybody, everybody
        return
    from sklearn.cluster import MiniBatchKMeans  # a second to import, and seldom needed

    count = round(len(bits) / _CELL)
    index = MiniBatchKMeans(count, n_init=1, batch_size=4096, max_iter=20, random_state=0).fit(bits)
    home = index.predict(bits)
    visits = np.concatenate(
        [
            _nearest_cells(index.transform(query_bits[start : start + _BLOCK]))
            for start in range(0, len(bits), _BLOCK)
        ]
    )
    for cell in range(count):
        members = np.flatnonzero(home == cell)
        if len(members):
            yield members, np.flatnonzero((visits == cell).any(axis=1))


def _nearest_cells(distance: np.ndarray) -> np.ndarray:
    """Distances (P, cells) -> numbers of the few nearest: int (P, _PROBES)."""
    return np.argpartition(distance, _PROBES, axis=1)[:, :_PROBES].copy()


def _words(hashes: np.ndarray) -> np.ndarray:
    """64 hex characters each -> uint64 (N, W)."""
    raw = bytes.fromhex("".join(hashes.tolist()))
    return np.frombuffer(raw, np.uint64).reshape(len(hashes), -1)


def _bits(hashes: np.ndarray) -> np.ndarray:
    """64 hex characters each -> float32 (N, 256) of 0 and 1."""
    raw = np.frombuffer(bytes.fromhex("".join(hashes.tolist())), np.uint8)
    return np.unpackbits(raw.reshape(len(hashes), -1), axis=1).astype(np.float32)


def _local_contrast(thumbnails: np.ndarray) -> np.ndarray:
    """Each pixel against its surroundings, standardised over the picture: float16 (N, T, T)."""
    contrast = np.empty(thumbnails.shape, np.float16)
    for start in range(0, len(thumbnails), _BLOCK):
        block = thumbnails[start : start + _BLOCK].astype(np.float32)
        contrast[start : start + _BLOCK] = contrast_of(block)
    return contrast


def contrast_of(images: np.ndarray) -> np.ndarray:
    """Local contrast normalisation of float32 (N, T, T), then mean 0 and length 1 a picture.

    Source: Jarrett et al. 2009, What is the best multi-stage architecture for object
    recognition?, with a box window.
    """
    window = (0, _WINDOW_PX, _WINDOW_PX)
    mean = ndimage.uniform_filter(images, window)
    variance = ndimage.uniform_filter(images * images, window) - mean * mean
    contrast = (images - mean) / (np.sqrt(np.maximum(variance, 0)) + _FLOOR)
    return _unit(contrast)


def _unit(images: np.ndarray) -> np.ndarray:
    images = images - images.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((images**2).sum(axis=(1, 2), keepdims=True))
    return images / np.maximum(length, 1e-6)


def _confirmed(
    thumbnails: np.ndarray, contrast: np.ndarray, pairs: np.ndarray, is_mirrored: bool
) -> pd.DataFrame:
    """Those of the candidate pairs that are the same picture."""
    step = -1 if is_mirrored else 1
    correlation = np.empty(len(pairs))
    for start in range(0, len(pairs), _BLOCK):
        a, b = pairs[start : start + _BLOCK].T
        one, other = contrast[a].astype(np.float32), contrast[b][..., ::step].astype(np.float32)
        correlation[start : start + _BLOCK] = np.einsum("nij,nij->n", one, other)
    doubtful = np.flatnonzero((correlation >= _ALIGN_FROM) & (correlation < SAME))
    for start in range(0, len(doubtful), _BLOCK):
        rows = doubtful[start : start + _BLOCK]
        a, b = pairs[rows].T
        moved = _aligned(thumbnails[a], thumbnails[b][..., ::step])
        correlation[rows] = np.where(moved >= SAME_MOVED, moved, correlation[rows])
    same = correlation >= SAME
    return pd.DataFrame(
        {
            "a": pairs[same, 0],
            "b": pairs[same, 1],
            "mirrored": is_mirrored,
            "correlation": correlation[same].clip(max=1.0),
        }
    )


def _aligned(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation of local contrast after moving and scaling `one` onto `other`: (P,).

    Where the moved picture has no pixels, both are left out.
    """
    moved, inside = align(one.astype(np.float32), other.astype(np.float32))
    a = contrast_of(np.where(inside, moved, 0)) * inside
    b = contrast_of(np.where(inside, other, 0).astype(np.float32)) * inside
    return np.einsum("nij,nij->n", _unit(a), _unit(b))
