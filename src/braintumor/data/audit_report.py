"""What an audit found, said: audit.json, duplicates.csv and five lines for the console."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor.data.audit import KINDS, Audit
from braintumor.data.manifest import Patients, component_numbers, count_patients, size_table
from braintumor.data.split import seen_in_training
from braintumor.files import write_atomic, write_json

_NAMED = 5  # images that audit.json names of each finding; the count covers all


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
    a, b = (audit.pairs[name].to_numpy() for name in "ab")
    groups = component_numbers(a, b, len(manifest))  # copies share one
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
        "oddities": _flagged(manifest["path"], audit),
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


def _flagged(paths: pd.Series, audit: Audit) -> dict[str, Any]:
    """Of each quality flag: how many images have it, and the first of them."""
    found: dict[str, list[str]] = {}
    for path, flags in zip(paths, audit.quality_flags, strict=True):
        for flag in flags:
            found.setdefault(flag, []).append(path)
    return {
        flag: {"images": len(named), "first": named[:_NAMED]}
        for flag, named in sorted(found.items())
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
