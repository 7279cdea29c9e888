"""The images of a former manifest found again by what they hold, wherever they lie now."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from braintumor.config import first_of
from braintumor.data.dataset import Dataset
from braintumor.data.manifest import read_manifest
from braintumor.data.reading import Fingerprints
from braintumor.errors import DataError

# N images of the former manifest, M images that are there now

_NAMED = 3  # images that a message names; the count covers all


@dataclass(frozen=True, eq=False)
class Found:
    """rows: int64 (N,), where each image is now; -1: nowhere.

    missing: paths of those that are nowhere.  new: of those that were not there before.
    """

    rows: np.ndarray
    missing: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def differences(self) -> str:
        """What differs, by name; empty where nothing does."""
        parts = {"not there, or of another class": self.missing, "new": self.new}
        named = (f"{len(p)} are {what} ({first_of(p, _NAMED)})" for what, p in parts.items() if p)
        return ", ".join(named)


def find_images(before: pd.DataFrame, now: pd.DataFrame) -> Found:
    """Where the images of a manifest are in another one: by content and class, not by name.

    >>> before = pd.DataFrame({"path": ["a", "b"], "sha256": ["1", "2"], "label": "x"})
    >>> now = pd.DataFrame({"path": ["new/b", "new/a"], "sha256": ["2", "1"], "label": "x"})
    >>> find_images(before, now).rows
    array([1, 0])
    """
    key = ["sha256", "label", "number"]
    before, now = (
        table.assign(number=table.groupby(["sha256", "label"]).cumcount())[["path", *key]]
        for table in (before, now)
    )
    places = pd.Series(np.arange(len(now)), index=pd.MultiIndex.from_frame(now[key]))
    rows = places.reindex(pd.MultiIndex.from_frame(before[key])).fillna(-1).to_numpy(np.int64)
    is_new = ~np.isin(np.arange(len(now)), rows)
    return Found(rows, tuple(before["path"][rows < 0]), tuple(now["path"][is_new]))


def refuse_others(known: Path, manifest: pd.DataFrame) -> None:
    """Raises DataError unless the images are those of manifest.csv of another part of a run."""
    if changed := find_images(read_manifest(known), manifest).differences:
        raise DataError(
            f"the images changed since {known.parent} began: {changed}; all parts of a run are of "
            "the same images: restore them, or start a new run"
        )


def as_before(data: Dataset, before: pd.DataFrame, rows: np.ndarray) -> Dataset:
    """The data set with the former manifest, whose images are at `rows` of it now: none is -1."""
    pixels, prints = data.pixels, data.fingerprints
    mask, paths_now = data.lesion_mask, data.manifest["path"].to_numpy()[rows]
    path_now = dict(zip(before["path"], paths_now, strict=True))
    if not np.array_equal(rows, np.arange(len(pixels))):  # else they stay where they are, on disk
        pixels = pixels[rows]
        prints = Fingerprints(
            prints.pixel_sha256[rows],
            prints.thumbnails[rows],
            tuple(prints.quality_flags[row] for row in rows),
        )
    return dataclasses.replace(
        data,
        manifest=before,
        pixels=pixels,
        fingerprints=prints,
        lesion_mask=None if mask is None else lambda path: mask(path_now[path]),
    )
