"""Floors belong to the data alone: measured for the first model, they serve all others."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn

from braintumor.data.kept import make_room, read_table, write_table
from braintumor.errors import MachineError
from braintumor.evaluation.baselines import BASELINES, measure_baselines
from braintumor.files import cache_dir

# N images, S side in px

_VERSION = 1  # of what the cache holds; raise it when floors are measured in another way
_WORTH_KEEPING_S = 1.0  # what takes less is measured again
_ROOM_BYTES = 10_000  # that a file takes at most
_MOST_BYTES = 50_000_000  # of all floors in the cache folder
_HASHED = 256  # pictures at a time
_COLUMNS = (
    "accuracy", "balanced_accuracy", "n", "clean_accuracy", "clean_balanced_accuracy", "clean_n",
    "seconds",
)  # fmt: skip

_log = logging.getLogger(__name__)


def cached_baselines(
    pixels: np.ndarray, manifest: pd.DataFrame, classes: Sequence[str], split: str = "test"
) -> pd.DataFrame:
    """What measure_baselines gives; from the cache where it gave it for the same before.

    pixels: uint8 (N, S, S[, 3]).  The seconds are those of the measurement.
    Raises DataError as measure_baselines does.
    """
    path = _path(pixels, manifest, classes, split)
    known = read_table(path, _COLUMNS)
    if known is not None:
        os.utime(path)  # the files used least recently are the first to go
        names = [baseline.name for baseline in BASELINES]
        return pd.DataFrame(known, index=pd.Index(names, name="floor"))
    table = measure_baselines(pixels, manifest, classes, split)
    if table["seconds"].sum() > _WORTH_KEEPING_S:
        try:
            make_room(path.parent, _ROOM_BYTES, _MOST_BYTES)
            write_table(path, {name: table[name].to_numpy() for name in _COLUMNS})
        except (OSError, MachineError) as error:
            _log.warning("the floors are not kept for other models: %s", error)
    return table


def _path(pixels: np.ndarray, manifest: pd.DataFrame, classes: Sequence[str], split: str) -> Path:
    """A file of the cache, named after all that the figures depend on."""
    about = _VERSION, sklearn.__version__, [baseline.name for baseline in BASELINES]
    key = hashlib.sha256(repr((about, list(classes), split, pixels.shape)).encode())
    columns = ["path", "label", "split", "group", "width", "height", "mode"]
    key.update(manifest[columns].to_csv(index=False).encode("utf-8", "surrogateescape"))
    # the pixels and not the files: other sizes and fits give others
    for start in range(0, len(pixels), _HASHED):
        key.update(np.ascontiguousarray(pixels[start : start + _HASHED]).data)
    return cache_dir() / "floors" / f"{key.hexdigest()[:32]}.npz"
