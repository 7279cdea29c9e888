"""What a data set hides: copies, labels that contradict each other, odd pictures.

Copies become groups: whoever divides the images by `group` keeps copies, and the images of one
patient, on one side. What was found is in duplicates.csv, and summed up by audit_summary.py.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor import cache
from braintumor.data.manifest import component_numbers
from braintumor.data.patients import patient_key
from braintumor.data.reading import Fingerprints
from braintumor.files import write_atomic, write_json
from braintumor.progress import waiting

# N images, P pairs

KINDS = ("same file", "same pixels", "same picture", "mirror image")

_VERSION = 2  # of what the cache holds; raise it when copies are found in another way
_NEAR = ("a", "b", "mirrored", "correlation")  # columns of near copies
_WORTH_KEEPING_S = 2.0  # a shorter search is repeated rather than stored
_ALL_PAIRS = 100  # identical images of which every pair is listed; of more, those with the first
_DESCRIBED = (
    *("path_a", "path_b", "kind", "correlation", "same_label", "label_a", "label_b"),
    *("split_a", "split_b", "crosses_test"),
)


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


@waiting("searching for copies")
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
    # scipy's filters, for which a start with known copies would wait
    from braintumor.data.duplicates import find_near_copies, phashes

    hashes = phashes(fingerprints.thumbnails)
    is_blank = np.array(["blank" in words for words in fingerprints.quality_flags], dtype=bool)
    _, first = np.unique(fingerprints.pixel_sha256, return_index=True)
    rows = np.sort(first[~is_blank[first]])
    near = find_near_copies(fingerprints.thumbnails[rows], hashes[rows])
    return hashes, near.assign(a=rows[near["a"]], b=rows[near["b"]])


def _all_pairs(sha256: np.ndarray, fingerprints: Fingerprints, near: pd.DataFrame) -> pd.DataFrame:
    """Near pairs extended to all images of the same pixels, and those images among themselves."""
    same = pd.Series(sha256).groupby(fingerprints.pixel_sha256).indices.values()
    alike = {rows[0]: rows for rows in same}  # by the first of them, ascending
    pairs = [
        (a, b, KINDS[0] if sha256[a] == sha256[b] else KINDS[1], 1.0)
        for rows in alike.values()
        if "blank" not in fingerprints.quality_flags[rows[0]]
        for i, a in enumerate(rows if len(rows) <= _ALL_PAIRS else rows[:1])
        for b in rows[i + 1 :]
    ]
    pairs += [
        (min(a, b), max(a, b), KINDS[3] if mirrored else KINDS[2], correlation)
        for one, other, mirrored, correlation in near.itertuples(index=False, name=None)
        for a in alike[one][:_ALL_PAIRS]
        for b in alike[other][:_ALL_PAIRS]
    ]
    kinds = {"a": "int64", "b": "int64", "kind": "str", "correlation": "float64"}
    table = pd.DataFrame(pairs, columns=list(kinds)).astype(kinds)
    return table.sort_values(["a", "b"], ignore_index=True)


def _groups(manifest: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Connected by copies or by patient: named by its first patient, else by its first path."""
    count = len(manifest)
    code, names = pd.factorize(
        manifest["patient"].map(patient_key, na_action="ignore")
    )  # -1 where no patient is known
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


def describe_pairs(manifest: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """duplicates.csv: the pairs with paths, labels and splits; the best correlation last.

    Pairs that lead from training or validation to test come first, conflicts of label before
    others, and the least alike first: those a person should look at.
    """
    a, b = (manifest.iloc[pairs[name]].reset_index(drop=True) for name in "ab")
    table = (
        a.add_suffix("_a")
        .join(b.add_suffix("_b"))
        .assign(
            kind=pairs["kind"].to_numpy(),
            correlation=pairs["correlation"].to_numpy().round(4),
            same_label=a["label"] == b["label"],
            crosses_test=(a["split"] == "test") != (b["split"] == "test"),
        )
    )
    by = ["crosses_test", "same_label", "correlation", "path_a", "path_b"]
    table = table.sort_values(by, ascending=[False, True, True, True, True], ignore_index=True)
    return table[list(_DESCRIBED)]


def write_audit(
    folder: Path, manifest: pd.DataFrame, audit: Audit, content: Mapping[str, Any]
) -> None:
    """Write duplicates.csv and audit.json. content: of audit.json, as `summarise` gives it."""
    table = describe_pairs(manifest, audit.pairs).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    write_atomic(folder / "duplicates.csv", table.encode("utf-8", "surrogateescape"))
    write_json(folder / "audit.json", content)
