"""What commands say of data, epochs, decisions and an evaluation: short lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braintumor.data.images import Fit
from braintumor.data.labels import ask_names
from braintumor.data.manifest import Patients, class_table
from braintumor.errors import some
from braintumor.records import EpochRecord
from braintumor.report.texts import number, percent, rate
from braintumor.runs.kinds import EvaluationFile
from braintumor.workflows.console import log, log_table

if TYPE_CHECKING:
    from braintumor.data.dataset import Dataset
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
            "  %s that a spreadsheet may run as a formula (such as %s): import the CSV tables as "
            "text", some(len(found), "name"), found[0],
        )  # fmt: skip


def describe_data(data: Dataset) -> None:
    """The class table, which names became one class, and what was left out."""
    table = class_table(data.manifest)
    log_table(table.to_string())
    for label, names in data.joined.items():
        if not names:
            log.info("  no image is of %s, which data.class_names names", label)
        else:
            how = "joined into %s: %s" if len(names) > 1 else "named %s: %s"
            log.info(f"  {how}", label, ", ".join(names))
    if setting := ask_names(list(table.index)):
        log.info("  numbers are no names of classes; say what each is: %s", setting)
    if data.ignored:
        names = "; ".join(f"{name} ({count})" for name, count in data.ignored.items())
        log.info("  ignored: %s", names)
    if count := len(data.unreadable):
        log.warning("  left out: %s (data.skip_unreadable=true)", some(count, "unreadable image"))


def five_lines(content: Mapping[str, Any], fit: Fit) -> list[str]:
    """The summary of an audit, as in audit.json. fit: how pictures become square."""
    patients = Patients(**content["patients"])
    return [
        *_about_copies(content, patients),
        *_about_patients(content, patients),
        *_about_pictures(content, fit),
    ]


def _about_copies(content: Mapping[str, Any], patients: Patients) -> Iterator[str]:
    how = "from the cache" if content["from_cache"] else "searched"
    counts = [f"{count:,} {kind}" for kind, count in content["pairs"].items() if count]
    found = f"audit ({how}, {content['seconds']:.1f} s): {some(content['images'], 'image')}"
    if not counts:
        yield f"{found}, no copies"
    else:
        yield (
            f"{found} show {some(content['pictures'], 'different picture')}, the commonest "
            f"{content['largest_copy_group']} times"
        )
        yield f"  pairs of copies: {', '.join(counts)}"
    test = content["test"]
    if test and test["seen"]:
        have, their = ("has", "its") if test["seen"] == 1 else ("have", "their")
        also = f" or {their} patient" if patients.known else ""
        yield (
            f"  LEAK: {test['seen']:,} of {some(test['images'], 'test image')} "
            f"({percent(test['seen'] / test['images'])}) {have} a copy{also} in train or val, so a "
            "model can answer them from memory; read the figures without copies, or use "
            "split=official_clean or split=grouped"
        )
    elif test:
        also = " or its patient" if patients.known else ""
        yield f"  no test image has a copy{also} in train or val"


def _about_patients(content: Mapping[str, Any], patients: Patients) -> Iterator[str]:
    if not patients.are_known:
        yield (
            f"  {patients.words}: {patients.others}images of one patient may be in train, val and "
            "test alike"
        )
        if pattern := content["patient_pattern"]:
            yield (
                "  paths seem to tell patients; if they do, say so: "
                f"'data.patient_regex=\"{pattern}\"'"
            )
    elif patients.patients == patients.images:
        yield (
            "  each image has a patient of its own; if these are numbers of images, patients are "
            "not known: leave them out"
        )
    if mixed := content["patients_of_several_classes"]:
        have = "has" if mixed == 1 else "have"
        yield (
            f"  {mixed:,} of {some(patients.patients, 'patient')} {have} images of several "
            "classes: right where each slice has a label of its own, else what tells patients is "
            "wrong"
        )


def _about_pictures(content: Mapping[str, Any], fit: Fit) -> Iterator[str]:
    if count := content["label_conflicts"]["pairs"]:
        pair = content["label_conflicts"]["first"][0]
        first = " but ".join(f"{path} is {label}" for path, label in pair.items())
        yield f"  contradicting labels: {some(count, 'pair')} of copies (first: {first})"
    if count := content["augmented"]:
        yield (
            f"  {some(count, 'picture', 'is')} augmented from others, as their names say: one "
            "may be in train and its original in test, so leave them out"
        )
    modalities = content["modalities"]
    if any(modalities.get(name, 0) not in (0, content["images"]) for name in ("CT", "PET")):
        named = ", ".join(f"{count:,} {name}" for name, count in modalities.items())
        yield (
            f"  more than one kind of scan, as names of files and folders say: {named}; a model "
            "may tell the classes by the kind of scan, so keep one (data.ignore, data.classes)"
        )
    if fit == "stretch" and (count := content["not_square"]["images"]):
        yield (
            f"  {some(count, 'picture', 'is')} not square (sides up to "
            f"{content['not_square']['largest_ratio']:g} to 1): data.fit=stretch squeezes the "
            "heads in them, data.fit=pad keeps their shape"
        )
    if content["oddities"]:
        odd = ", ".join(f"{item['images']:,} {word}" for word, item in content["oddities"].items())
        yield f"  odd pictures: {odd}"


def warn_of_lacks(data: Dataset) -> None:
    """Which classes nothing is chosen by, or judged on, in a training."""
    table = class_table(data.manifest)
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
