"""What a data set hides: copies, labels that contradict each other, odd pictures.

Copies become groups: whoever divides the images by `group` keeps copies, and the images of one
patient, on one side. What was found is said in audit.json, duplicates.csv and a few lines.
"""

from __future__ import annotations

import csv
import dataclasses
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braintumor import cache
from braintumor.data.images import Fit
from braintumor.data.manifest import Patients, component_numbers, count_patients, size_table
from braintumor.data.names import modality_of, patient_pattern
from braintumor.data.reading import Fingerprints
from braintumor.data.split import seen_in_training
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
_SQUARE = 1.1  # longest side over shortest up to which a square distorts nothing that one sees
_NAMED = 5  # images that audit.json names of each finding; the count covers all


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


def summarise(manifest: pd.DataFrame, audit: Audit) -> dict[str, Any]:
    """The content of audit.json.

    manifest: N rows with label, split and group, in the order of the audit.
    pictures: distinct ones, copies counted once.  patients: how many, and of how many images they
    are known.  patient_pattern: what seems to find others in paths, or null.  test: images with a
    copy or their patient in train or val, of them byte-identical ones; null without a test split.
    modalities: of how many images a word of the path says that they are CT, PET or MR.
    """
    a, b = (audit.pairs[name].to_numpy() for name in "ab")
    groups = component_numbers(a, b, len(manifest))  # copies share one
    sizes = np.bincount(groups)
    path, label = (manifest[name].to_numpy() for name in ("path", "label"))
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
        "patient_pattern": None
        if manifest["patient"].notna().all()
        else patient_pattern(list(path)),
        "modalities": dict(Counter(filter(None, map(modality_of, path)))),
        "classes": {str(k): _about_class(rows, groups) for k, rows in manifest.groupby("label")},
        "seconds": round(audit.seconds, 2),
        "from_cache": audit.is_cached,
    }


def _not_square(manifest: pd.DataFrame) -> dict[str, Any]:
    """Images that a square distorts visibly, and the longest side of one over its shortest."""
    ratio = manifest[["width", "height"]].max(axis=1) / manifest[["width", "height"]].min(axis=1)
    return {"images": int((ratio > _SQUARE).sum()), "largest_ratio": round(float(ratio.max()), 2)}


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


def _about_class(rows: pd.DataFrame, groups: np.ndarray) -> dict[str, Any]:
    """Images, different pictures, and the most frequent sizes and modes."""
    table = size_table(rows)
    return {
        "images": len(rows),
        "pictures": len(np.unique(groups[rows.index])),
        "sizes": len(table),
        "commonest": [f"{r.width}x{r.height} {r.mode}: {r.images}" for r in table[:3].itertuples()],
    }


def five_lines(content: Mapping[str, Any], fit: Fit) -> list[str]:
    """The summary for the console. fit: how pictures become square."""
    how = "from the cache" if content["from_cache"] else "searched"
    counts = [f"{count:,} {kind}" for kind, count in content["pairs"].items() if count]
    found = f"audit ({how}, {content['seconds']:.1f} s): {content['images']:,} images"
    lines = [f"{found}, no copies"]
    if counts:
        lines = [
            f"{found} show {content['pictures']:,} different pictures, one of them "
            f"{content['largest_copy_group']} times",
            f"  pairs of copies: {', '.join(counts)}",
        ]
    test, patients = content["test"], Patients(**content["patients"])
    if test and test["seen"]:
        also = " or their patient" if patients.known else ""
        lines.append(
            f"  LEAK: {test['seen']:,} of {test['images']:,} test images ({test['share']:.1%}) "
            f"have a copy{also} in train or val, so a model can answer them from memory; read the "
            "figures without copies, or use split=official_clean or split=grouped"
        )
    elif test:
        also = " or its patient" if patients.known else ""
        lines.append(f"  no test image has a copy{also} in train or val")
    if not patients.are_known:
        lines.append(
            f"  {patients.words}: {patients.others}images of one patient may be in train, val and "
            "test alike"
        )
        if pattern := content["patient_pattern"]:
            lines.append(
                "  paths seem to tell patients; if they do, say so: "
                f"'data.patient_regex=\"{pattern}\"'"
            )
    if count := content["label_conflicts"]["pairs"]:
        pair = content["label_conflicts"]["first"][0]
        first = " but ".join(f"{path} is {label}" for path, label in pair.items())
        lines.append(f"  contradicting labels: {count:,} pairs of copies (first: {first})")
    modalities = content["modalities"]
    if any(modalities.get(name, 0) not in (0, content["images"]) for name in ("CT", "PET")):
        named = ", ".join(f"{count:,} {name}" for name, count in modalities.items())
        lines.append(
            f"  more than one kind of scan, as names of files and folders say: {named}; a model "
            "may tell the classes by the kind of scan, so keep one (data.ignore, data.classes)"
        )
    if fit == "stretch" and (count := content["not_square"]["images"]):
        lines.append(
            f"  {count:,} pictures are not square (sides up to "
            f"{content['not_square']['largest_ratio']:g} to 1): data.fit=stretch squeezes the "
            "heads in them, data.fit=pad keeps their shape"
        )
    if content["oddities"]:
        odd = ", ".join(f"{item['images']:,} {word}" for word, item in content["oddities"].items())
        lines.append(f"  odd pictures: {odd}")
    return lines
