"""What a data set hides: copies, labels that contradict each other, odd pictures.

Copies become groups: whoever divides the images by `group` keeps copies, and the images of one
patient, on one side.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braintumor import cache
from braintumor.data.duplicates import find_near_copies
from braintumor.data.fingerprints import Fingerprints, phashes
from braintumor.data.manifest import component_numbers

# N images, P pairs

KINDS = ("same file", "same pixels", "same picture", "mirror image")

_VERSION = 1  # of what the cache holds; raise it when copies are found in another way
_NEAR = ("a", "b", "mirrored", "correlation")  # columns of near copies
_WORTH_KEEPING_S = 2.0  # a shorter search is repeated rather than stored
_ALL_PAIRS = 100  # identical images of which every pair is listed; of more, those with the first


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found among N images.

    pairs: P rows: a < b (row numbers), kind (one of KINDS), correlation (of local contrast,
        1 for the same pixels).
    group: str (N,), the same for copies and for the images of one patient; NaN for a lone image.
    phashes: perceptual hashes of 256 bits as hex, str (N,).
    quality_flags: N tuples of words such as "blank".
    seconds: that it took.  is_cached: whether copies were known from an earlier run.
    """

    pairs: pd.DataFrame
    group: pd.Series
    phashes: np.ndarray
    quality_flags: tuple[tuple[str, ...], ...]
    seconds: float
    is_cached: bool


def audit_images(manifest: pd.DataFrame, fingerprints: Fingerprints) -> Audit:
    """Find the copies among all images, from the cache where the same images were there before.

    manifest: N rows with path, patient and sha256; fingerprints: of the same rows.
    Blank pictures are no copies of each other.
    """
    started = time.perf_counter()
    path = cache.entry_path("copies", _VERSION, *manifest["sha256"])
    known = cache.read_entry(path, (*_NEAR, "hashes"))
    if known is None:
        hashes, near = _search(fingerprints)
        if time.perf_counter() - started > _WORTH_KEEPING_S:
            columns = {name: near[name].to_numpy() for name in _NEAR}
            cache.write_entry(path, columns | {"hashes": hashes})
    else:
        known.touch()
        hashes = known.columns.pop("hashes")
        near = pd.DataFrame(known.columns)
    pairs = _all_pairs(manifest["sha256"].to_numpy(), fingerprints, near)
    return Audit(
        pairs=pairs,
        group=_groups(manifest, pairs),
        phashes=hashes,
        quality_flags=fingerprints.quality_flags,
        seconds=time.perf_counter() - started,
        is_cached=known is not None,
    )


def _search(fingerprints: Fingerprints) -> tuple[np.ndarray, pd.DataFrame]:
    """Hashes of all images, and near copies among the first of each set of equal pixels."""
    hashes = phashes(fingerprints.thumbnails)
    mirrored = phashes(fingerprints.thumbnails[:, :, ::-1])
    is_blank = np.array(["blank" in words for words in fingerprints.quality_flags], dtype=bool)
    _, first = np.unique(fingerprints.pixel_sha256, return_index=True)
    rows = np.sort(first[~is_blank[first]])
    near = find_near_copies(fingerprints.thumbnails[rows], hashes[rows], mirrored[rows])
    return hashes, near.assign(a=rows[near["a"]], b=rows[near["b"]])


def _all_pairs(sha256: np.ndarray, fingerprints: Fingerprints, near: pd.DataFrame) -> pd.DataFrame:
    """Near pairs extended to all images of the same pixels, and those images among themselves."""
    alike = _same_pixels(fingerprints.pixel_sha256)
    blocks = [
        _pairs_among(rows)
        for first, rows in alike.items()
        if len(rows) > 1 and "blank" not in fingerprints.quality_flags[first]
    ]
    same = np.concatenate([np.empty((0, 2), np.int64), *blocks])
    exact = pd.DataFrame({"a": same[:, 0], "b": same[:, 1]})
    is_file = sha256[exact["a"]] == sha256[exact["b"]]
    exact["kind"] = np.where(is_file, KINDS[0], KINDS[1])
    exact["correlation"] = 1.0
    spread = [
        (min(a, b), max(a, b), KINDS[3] if mirrored else KINDS[2], correlation)
        for one, other, mirrored, correlation in near.itertuples(index=False, name=None)
        for a in alike[one][:_ALL_PAIRS].tolist()
        for b in alike[other][:_ALL_PAIRS].tolist()
    ]
    table = pd.concat(
        [exact, pd.DataFrame(spread, columns=["a", "b", "kind", "correlation"])], ignore_index=True
    )
    table = table.astype({"a": "int64", "b": "int64", "kind": "str", "correlation": "float64"})
    return table.sort_values(["a", "b"]).reset_index(drop=True)


def _same_pixels(pixel_sha256: np.ndarray) -> dict[int, np.ndarray]:
    """Rows of images with the same pixels, by the first of them: all N rows, ascending."""
    same = pd.Series(pixel_sha256).groupby(pixel_sha256).indices.values()
    return {int(rows[0]): rows for rows in map(np.asarray, same)}


def _pairs_among(rows: np.ndarray) -> np.ndarray:
    """Pairs of identical images: int (P, 2)."""
    if len(rows) > _ALL_PAIRS:
        return np.stack([np.full(len(rows) - 1, rows[0]), rows[1:]], axis=1)
    a, b = np.triu_indices(len(rows), 1)
    return np.stack([rows[a], rows[b]], axis=1)


def _groups(manifest: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Connected by copies or by patient: named by its first patient, else by its first path."""
    count = len(manifest)
    code, names = pd.factorize(manifest["patient"])  # -1 where no patient is known
    known = np.flatnonzero(code >= 0)
    # a patient is a point of the graph too, tied to all images of his
    a = np.concatenate([pairs["a"].to_numpy(), known])
    b = np.concatenate([pairs["b"].to_numpy(), count + code[known]])
    component = component_numbers(a, b, count + len(names))[:count]
    table = manifest[["patient", "path"]].assign(component=component)
    by_component = table.groupby("component", sort=False)
    name = by_component["patient"].transform("first")  # the first that is not missing
    name = name.where(name.notna(), by_component["path"].transform("first"))
    is_alone = (by_component["path"].transform("size") == 1) & (code < 0)
    return name.mask(is_alone).astype("str").rename("group")
