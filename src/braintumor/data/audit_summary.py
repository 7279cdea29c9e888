"""The audit of a data set summed up: audit.json."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from braintumor.data.audit import KINDS, Audit
from braintumor.data.manifest import KNOWN, component_numbers, count_patients, size_table
from braintumor.data.names import is_augmented, modality_of
from braintumor.data.patients import patient_key, patient_pattern
from braintumor.data.split import seen_in_training

_SQUARE = 1.1  # longest side over shortest up to which a square distorts nothing that one sees
_NAMED = 5  # images that audit.json names of each finding; the count covers all


def summarise(manifest: pd.DataFrame, audit: Audit) -> dict[str, Any]:
    """The content of audit.json.

    manifest: N rows with label, split and group, in the order of the audit.
    pictures: distinct ones, copies counted once.  patients: how many, and of how many images they
    are known.  patient_pattern: what seems to find others in paths, or null.  test: images with a
    copy or their patient in train or val, of them byte-identical ones; null without a test split.
    modalities: of how many images a word of the path says that they are CT, PET or MR.
    augmented: of how many the name of the file says that they were made of another.
    """
    a, b = (audit.pairs[name].to_numpy() for name in "ab")
    groups = component_numbers(a, b, len(manifest))  # copies share one
    sizes = np.bincount(groups)
    path, label = (manifest[name].to_numpy() for name in ("path", "label"))
    some_unknown = manifest["patient"].isna().any()
    conflicts = np.stack([a, b], axis=1)[label[a] != label[b]]
    flagged: dict[str, list[str]] = {}
    for name, flags in zip(path, audit.quality_flags, strict=True):
        for flag in flags:
            flagged.setdefault(flag, []).append(name)
    return {
        "images": len(manifest),
        "pictures": len(sizes),
        "largest_copy_group": int(sizes.max()),
        "patients": dataclasses.asdict(count_patients(manifest)),
        "patients_of_several_classes": _of_several_classes(manifest),
        "pairs": {kind: int((audit.pairs["kind"] == kind).sum()) for kind in KINDS},
        "test": _in_test(manifest) if (manifest["split"] == "test").any() else None,
        "label_conflicts": {
            "pairs": len(conflicts),
            "first": [{path[row]: label[row] for row in pair} for pair in conflicts[:_NAMED]],
        },
        "oddities": {
            flag: {"images": len(named), "first": named[:_NAMED]}
            for flag, named in sorted(flagged.items())
        },
        "not_square": _not_square(manifest),
        "patient_pattern": patient_pattern(list(path), set(label)) if some_unknown else None,
        "modalities": dict(Counter(filter(None, map(modality_of, path)))),
        "augmented": sum(map(is_augmented, path)),
        "classes": {str(k): _about_class(rows, groups) for k, rows in manifest.groupby("label")},
        "seconds": round(audit.seconds, 2),
        "from_cache": audit.is_cached,
    }


def _of_several_classes(manifest: pd.DataFrame) -> int:
    """How many patients have images of more than one class."""
    named = manifest.dropna(subset="patient")
    pairs = set(zip(named["patient"].map(patient_key), named["label"], strict=True))
    return sum(count > 1 for count in Counter(patient for patient, _ in pairs).values())


def _not_square(manifest: pd.DataFrame) -> dict[str, Any]:
    """Images that a square distorts visibly, and the longest side of one over its shortest."""
    ratio = manifest[["width", "height"]].max(axis=1) / manifest[["width", "height"]].min(axis=1)
    return {"images": int((ratio > _SQUARE).sum()), "largest_ratio": round(float(ratio.max()), 2)}


def _in_test(manifest: pd.DataFrame) -> dict[str, Any]:
    test = manifest[manifest["split"] == "test"]
    seen = seen_in_training(manifest, "test")
    trained = manifest.loc[manifest["split"].isin(KNOWN), "sha256"]
    left = test.loc[~seen, "label"].value_counts()
    return {
        "images": len(test),
        "seen": int(seen.sum()),
        "share": round(float(seen.mean()), 6),
        # blank pictures are nobody's copy
        "byte_identical": int((test["sha256"].isin(trained) & seen).sum()),
        "clean_by_class": {str(k): int(left.get(k, 0)) for k in sorted(test["label"].unique())},
    }


def _about_class(rows: pd.DataFrame, groups: np.ndarray) -> dict[str, Any]:
    """Images, different pictures, and the most frequent sizes and modes."""
    table = size_table(rows)
    return {
        "images": len(rows),
        "pictures": len(np.unique(groups[rows.index])),
        "sizes": len(table),
        "commonest": [f"{r.width}x{r.height} {r.mode}: {r.images}" for r in table[:3].itertuples()],
    }
