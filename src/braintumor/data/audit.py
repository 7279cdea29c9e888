"""What a data set hides: copies, labels that contradict each other, odd pictures.

Copies become groups: whoever divides the images by `group` keeps copies, and the images of one
patient, on one side.
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from braintumor.data.duplicates import find_near_copies
from braintumor.data.fingerprints import Fingerprints, phashes
from braintumor.data.kept import read_table, write_table
from braintumor.errors import MachineError
from braintumor.files import cache_dir

# N images, P pairs

KINDS = ("same file", "same pixels", "same picture", "mirror image")

_VERSION = 1  # of what the cache holds; raise it when copies are found in another way
_WORTH_KEEPING_S = 2.0  # a shorter search is repeated rather than stored
_ALL_PAIRS = 100  # identical images of which every pair is listed; of more, those with the first

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found among N images.

    pairs: P rows: a < b (row numbers), kind (one of KINDS), correlation (of local contrast,
        1 for the same pixels).
    group: str (N,), the same for copies and for the images of one patient; NaN for a lone image.
    phashes: perceptual hashes of 256 bits as hex, str (N,).
    oddities: N tuples of words such as "blank".
    seconds: that it took.  is_cached: whether copies were known from an earlier run.
    """

    pairs: pd.DataFrame
    group: pd.Series
    phashes: np.ndarray
    oddities: tuple[tuple[str, ...], ...]
    seconds: float
    is_cached: bool


def audit_images(manifest: pd.DataFrame, prints: Fingerprints) -> Audit:
    """Find the copies among all images, from the cache where the same images were there before.

    manifest: N rows with path, patient and sha256; prints: of the same rows.
    Blank pictures are no copies of each other.
    """
    started = time.perf_counter()
    cached = _cache_file(manifest["sha256"])
    known = _load(cached)
    if known is None:
        hashes, near = _search(prints)
        if time.perf_counter() - started > _WORTH_KEEPING_S:
            _save(cached, hashes, near)
    else:
        hashes, near = known
    pairs = _all_pairs(manifest["sha256"].to_numpy(), prints, near)
    return Audit(
        pairs=pairs,
        group=_groups(manifest, pairs),
        phashes=hashes,
        oddities=prints.oddities,
        seconds=time.perf_counter() - started,
        is_cached=known is not None,
    )


def label_conflicts(manifest: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Those of the pairs whose two images bear different labels."""
    labels = manifest["label"].to_numpy()
    return pairs[labels[pairs["a"]] != labels[pairs["b"]]]


def describe_pairs(manifest: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """duplicates.csv: the pairs with paths, labels and splits; the best correlation last.

    Pairs that lead from training or validation to test come first, conflicts of label before
    others, and the least alike first: those a person should look at.
    """
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    path, label, split = (manifest[name].to_numpy() for name in ("path", "label", "split"))
    table = pd.DataFrame(
        {
            "path_a": path[a],
            "path_b": path[b],
            "kind": pairs["kind"].to_numpy(),
            "correlation": pairs["correlation"].to_numpy().round(4),
            "same_label": label[a] == label[b],
            "label_a": label[a],
            "label_b": label[b],
            "split_a": split[a],
            "split_b": split[b],
            "crosses_test": (split[a] == "test") != (split[b] == "test"),
        }
    )
    return table.sort_values(
        ["crosses_test", "same_label", "correlation", "path_a", "path_b"],
        ascending=[False, True, True, True, True],
    ).reset_index(drop=True)


def _search(prints: Fingerprints) -> tuple[np.ndarray, pd.DataFrame]:
    """Hashes of all images, and near copies among the first of each set of equal pixels."""
    hashes = phashes(prints.thumbnails)
    mirrored = phashes(prints.thumbnails[:, :, ::-1])
    is_blank = np.array(["blank" in words for words in prints.oddities], dtype=bool)
    _, first = np.unique(prints.pixel_sha256, return_index=True)
    rows = np.sort(first[~is_blank[first]])
    near = find_near_copies(prints.thumbnails[rows], hashes[rows], mirrored[rows])
    return hashes, near.assign(a=rows[near["a"]], b=rows[near["b"]])


def _all_pairs(sha256: np.ndarray, prints: Fingerprints, near: pd.DataFrame) -> pd.DataFrame:
    """Near pairs extended to all images of the same pixels, and those images among themselves."""
    alike = _alike(prints.pixel_sha256)
    blocks = [
        _among(rows)
        for first, rows in alike.items()
        if len(rows) > 1 and "blank" not in prints.oddities[first]
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


def _alike(pixel_sha256: np.ndarray) -> dict[int, np.ndarray]:
    """Rows of images with the same pixels, by the first of them: all N rows, ascending."""
    _, first, which = np.unique(pixel_sha256, return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")
    sets = np.split(order, np.cumsum(np.bincount(which))[:-1])
    return {
        row: sets[number] for number, row in sorted(enumerate(first.tolist()), key=itemgetter(1))
    }


def _among(rows: np.ndarray) -> np.ndarray:
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
    size = count + len(names)
    graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][:count]
    table = manifest[["patient", "path"]].assign(component=component)
    by_component = table.groupby("component", sort=False)
    name = by_component["patient"].transform("first")  # the first that is not missing
    name = name.where(name.notna(), by_component["path"].transform("first"))
    is_alone = (by_component["path"].transform("size") == 1) & (code < 0)
    return name.mask(is_alone).astype("str").rename("group")


def _cache_file(sha256: pd.Series) -> Path:
    """Where the copies of exactly these files, in this order, are kept."""
    key = hashlib.sha256(f"{_VERSION}".encode())
    for digest in sha256:
        key.update(digest.encode())
    return cache_dir() / "copies" / f"{key.hexdigest()[:32]}.npz"


def _save(path: Path, hashes: np.ndarray, near: pd.DataFrame) -> None:
    columns = {str(name): near[name].to_numpy() for name in near.columns}
    try:
        write_table(path, columns | {"hashes": hashes})
    except (OSError, MachineError) as error:
        log.warning("the copies found are not kept for the next run: %s", error)


def _load(path: Path) -> tuple[np.ndarray, pd.DataFrame] | None:
    """What an earlier run found; None when there is nothing, or it cannot be read."""
    stored = read_table(path, ("a", "b", "mirrored", "correlation", "hashes"))
    if stored is None:
        return None
    return stored.pop("hashes"), pd.DataFrame(stored)
