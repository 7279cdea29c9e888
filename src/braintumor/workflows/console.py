"""What the commands print: short lines that a person reads, and the same into train.log."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.records import EpochRecord

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("braintumor")


class _Stdout(logging.StreamHandler):
    """Standard output as it is at each message: notebooks and tests put another in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(message)s"))

    @property
    def stream(self) -> Any:
        return sys.stdout


def log_to_console() -> None:
    """Messages go to standard output as they are, unless somebody has said where."""
    if not log.handlers:
        log.addHandler(_Stdout())
        log.setLevel(logging.INFO)
        log.propagate = False


def log_to_file(path: Path) -> logging.Handler:
    """Append all messages to a file too, with the time; remove the handler when done."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    return handler


def describe_data(table: pd.DataFrame, ignored: Mapping[str, int], unreadable: int) -> None:
    """The class table, and what was left out."""
    for line in table.to_string().splitlines():
        log.info("  %s", line)
    if ignored:
        names = "; ".join(f"{name} ({count})" for name, count in ignored.items())
        log.info("  ignored: %s", names)
    if unreadable:
        log.warning("  left out: %d unreadable images (data.skip_unreadable=true)", unreadable)


def describe_epoch(record: EpochRecord, epochs: int) -> None:
    """One line an epoch; a star marks the best so far. A refit has no validation."""
    width = len(str(epochs))
    validation, star = "", ""
    if not math.isnan(record.val_loss):
        validation = (
            f"val loss {record.val_loss:.3f} acc {record.val_accuracy:.3f} "
            f"f1 {record.val_macro_f1:.3f} | "
        )
        star = "*" if record.is_best else ""
    log.info(
        "epoch %*d/%d  train loss %.3f acc %.3f | %slr %.1e | %4.0f img/s %5.1f s %s",
        width, record.epoch, epochs, record.train_loss, record.train_accuracy, validation,
        record.lr, record.images_per_s, record.seconds, star,
    )  # fmt: skip


def describe_scores(metrics: Mapping, classes: Sequence[str]) -> None:
    """The figures of one evaluation, with the weakest class."""
    scores = metrics["all"]
    recalls = {c: scores["per_class"][c]["recall"] for c in classes if scores["per_class"][c]["n"]}
    log.info(
        "%s, n=%d: accuracy %s  balanced %s  macro F1 %s  MCC %s  AUROC %s",
        metrics["split"], metrics["n"],
        *(_rate(scores[k]) for k in ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc")),
    )  # fmt: skip
    if recalls:
        weakest = min(recalls, key=recalls.__getitem__)
        n = scores["per_class"][weakest]["n"]
        log.info("  weakest class: %s, recall %s (n=%d)", weakest, _rate(recalls[weakest]), n)


def _rate(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"
