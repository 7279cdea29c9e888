"""What commands say of data, epochs, decisions and an evaluation: short lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.data.labels import ask_names
from braintumor.records import EpochRecord
from braintumor.report.texts import number, rate, some
from braintumor.runs.kinds import EvaluationFile
from braintumor.workflows.console import log, log_table

if TYPE_CHECKING:
    import pandas as pd

    from braintumor.evaluation.record import Evaluation
    from braintumor.statistics.decisions import Decisions

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # the first letter of a cell, as OWASP lists them
_LACKS = {
    "val": "validation image of {}: the best epoch and thresholds are chosen without any",
    "test": "test image of {}: the figures say nothing of it",
}


def warn_of_formulas(names: Iterable[str]) -> None:
    """Where a spreadsheet would run a cell of a table: names stay, as other tables have them."""
    if found := sorted({name for name in names if name.startswith(_FORMULA)}):
        log.warning(
            "  %d names that a spreadsheet may run as formulas (such as %s): import the CSV tables "
            "as text", len(found), found[0],
        )  # fmt: skip


def describe_data(
    table: pd.DataFrame,
    joined: Mapping[str, Sequence[str]],
    ignored: Mapping[str, int],
    unreadable: int,
) -> None:
    """The class table, which names became one class, and what was left out."""
    log_table(table.to_string())
    for label, names in joined.items():
        if not names:
            log.info("  no image is of %s, which data.class_names names", label)
        else:
            how = "joined into %s: %s" if len(names) > 1 else "named %s: %s"
            log.info(f"  {how}", label, ", ".join(names))
    if setting := ask_names(list(table.index)):
        log.info("  numbers are no names of classes; say what each is: %s", setting)
    if ignored:
        names = "; ".join(f"{name} ({count})" for name, count in ignored.items())
        log.info("  ignored: %s", names)
    if unreadable:
        log.warning("  left out: %d unreadable images (data.skip_unreadable=true)", unreadable)


def warn_of_lacks(table: pd.DataFrame) -> None:
    """Which classes nothing is chosen by, or judged on. table: of describe_data, for a training."""
    for split, said in _LACKS.items():
        if split in table and (absent := [*table.index[table[split] == 0]]):
            log.warning("  no %s", said.format(", ".join(absent)))


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


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write it, and say its figures, what they are worth, and where the report is."""
    from braintumor.evaluation.provenance import about_patients  # brings pandas
    from braintumor.evaluation.quote import about_means  # brings pandas
    from braintumor.report.verdict import doubts, weakest_class  # brings matplotlib
    from braintumor.report.write import write  # brings matplotlib

    write(evaluation, folder)
    metrics, worst = evaluation.to_dict(), weakest_class(evaluation.predictions)
    scores, n = metrics["all"], worst["n"]
    log.info(
        "%s, n=%d: accuracy %s  balanced %s  macro F1 %s  MCC %s  AUROC %s",
        metrics["split"], metrics["n"],
        *(rate(scores[k]) for k in ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc")),
    )  # fmt: skip
    if means := about_means(scores):
        log.info("  %s", means)
    recall = rate(1 - worst["missed"] / n)
    log.info("  weakest class: %s, recall %s (n=%d)", worst["name"], recall, n)
    describe_accuracy(metrics)
    call = (metrics["decisions"] or {}).get("tumor_call")
    if evaluation.joined and call:
        log.info(
            "called tumor from %s on: sensitivity %s (n=%d)  specificity %s (n=%d)",
            number(call["threshold"], ".3g"), rate(call["sensitivity"]), call["n_tumor"],
            rate(call["specificity"]), call["n_no_tumor"],
        )  # fmt: skip
    for doubt in doubts(evaluation):
        log.warning("  %s", doubt)
    if said := about_patients(evaluation.assessment.patients):
        log.info("  %s", said)
    log.info("report: %s", folder / EvaluationFile.REPORT)


def describe_accuracy(metrics: Mapping[str, Any]) -> None:
    """All images, those without a copy in training, best floor; which figure can be quoted."""
    said = f"all {_with_interval(metrics['all'])} (n={metrics['n']})"
    clean, known, images = metrics["clean"], metrics["contaminated"], some(metrics["n"], "image")
    if known == 0:
        said += ", none with a copy in training"
    log.info("accuracy, 95 %% CI: %s", said)
    if known:
        of_clean = f"{_with_interval(clean)} (n={clean['n']})" if clean else "– (n=0)"
        log.info("  without copies in training %s", of_clean)
    if metrics["floor"]:
        floor = metrics["floor"]
        log.info("  best floor %s (%s)", rate(floor["accuracy"]), floor["name"])
    if known:
        are = "is" if known == 1 else "are"
        log.warning("  %s of %s %s known to the model from training", f"{known:,}", images, are)
    if why := (metrics.get("quote") or {}).get("why"):
        log.warning("  %s", why)


def _with_interval(figures: Mapping[str, Any]) -> str:
    """0.964 [0.953, 0.973]: accuracy and its interval of 95 %."""
    interval = figures["accuracy_ci"]
    limits = f" [{rate(interval[0])}, {rate(interval[1])}]" if interval else ""
    return f"{rate(figures['accuracy'])}{limits}"


def describe_decisions(decisions: Decisions) -> None:
    """What was fitted on validation."""
    sets = None if decisions.conformal is None else 1 - decisions.conformal
    limits = (
        (decisions.threshold, "tumor threshold {} (sensitivity {:g})", decisions.sensitivity),
        (sets, "class sets from {} (coverage {:g})", decisions.coverage),
        (decisions.confidence, "answered from {} (risk {:g})", decisions.risk),
    )
    parts = [f"temperature {decisions.temperature:.2f}"]
    parts += [said.format(number(x, ".3g"), aim) for x, said, aim in limits if x is not None]
    log.info("fitted on %s: %s", some(decisions.n, "validation image"), ", ".join(parts))
