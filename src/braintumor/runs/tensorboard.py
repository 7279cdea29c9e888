"""Event files for TensorBoard."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from braintumor.records import EpochRecord
from braintumor.runs.folder import RunFolder


@contextmanager
def open_tensorboard(
    run: RunFolder, wanted: bool, first_epoch: int
) -> Iterator[Callable[[EpochRecord], None]]:
    """A function that writes one epoch's figures to <run>/tensorboard, or nothing unless wanted.

    first_epoch: what an interrupted run wrote from this epoch on is dropped.
    """
    if not wanted:
        yield lambda record: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=first_epoch)

    def write(record: EpochRecord) -> None:
        for name, value in dataclasses.asdict(record).items():
            if isinstance(value, float) and not math.isnan(value):
                part, _, metric = name.partition("_")
                tag = f"{metric}/{part}" if part in ("train", "val") else name
                writer.add_scalar(tag, value, record.epoch)

    try:
        yield write
    finally:
        writer.close()
