"""Which images a run was evaluated on, and what it answered: predictions.csv and manifest.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from braintumor.compare.read import Run, damaged
from braintumor.data.manifest import Patients, component_numbers, count_patients
from braintumor.statistics.paired import Answers

# N images of an evaluation, K classes


@dataclass(frozen=True, eq=False)
class Evaluated:
    """One predictions.csv with what the run's manifest knows of its images.

    classes: K names, sorted.  paths, true, pred: str (N,).  probs: float64 (N, K).
    in_training: bool (N,), the model knows the image; None when unknown.
    contents: SHA-256 (N,), groups: str (N,), "" for an image of its own; None when the manifest
        does not know every image.
    patients: what the manifest knows of them; nothing where it does not know every image.
    """

    classes: tuple[str, ...]
    paths: np.ndarray
    true: np.ndarray
    pred: np.ndarray
    probs: np.ndarray
    in_training: np.ndarray | None
    contents: np.ndarray | None
    groups: np.ndarray | None
    patients: Patients


def read_evaluated(run: Run) -> Evaluated | None:
    """What the run answered; None when it has no predictions.csv.

    Raises CheckpointError when a file is damaged.
    """
    path = run.evaluation / "predictions.csv"
    if not path.exists():
        return None
    try:
        table = _read_texts(path)
        names = sorted(str(c) for c in table.columns if str(c).startswith("prob_"))
        classes = tuple(name.removeprefix("prob_") for name in names)
        texts = {name: table[name].to_numpy(dtype=object) for name in ("path", "true", "pred")}
        probs = table[names].astype("float64").to_numpy()
        if not np.isin(np.concatenate([texts["true"], texts["pred"]]), classes).all():
            raise ValueError("its columns do not fit together")
    except (ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
        raise damaged(path, error) from error
    seen = table["in_training"] if "in_training" in table else pd.Series(dtype="str")
    is_known = len(seen) > 0 and seen.isin(("true", "false")).all()
    return Evaluated(
        classes,
        texts["path"],
        texts["true"],
        texts["pred"],
        probs,
        seen.eq("true").to_numpy(dtype=bool) if is_known else None,
        *_of_manifest(run, texts["path"]),
    )


def same_questions(evaluated: Sequence[Evaluated]) -> list[int]:
    """A number for each: equal where images, true classes and classes are equal.

    Names alone may deceive (two phantom sets share them), so content decides where both know it.
    """
    known: list[Evaluated] = []
    numbers = []
    for one in evaluated:
        for number, other in enumerate(known):
            if _is_same(one, other):
                numbers.append(number)
                break
        else:
            numbers.append(len(known))
            known.append(one)
    return numbers


def image_ids(evaluated: Sequence[Evaluated]) -> list[np.ndarray]:
    """What names each one's images across runs: content where all know it, else the path."""
    by_content = all(one.contents is not None for one in evaluated)
    return [one.contents if by_content else one.paths for one in evaluated]  # type: ignore[misc]


def common_groups(evaluated: Sequence[Evaluated]) -> list[np.ndarray]:
    """Numbers of the groups of each one's images, from 0, the same for the same image: int (N,).

    Images are in one group where any run's manifest says so; without a manifest each image is
    its own.
    """
    ids = image_ids(evaluated)
    images, distinct = pd.factorize(np.concatenate(ids))
    names: list[str] = []
    for number, one in enumerate(evaluated):
        groups = one.groups if one.groups is not None else [""] * len(one.paths)
        # a name of a group means nothing in another run's manifest
        names += [
            f"{number}:{g}" if g else f"image:{i}" for g, i in zip(groups, ids[number], strict=True)
        ]
    groups = pd.factorize(np.array(names, dtype=object))[0] + len(distinct)
    component = component_numbers(images, groups, int(groups.max()) + 1)
    numbers = pd.factorize(component[images])[0].astype(np.int64)
    return np.split(numbers, np.cumsum([len(one.paths) for one in evaluated])[:-1])


def validation_images(run: Run) -> frozenset[str] | None:
    """SHA-256 of the images that the run was validated on; None when its manifest is missing."""
    manifest = _read_manifest(run)
    if manifest is None or "split" not in manifest:
        return None
    return frozenset(manifest["sha256"][manifest["split"] == "val"])


def answers_of(one: Evaluated, groups: np.ndarray, chosen: np.ndarray | None = None) -> Answers:
    """The same for a test of pairs; chosen: bool (N,), the images to keep."""
    keep = np.ones(len(one.paths), dtype=bool) if chosen is None else chosen
    number = {name: k for k, name in enumerate(one.classes)}
    labels, predicted = (
        np.array([number[name] for name in names[keep]], dtype=np.int64)
        for names in (one.true, one.pred)
    )
    return Answers(labels, predicted, one.probs[keep], groups[keep])


def _is_same(one: Evaluated, other: Evaluated) -> bool:
    if one.classes != other.classes or len(one.paths) != len(other.paths):
        return False
    ids = image_ids([one, other])
    asked = [sorted(zip(i, e.true, strict=True)) for i, e in zip(ids, (one, other), strict=True)]
    return asked[0] == asked[1]


def _of_manifest(
    run: Run, paths: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None, Patients]:
    """SHA-256, group and patients of the images, where the run's manifest knows them all."""
    manifest = _read_manifest(run)
    if manifest is None or not pd.Index(paths).isin(manifest.index).all():
        return None, None, Patients(len(paths), 0, 0)
    found = manifest.loc[paths]
    groups = found["group"].to_numpy(dtype=object) if "group" in found else None
    return found["sha256"].to_numpy(dtype=object), groups, count_patients(found)


def _read_manifest(run: Run) -> pd.DataFrame | None:
    """manifest.csv by path, as texts; None when there is none.

    A run of folds has none of its own; that of its first part lists the same images.
    """
    folders = [run.path, *(run.path / str(name) for name in run.status.get("parts", []))]
    path = next((p for f in folders if (p := f / "manifest.csv").exists()), None)
    if path is None:
        return None
    try:
        table = _read_texts(path)
        # predictions.csv spells bytes that are no UTF-8 in this way
        table["path"] = [p.encode("utf-8", "backslashreplace").decode() for p in table["path"]]
        wanted = [name for name in ("group", "patient", "split") if name in table.columns]
        return table.drop_duplicates("path").set_index("path")[["sha256", *wanted]]
    except (ValueError, KeyError) as error:
        raise damaged(path, error) from error


def _read_texts(path: Path) -> pd.DataFrame:
    """A CSV file of texts as they are: a class may be called NA."""
    return pd.read_csv(path, dtype="str", keep_default_na=False, encoding_errors="surrogateescape")
