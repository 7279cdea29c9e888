"""The manifest: a table with one row an image. Everything right of it knows no file format."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from braintumor.data.patients import patient_key
from braintumor.errors import DataError, some
from braintumor.files import read_table, write_atomic

COLUMNS = ("path", "label", "split", "group", "patient", "sha256", "width", "height", "mode")
SPLITS = ("train", "val", "test", "excluded")
KNOWN = ("train", "val")  # whose images a model has learnt from, or was chosen by

_MAY_BE_EMPTY = ("split", "group", "patient")
DTYPES = dict.fromkeys(COLUMNS, "str") | {"width": "int64", "height": "int64"}


def write_manifest(path: Path, manifest: pd.DataFrame) -> None:
    """Write manifest.csv, whole or not at all; every text is quoted, a missing one is "".

    Names that hold commas, quotes, line breaks or bytes that are no UTF-8 come back as they were.
    """
    table = manifest.loc[:, list(COLUMNS)]
    text = table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    write_atomic(path, text.encode("utf-8", "surrogateescape"))


def read_manifest(path: Path) -> pd.DataFrame:
    """The manifest in a CSV file; split, group and patient may be missing (NaN).

    Raises DataError when there is no such file or it is no manifest.
    """
    try:
        manifest = pd.read_csv(
            read_table(path),
            dtype=DTYPES,
            keep_default_na=False,  # a class may be called "NA"
            na_values={name: [""] for name in _MAY_BE_EMPTY},
            encoding_errors="surrogateescape",
        )
    except FileNotFoundError as error:
        raise DataError(f"there is no manifest {path}; `bt-data data=…` writes one") from error
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path} is not a manifest ({error}); `bt-data` writes one") from error
    if missing := [name for name in COLUMNS if name not in manifest.columns]:
        raise DataError(
            f"{path} lacks the column {', '.join(missing)} of a manifest; `bt-data` writes one"
        )
    if foreign := sorted(set(manifest["split"].dropna()) - set(SPLITS)):
        raise DataError(f"{path} has a split {foreign[0]!r}, and there are {', '.join(SPLITS)}")
    return manifest.loc[:, list(COLUMNS)]


def class_numbers(labels: Iterable[str], classes: Sequence[str]) -> np.ndarray:
    """Of each label its place among the classes, which hold every one: int64 (N,)."""
    place = {name: number for number, name in enumerate(classes)}
    return np.array([place[label] for label in labels], dtype=np.int64)


def group_numbers(groups: pd.Series) -> np.ndarray:
    """Images of one group share a number, an image without a group has its own: int64 (N,).

    >>> group_numbers(pd.Series(["p1", None, "p1"]))
    array([0, 1, 0])
    """
    names = groups.where(groups.notna(), [f"image {i}" for i in range(len(groups))])
    return np.asarray(pd.factorize(names)[0], dtype=np.int64)


def component_numbers(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """Number of the connected set of each of `count` points, from 0: int (count,).

    a, b: int (P,), the points that each of P links joins.
    >>> component_numbers(np.array([0, 3]), np.array([2, 3]), 4)
    array([0, 1, 0, 2], dtype=int32)
    """
    links = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1])


def class_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Images by class (rows, sorted) and split (columns train, val, test, excluded, total).

    Splits that do not occur are left out; `total` counts images without a split too.
    """
    counts = pd.crosstab(manifest["label"], manifest["split"])
    labels, splits = sorted(manifest["label"].unique()), [s for s in SPLITS if s in counts.columns]
    table = counts.reindex(index=labels, columns=splits, fill_value=0)
    table["total"] = manifest["label"].value_counts()
    return table.rename_axis(columns=None).astype("int64")


def size_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Images by size and mode: columns width, height, mode, images; most frequent first."""
    by = ["width", "height", "mode"]
    table = manifest.groupby(by).size().rename("images").reset_index()
    return table.sort_values(
        ["images", *by], ascending=[False, True, True, True], ignore_index=True
    )


def choose_rows(manifest: pd.DataFrame, wanted: str | None) -> tuple[str, np.ndarray]:
    """A split's name and its row numbers; unless one is wanted, that is test, else all.

    Raises DataError when the split has no images.
    """
    splits = manifest["split"]
    split = wanted or ("test" if (splits == "test").any() else "all")
    rows = np.arange(len(manifest)) if split == "all" else np.flatnonzero(splits == split)
    if not len(rows):
        raise DataError(f"the data has no images in split={split}; use split=all for all of them")
    return split, rows


@dataclass(frozen=True)
class Patients:
    """Of how many images the patient is known, and how many patients those are."""

    images: int
    known: int
    patients: int

    @property
    def are_known(self) -> bool:
        """For every image."""
        return self.known == self.images

    @property
    def words(self) -> str:
        """What is known, to begin or to end a sentence with."""
        if not self.known:
            return "patients are not known"
        if not self.are_known:
            return f"patients are known for {self.known:,} of {self.images:,} images only"
        return f"the patient of every image is known ({some(self.patients, 'patient')})"

    @property
    def others(self) -> str:
        """Begins what is true of the images without a patient, where others have one."""
        return "of the others, " if self.known else ""


def count_patients(manifest: pd.DataFrame) -> Patients:
    """What the rows of a manifest say of patients; a missing or empty one is not known."""
    named = manifest["patient"].dropna()
    named = named[named != ""].map(patient_key)
    return Patients(images=len(manifest), known=len(named), patients=named.nunique())
