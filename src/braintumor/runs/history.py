"""metrics.csv of a run, a row an epoch: whole, in order, in step with the state in last.ckpt."""

from __future__ import annotations

import csv
import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.errors import CheckpointError
from braintumor.files import read_table, write_rows
from braintumor.records import EpochRecord

if TYPE_CHECKING:
    import pandas as pd

_SHARES = (
    "train_accuracy", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_auroc",
)  # fmt: skip

log = logging.getLogger(__name__)


def set_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Make the file these rows, fields of EpochRecord: later ones are written again.

    Where it does not begin with them, that is said.
    """
    try:
        here = read_rows(path)[: len(rows)]
    except CheckpointError as error:
        log.warning("%s; what last.ckpt knows of it is written again", error)
    else:
        if here != [{name: str(value) for name, value in row.items()} for row in rows]:
            said = "%s lacked or had other rows than last.ckpt, whose rows are written again"
            log.warning(said, path)
    if rows:
        write_rows(path, rows)
    else:
        path.unlink(missing_ok=True)


def read_record(path: Path, epoch: int) -> EpochRecord:
    """The row of an epoch, to the last digit."""
    return _record(read_rows(path)[epoch - 1])


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows as texts, without pandas; empty where there is no file.

    Raises CheckpointError when it is damaged, or a row is missing.
    """
    if not path.exists():
        return []
    try:
        lines = read_table(path).getvalue().decode().splitlines()
        rows = list(csv.DictReader(lines, strict=True))
        numbers = [_record(row).epoch for row in rows]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise CheckpointError(f"{path} is damaged ({error!r})") from error
    if numbers != list(range(1, len(rows) + 1)):
        raise CheckpointError(f"{path} is damaged (its epochs are {numbers})")
    return rows


def read_history(path: Path) -> pd.DataFrame:
    """A row an epoch; columns are the fields of EpochRecord. Raises as `read_rows`."""
    import pandas as pd  # --help lists no tables

    names = [field.name for field in dataclasses.fields(EpochRecord)]
    return pd.DataFrame([_record(row) for row in read_rows(path)], columns=names)


def kept_epoch(history: pd.DataFrame) -> pd.DataFrame:
    """The row of the epoch whose weights were kept, the last that was the best so far; or none."""
    return history[history["is_best"].astype(bool)].tail(1)


def _record(row: Mapping[str, str]) -> EpochRecord:
    read: dict[str, Callable[[str], Any]] = {
        "int": int, "float": float, "bool": {"True": True, "False": False}.__getitem__,
    }  # fmt: skip
    fields = dataclasses.fields(EpochRecord)
    if len(row) != len(fields):
        raise ValueError(f"{len(row)} columns, not {len(fields)}")
    record = EpochRecord(**{f.name: read[str(f.type)](row[f.name]) for f in fields})
    for name in _SHARES:
        if not 0 <= (share := getattr(record, name)) <= 1 and not math.isnan(share):
            raise ValueError(f"{name} is {share:g} in epoch {record.epoch}")
    return record
