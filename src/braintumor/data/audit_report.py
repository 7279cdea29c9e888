"""What an audit says to a reader: audit.json, duplicates.csv, and five lines."""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.data.audit import KINDS, Audit, describe_pairs, label_conflicts
from braintumor.data.manifest import size_table
from braintumor.data.patients import Patients, count_patients
from braintumor.data.split import seen_in_training
from braintumor.files import write_atomic, write_json

# N images

_NAMED = 5  # images that audit.json names of each finding; the count covers all


def write_audit(folder: Path, manifest: pd.DataFrame, audit: Audit) -> dict[str, Any]:
    """Write audit.json and duplicates.csv; gives the content of audit.json."""
    content = summarise(manifest, audit)
    table = describe_pairs(manifest, audit.pairs).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    write_atomic(folder / "duplicates.csv", table.encode("utf-8", "surrogateescape"))
    write_json(folder / "audit.json", content)
    return content


def summarise(manifest: pd.DataFrame, audit: Audit) -> dict[str, Any]:
    """The content of audit.json.

    manifest: N rows with label, split and group, in the order of the audit.
    pictures: distinct ones, copies counted once.  patients: how many, and of how many images they
    are known.  test: images with a copy or their patient in train or val, of them byte-identical
    ones; null without a test split.
    """
    groups = _copy_groups(len(manifest), audit.pairs)
    sizes = np.bincount(groups)
    conflicts = label_conflicts(manifest, audit.pairs)
    return {
        "images": len(manifest),
        "pictures": len(sizes),
        "largest_copy_group": int(sizes.max()),
        "patients": dataclasses.asdict(count_patients(manifest)),
        "pairs": {kind: int((audit.pairs["kind"] == kind).sum()) for kind in KINDS},
        "test": _in_test(manifest) if (manifest["split"] == "test").any() else None,
        "label_conflicts": {
            "pairs": len(conflicts),
            "first": [
                {
                    manifest["path"][a]: manifest["label"][a],
                    manifest["path"][b]: manifest["label"][b],
                }
                for a, b in zip(conflicts["a"][:_NAMED], conflicts["b"][:_NAMED], strict=True)
            ],
        },
        "oddities": _oddities(manifest["path"], audit),
        "classes": _classes(manifest, groups),
        "seconds": round(audit.seconds, 2),
        "from_cache": audit.is_cached,
    }


def five_lines(content: dict[str, Any]) -> list[str]:
    """The summary for the console."""
    images, pictures = content["images"], content["pictures"]
    pairs, how = content["pairs"], "from the cache" if content["from_cache"] else "searched"
    listed = ", ".join(f"{count:,} {kind}" for kind, count in pairs.items() if count) or "none"
    lines = [
        f"audit ({how}, {content['seconds']:.1f} s): {images:,} images show {pictures:,} "
        f"different pictures, the most copied one {content['largest_copy_group']} times",
        f"  pairs of copies: {listed}",
    ]
    test, patients = content["test"], Patients(**content["patients"])
    if test and test["seen"]:
        share = f"{test['seen']:,} of {test['images']:,} test images ({test['share']:.1%})"
        also = " or their patient" if patients.known else ""
        lines.append(
            f"  LEAK: {share} have a copy{also} in train or val; what a model scores "
            "on them is memory: read the clean figures, or use split=official_clean or grouped"
        )
    elif test:
        also = " or its patient" if patients.known else ""
        lines.append(f"  no test image has a copy{also} in train or val")
    if not patients.are_known:
        lines.append(
            f"  {patients.words}: {patients.others}images of one patient may be in train, val and "
            "test alike"
        )
    if content["label_conflicts"]["pairs"]:
        first = "; ".join(
            " but ".join(f"{path} is {label}" for path, label in pair.items())
            for pair in content["label_conflicts"]["first"][:1]
        )
        count = content["label_conflicts"]["pairs"]
        lines.append(f"  contradicting labels: {count:,} pairs of copies (first: {first})")
    if content["oddities"]:
        odd = ", ".join(f"{item['images']:,} {word}" for word, item in content["oddities"].items())
        lines.append(f"  odd pictures: {odd}")
    return lines


def _copy_groups(count: int, pairs: pd.DataFrame) -> np.ndarray:
    """Number of the picture that each image shows: int (N,), copies sharing one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), dtype=bool)
    graph = coo_array((ones, (pairs["a"], pairs["b"])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def _in_test(manifest: pd.DataFrame) -> dict[str, Any]:
    test = manifest[manifest["split"] == "test"]
    seen = seen_in_training(manifest, "test")
    trained = manifest.loc[manifest["split"].isin(("train", "val")), "sha256"]
    left = test.loc[~seen, "label"].value_counts()
    return {
        "images": len(test),
        "seen": int(seen.sum()),
        "share": round(float(seen.mean()), 4),
        # blank pictures are nobody's copy
        "byte_identical": int((test["sha256"].isin(trained) & seen).sum()),
        "clean_by_class": {str(k): int(left.get(k, 0)) for k in sorted(test["label"].unique())},
    }


def _oddities(paths: pd.Series, audit: Audit) -> dict[str, Any]:
    counts = Counter(word for words in audit.oddities for word in words)
    return {
        word: {
            "images": count,
            "first": [p for p, words in zip(paths, audit.oddities, strict=True) if word in words][
                :_NAMED
            ],
        }
        for word, count in sorted(counts.items())
    }


def _classes(manifest: pd.DataFrame, groups: np.ndarray) -> dict[str, Any]:
    """Of each class: images, different pictures, and the most frequent sizes and modes."""
    found = {}
    for label, rows in manifest.groupby("label"):
        table = size_table(rows)
        found[str(label)] = {
            "images": len(rows),
            "pictures": len(np.unique(groups[rows.index])),
            "sizes": len(table),
            "commonest": [
                f"{row.width}x{row.height} {row.mode}: {row.images}"
                for row in table.head(3).itertuples()
            ],
        }
    return found
