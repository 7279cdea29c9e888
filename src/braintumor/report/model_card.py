"""What an evaluation knows of itself, a sentence each: for the model card and the checklists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from braintumor.evaluation.provenance import (
    Provenance,
    about_intervals,
    about_patients,
    about_training,
)
from braintumor.evaluation.quote import Quote
from braintumor.evaluation.record import Evaluation
from braintumor.report.page import FOLDER, accuracy_with_ci, which_split
from braintumor.report.plots.style import elide

_INTENDED = (
    "Research and teaching on magnetic resonance images of the head, one slice at a time. Not a "
    "medical device: not for diagnosis, triage or the choice of a treatment."
)
_LIMITS = (
    "It sees single slices and never the volume, the history or the other sequences of a patient.",
    "It always answers with one of its classes; any other finding is beyond it.",
    "How it does for an age, a sex, a scanner or a hospital is not known: the data do not say.",
    "Its labels are those of the data set; who gave them, and how reliable they are, is not known.",
)


_TRAINING = {
    "optimizer.name": "optimizer {}", "optimizer.lr": "learning rate {}",
    "scheduler.name": "schedule {}", "loss.name": "loss {}", "train.batch_size": "batches of {}",
    "train.epochs": "{} epochs",
    "train.max_epochs": "{} epochs at most", "seed": "seed {}",
}  # fmt: skip
_DIVISION = {
    "split": "split {}", "folds": "{} folds",
    "data.val_fraction": "{} of the training images for validation",
}  # fmt: skip
_AUTO = "Split auto (the data set's own test images if it has some, else by groups, else by class)"
# fact -> its title on the page
CARD = {
    "model": "Model", "intended": "Intended use", "data": "Trained on",
    "split": "Division of the data", "counts": "Images", "preprocessing": "Input",
    "output": "Output", "training": "Training", "choice": "Chosen by",
    "evaluated": "Evaluated on", "result": "Result",
}  # fmt: skip


def known_facts(evaluation: Evaluation) -> dict[str, str]:
    """Name -> sentence; what is not known is left out."""
    explained, shown = evaluation.explanations, "what contributed to the answer"
    known = {
        **_of_training(evaluation.provenance),
        **_of_data(evaluation),
        **_of_result(evaluation),
        "intended": _INTENDED,
        "limits": " ".join(limits(evaluation)),
        "output": f"A probability for each of {len(evaluation.predictions.classes)} classes; the "
        "most probable is the answer"
        + (", with the thresholds under Decisions." if evaluation.decision_summary else "."),
        "updating": "None: the model was not changed after its training.",
    }
    if evaluation.decision_summary:
        known["updating"] = (
            "Recalibrated by one temperature fitted on validation; its weights are unchanged."
        )
        known["decisions"] = "Sensitivity, specificity and predictive values under Decisions."
        known["foreign"] = "A score flags pictures unlike those of training, see Decisions."
    if explained.heatmaps or explained.checks:
        if explained.are_of_attention:
            shown = "what attention looked at, which explains no class"
        known["explanations"] = f"Heat maps of {shown}, with checks where made."
    return {name: text for name, text in known.items() if text}


def limits(evaluation: Evaluation) -> list[str]:
    """What the model and this evaluation cannot do."""
    said, trust = list(_LIMITS), evaluation.assessment
    if evaluation.split in ("train", "val"):
        said.append("The images evaluated here had a part in making the model.")
    if trust.count:
        said.append("Some of the images evaluated here are known to it from training.")
    if trust.count is None:
        said.append("Whether it knows the images evaluated here from training was not examined.")
    return [*filter(None, [*said, about_patients(trust.patients)])]


def checklists(facts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each guideline: name, title, source, and rows {item, ask, answer}, answered and open.

    The open ones the authors must answer, also those whose fact this evaluation does not know.
    """
    found = []
    for guideline in yaml.safe_load((FOLDER / "checklist.yaml").read_text(encoding="utf-8")):
        rows = [row | {"answer": facts.get(row.get("fact"))} for row in guideline["items"]]
        answered = [row for row in rows if row["answer"]]
        open_ones = [row for row in rows if not row["answer"]]
        found.append({**guideline, "answered": answered, "open": open_ones})
    return found


def _of_training(about: Provenance) -> dict[str, str]:
    name, views = about.model_name, _setting(about, "eval.views")
    size = f", {about.parameters:,} parameters" if about.parameters is not None else ""
    versions = about.environment.get("versions") or {}
    metric = _setting(about, "train.early_stopping.metric") or "validation"
    choice = f"Epoch {about.best_epoch}, by {metric}, never by test images."
    over = [f"{about.members} models"] if about.members > 1 else []
    over += [f"{views} views of each picture (eval.views)"] if (views or 1) > 1 else []
    averaged = "None: one model, one view of each picture."
    if over:
        averaged = f"Probabilities are averaged over {' and '.join(over)}."
    return {
        "kind": f"Deep learning: {name} classifies slices." if name else "",
        "model": f"{name}{size}{_architecture(about)}." if name else "",
        "weights": _said(about, {"model.backbone.weights": "first weights: {}"}),
        "software": ", ".join(f"{key} {value}" for key, value in versions.items()),
        "training": f"{_said(about, _TRAINING)} {_phases(about)}".strip(),
        "choice": "" if about.best_epoch is None else choice,
        "imbalance": _said(about, {"train.imbalance": "imbalance of classes: {}"}),
        "views": "" if views is None else averaged,
        "repeat": "Command, settings, versions and seed are under Repeat it."
        if about.settings else "",
    }  # fmt: skip


