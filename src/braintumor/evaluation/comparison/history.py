"""What metrics.csv of a run tells: validation at the epoch that was kept, and the speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from braintumor.evaluation.comparison.reading import Run, damaged


def history_of(run: Run, names: Sequence[str]) -> dict[str, Any]:
    """best_epoch, val_<name> of each name at that epoch, and images_per_s in training.

    images_per_s: images of all epochs over their time, which is the harmonic mean.
    Without metrics.csv there is best_epoch alone. Raises CheckpointError when it is damaged.
    """
    best_epoch = run.status.get("best_epoch")
    path = run.path / "metrics.csv"
    if not path.exists():
        return {"best_epoch": best_epoch}
    try:
        history = pd.read_csv(path)
        if best_epoch is None:
            kept = history[history["is_best"].astype(bool)]
            best_epoch = int(kept["epoch"].iloc[-1]) if len(kept) else None
        row = history[history["epoch"] == best_epoch]
        values = {f"val_{name}": row[f"val_{name}"].iloc[-1] for name in names if len(row)}
        if "images_per_s" in history and len(history):
            values["images_per_s"] = 1 / (1 / history["images_per_s"].astype(float)).mean()
    except (ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
        raise damaged(path, error) from error
    return {"best_epoch": best_epoch, **values}
