"""Floors belong to the data alone: measured for the first model, they serve all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import sklearn

from braintumor import cache
from braintumor.evaluation.baselines import BASELINES, measure_baselines

# N images, S side in px

_VERSION = 1  # of what the cache holds; raise it when floors are measured in another way
_WORTH_KEEPING_S = 1.0  # what takes less is measured again
_COLUMNS = (
    "accuracy", "balanced_accuracy", "n", "clean_accuracy", "clean_balanced_accuracy", "clean_n",
    "seconds",
)  # fmt: skip


def cached_baselines(
    pixels: np.ndarray, manifest: pd.DataFrame, classes: Sequence[str], split: str = "test"
) -> pd.DataFrame:
    """What measure_baselines gives; from the cache where it gave it for the same before.

    pixels: uint8 (N, S, S[, 3]).  The seconds are those of the measurement.
    Raises DataError as measure_baselines does.
    """
    about = (
        _VERSION,
        sklearn.__version__,
        [baseline.name for baseline in BASELINES],
        list(classes),
        split,
    )
    columns = ["path", "label", "split", "group", "width", "height", "mode"]
    rows = manifest[columns].to_csv(index=False)
    # the pixels and not the files: other sizes and fits give others
    contents = np.ascontiguousarray(pixels).data
    path = cache.entry_path("floors", about, rows, pixels.shape, contents)
    known = cache.read_entry(path, _COLUMNS)
    if known is not None:
        known.touch()
        names = [baseline.name for baseline in BASELINES]
        return pd.DataFrame(known.columns, index=pd.Index(names, name="floor"))
    table = measure_baselines(pixels, manifest, classes, split)
    if table["seconds"].sum() > _WORTH_KEEPING_S:
        cache.write_entry(path, {name: table[name].to_numpy() for name in _COLUMNS})
    return table