def _of_data(evaluation: Evaluation) -> dict[str, str]:
    predictions, trust, about = evaluation.predictions, evaluation.assessment, evaluation.provenance
    data = about.training_data
    size_px, fit = _setting(about, "data.image_size"), _setting(about, "data.fit")
    size_px = size_px or _setting(about, "model.backbone.image_size")
    names = [elide(name) for name in predictions.classes]
    counts = np.bincount(predictions.labels, minlength=len(names))
    listed = ", ".join(f"{name} {n:,}" for name, n in zip(names, counts, strict=True))
    skip = _setting(about, "data.skip_unreadable")
    disjoint, together = "", trust.patients.together
    if trust.count is not None:
        shared = "a picture, or a patient," if together and together.known else "a picture"
        disjoint = f"{trust.count:,} of {len(predictions):,} images evaluated share {shared} with "
        disjoint = f"{disjoint}training. {about_training(trust.patients)}".rstrip()
    return {
        "data": f"Data set {elide(data)}; settings under Repeat it." if data else "",
        "preprocessing": "" if size_px is None else
        f"Decoded, resized to {size_px} x {size_px} px ({fit}), scaled as the backbone asks.",
        "missing": "" if skip is None else
        f"Unreadable files are {'left out and named' if skip else 'refused'}.",
        "split": _said(about, _DIVISION).replace("Split auto", _AUTO),
        "disjoint": disjoint,
        "evaluated": f"{len(predictions):,} images, {which_split(evaluation.split)}; "
        f"{trust.patients.evaluated.words}.",
        "counts": f"Evaluated: {listed}.{_divided(evaluation)}",
        "outcome": f"The class that the data set gives a slice: {', '.join(names)}.",
        "predictors": "The pixels of one slice and nothing else.",
    }  # fmt: skip


def _divided(evaluation: Evaluation) -> str:
    """ " The data set of its training: train 3,094, …", why some are excluded, and patients."""
    images, trained = evaluation.provenance.images, evaluation.assessment.patients.trained
    if not images:
        return ""
    parts = [f"{split} {images[split]:,}" for split in ("train", "val", "test") if split in images]
    if images.get("excluded"):
        what = "copies or patients" if trained.known else "copies"
        parts.append(f"excluded {images['excluded']:,}, {what} of images held out")
    of_whom = f"In training and validation {trained.words}."
    return f" The data set of its training: {', '.join(parts)}. {of_whom}"


def _of_result(evaluation: Evaluation) -> dict[str, str]:
    metrics, trust = evaluation.metrics, evaluation.assessment
    robustness = []
    if trust.occlusion_tests:
        robustness.append("Accuracy with the rim and with the centre of each picture blanked.")
    if trust.best_baseline:
        robustness.append("Baselines that know no anatomy, see Shortcuts and floors.")
    intervals = (
        f"95 % confidence intervals beside the figures, over groups ({trust.patients.units}): "
        "Wilson's with the effective number of images for proportions; a bootstrap of "
        "groups for the others, and Newcombe's method for an AUROC of 1. "
        f"{about_intervals(trust.patients)}"
    ).rstrip()
    errors = int((~evaluation.is_right).sum())
    return {
        "metrics": "Accuracy, balanced accuracy, macro F1, MCC, AUROC, average precision, "
        "calibration; sensitivity, specificity and predictive values of each class.",
        "intervals": intervals if metrics.get("accuracy_ci") is not None else "",
        "result": _quoted(evaluation.quote),
        "failures": f"{errors:,} wrong answers, all under All pictures and in the matrix.",
        "robustness": " ".join(robustness),
    }


def _quoted(quote: Quote) -> str:
    """The figure that the page says to quote, and no other."""
    if quote.figures is None:
        return quote.why
    which = " without a copy in training" if quote.images == "clean" else ""
    return (
        f"Accuracy {accuracy_with_ci(quote.figures)} over {quote.figures['n']:,} images"
        f"{which}; all figures under Figures."
    )


def _setting(about: Provenance, key: str) -> Any:
    """The value of a dotted key; None where it is not there."""
    value: Any = about.settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _said(about: Provenance, words: Mapping[str, str]) -> str:
    """ "Learning rate 0.001, seed 0." of those settings that have a value.

    words: dotted key -> what to say of it, with {} for its value.
    """
    values = {key: _setting(about, key) for key in words}
    parts = [words[k].format(elide(str(v), 80)) for k, v in values.items() if v is not None]
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _phases(about: Provenance) -> str:
    """ "At most 10 epochs of head, then 20 epochs of all." """
    phases = [] if _setting(about, "train.epochs") else _setting(about, "train.phases") or []
    parts = [f"{phase['epochs']} epochs of {phase['trainable']}" for phase in phases]
    return f"At most {', then '.join(parts)}." if parts else ""


def _architecture(about: Provenance) -> str:
    """ "; backbone resnet50, attention mhsa" of what the settings name."""
    backbone = _setting(about, "model.backbone.timm_name") or _setting(about, "model.backbone.name")
    named = {"backbone": backbone, "attention": _setting(about, "model.attention.name")}
    parts = [f"{what} {elide(str(name))}" for what, name in named.items() if name]
    return f"; {', '.join(parts)}" if parts else ""
