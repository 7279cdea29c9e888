"""What an evaluation knows of itself, a sentence each: for the model card and the checklists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from braintumor.data.manifest import Patients
from braintumor.evaluation.assess import Assessment
from braintumor.evaluation.patients import about_intervals, about_patients, about_training
from braintumor.records import Predictions
from braintumor.report import headline as verdict
from braintumor.report.plots.style import elide

_INTENDED = (
    "Research and teaching on magnetic resonance images of the head, one slice at a time. Not a "
    "medical device: not for diagnosis, triage or the choice of a treatment."
)
_LIMITS = (
    "It sees single slices and never the volume, the history or the other sequences of a patient.",
    "It always answers with one of its classes; any other finding is beyond it.",
    "How it does for an age, a sex, a scanner or a hospital is not known: the data do not say.",
    "Its labels are those of the data set; who gave them, and how surely, is not known here.",
)


def model_card_section(
    predictions: Predictions,
    metrics: Mapping[str, Any],
    trust: Assessment,
    about: Mapping[str, Any],
    *,
    split: str,
    decisions: Mapping[str, Any] | None,
    has_explanations: bool,
) -> dict[str, str]:
    """Name -> sentence; what is not known is left out. about: see evidence.write_evidence."""
    settings = _Settings(about.get("settings") or {})
    known = {
        **_of_training(settings, about),
        **_of_data(predictions, trust, settings, about, split),
        **_of_result(predictions, metrics, trust),
        "intended": _INTENDED,
        "limits": " ".join(limits(trust, split)),
        "output": f"A probability for each of {len(predictions.classes)} classes; the most "
        "probable is the answer" + (", with the thresholds under Decisions." if decisions else "."),
        "updating": "None: the model was not changed after its training.",
    }
    if decisions:
        known["updating"] = (
            "Recalibrated by one temperature fitted on validation; its weights are unchanged."
        )
        known["decisions"] = "Sensitivity, specificity and predictive values under Decisions."
        known["foreign"] = "A score flags pictures unlike those of training, see Decisions."
    if has_explanations:
        shown = "what spoke for the answer"
        if about.get("heat maps") == "attention":
            shown = "what attention looked at, which explains no class"
        known["explanations"] = f"Heat maps of {shown}, with checks where made."
    return {name: text for name, text in known.items() if text}


def limits(trust: Assessment, split: str) -> list[str]:
    """What the model and this evaluation cannot do, for the model card."""
    said = list(_LIMITS)
    if split in ("train", "val"):
        said.append("The images evaluated here had a part in making the model.")
    if trust.count:
        said.append("Some of the images evaluated here are known to it from training.")
    if trust.count is None:
        said.append("Whether it knows the images evaluated here from training was not examined.")
    if not_known := about_patients(trust.patients):
        said.append(not_known)
    return said


def _of_training(settings: _Settings, about: Mapping[str, Any]) -> dict[str, str]:
    name, parameters = about.get("model_name"), about.get("parameters")
    size = f", {parameters:,} parameters" if isinstance(parameters, int) else ""
    versions = (about.get("environment") or {}).get("versions") or {}
    views = settings.get("eval.views")
    epoch = about.get("best epoch")
    return {
        "kind": f"Deep learning: {name} classifies slices." if name else "",
        "model": f"{name}{size}{_architecture(settings)}." if name else "",
        "weights": settings.said({"model.backbone.weights": "first weights: {}"}),
        "software": ", ".join(f"{key} {value}" for key, value in versions.items()),
        "training": settings.said(
            {
                "optimizer.name": "optimizer {}",
                "optimizer.lr": "learning rate {}",
                "scheduler.name": "schedule {}",
                "loss.name": "loss {}",
                "train.batch_size": "batches of {}",
                "train.epochs": "{} epochs",
                "train.max_epochs": "{} epochs at most",
                "seed": "seed {}",
            }
        ),
        "choice": ""
        if epoch is None
        else f"Epoch {epoch}, by {settings.get('train.early_stopping.metric') or 'validation'}, "
        "never by test images.",
        "imbalance": settings.said({"train.imbalance": "imbalance of classes: {}"}),
        "views": ""
        if views is None
        else f"Probabilities are averaged over {views} views of each picture (eval.views)."
        if views > 1
        else "None: one model, one view of each picture.",
        "repeat": "Command, settings, versions and seed are under Repeat it."
        if about.get("settings")
        else "",
    }  # fmt: skip


def _of_data(
    predictions: Predictions,
    trust: Assessment,
    settings: _Settings,
    about: Mapping[str, Any],
    split: str,
) -> dict[str, str]:
    data = about.get("data_name")
    size_px, fit = settings.get("data.image_size"), settings.get("data.fit")
    counts = [int((predictions.labels == k).sum()) for k in range(len(predictions.classes))]
    listed = ", ".join(
        f"{elide(name)} {n:,}" for name, n in zip(predictions.classes, counts, strict=True)
    )
    skip = settings.get("data.skip_unreadable")
    disjoint, together = "", trust.patients.together
    if trust.count is not None:
        shared = "a picture, or a patient," if together and together.known else "a picture"
        disjoint = f"{trust.count:,} of {len(predictions):,} images evaluated share {shared} with "
        disjoint = f"{disjoint}training. {about_training(trust.patients)}".rstrip()
    return {
        "data": f"Data set {elide(str(data))}; settings under Repeat it." if data else "",
        "preprocessing": ""
        if size_px is None
        else f"Decoded, resized to {size_px} x {size_px} px ({fit}), scaled as the backbone asks.",
        "missing": ""
        if skip is None
        else f"Unreadable files are {'left out and named' if skip else 'refused'}.",
        "split": settings.said(
            {
                "split": "split {}",
                "folds": "{} folds",
                "data.val_fraction": "share of training cut for validation {}",
            }
        ),
        "disjoint": disjoint,
        "evaluated": f"{len(predictions):,} images of the {split} split; "
        f"{trust.patients.evaluated.words}.",
        "counts": f"Evaluated: {listed}."
        + _divided(about.get("images") or {}, trust.patients.trained),
        "outcome": "The class that the data set gives a slice: "
        + ", ".join(elide(name) for name in predictions.classes) + ".",
        "predictors": "The pixels of one slice and nothing else.",
    }  # fmt: skip


def _divided(images: Mapping[str, int], trained: Patients | None) -> str:
    """ " The data set of its training: train 3,094, …", why some are excluded, and patients."""
    if not images:
        return ""
    parts = [f"{split} {images[split]:,}" for split in ("train", "val", "test") if split in images]
    if images.get("excluded"):
        what = "copies or patients" if trained and trained.known else "copies"
        parts.append(f"excluded {images['excluded']:,}, {what} of images held out")
    of_whom = f" In training and validation {trained.words}." if trained else ""
    return f" The data set of its training: {', '.join(parts)}.{of_whom}"


def _of_result(
    predictions: Predictions, metrics: Mapping[str, Any], trust: Assessment
) -> dict[str, str]:
    errors = int((predictions.predicted != predictions.labels).sum())
    accuracy = verdict.with_interval(metrics, "accuracy")
    floor = trust.best_baseline
    robustness = []
    if trust.shortcuts:
        robustness.append("Accuracy with the rim and with the centre of each picture blanked.")
    if floor:
        robustness.append("Baselines that know no anatomy, see Shortcuts and floors.")
    return {
        "metrics": "Accuracy, balanced accuracy, macro F1, MCC, AUROC, average precision, "
        "calibration; sensitivity, specificity and predictive values of each class.",
        "intervals": _intervals(trust) if metrics.get("accuracy_ci") is not None else "",
        "result": f"Accuracy {accuracy}; all figures under Figures.",
        "failures": f"{errors:,} wrong answers, all under All pictures and in the matrix.",
        "robustness": " ".join(robustness),
    }


def _intervals(trust: Assessment) -> str:
    said = (
        f"95 % confidence intervals beside the figures, over groups ({trust.patients.units}): "
        "Wilson's with the effective number of images for proportions; a bootstrap of "
        "groups for the others, and Newcombe's for an AUROC that it says nothing of."
    )
    return f"{said} {about_intervals(trust.patients)}".rstrip()


class _Settings:
    """The resolved settings, asked by dotted keys; what is not there is None."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def get(self, key: str) -> Any:
        value: Any = self._settings
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def said(self, words: Mapping[str, str]) -> str:
        """ "Learning rate 0.001, seed 0." of those keys that have a value.

        words: dotted key -> what to say of it, with {} for its value.
        """
        values = {key: self.get(key) for key in words}
        parts = [
            words[key].format(elide(str(value), 80))
            for key, value in values.items()
            if value is not None
        ]
        text = ", ".join(parts)
        return f"{text[0].upper()}{text[1:]}." if text else ""


def _architecture(settings: _Settings) -> str:
    """ "; backbone resnet50, attention mhsa" of what the settings name."""
    backbone = settings.get("model.backbone.timm_name") or settings.get("model.backbone.name")
    named = {"backbone": backbone, "attention": settings.get("model.attention.name")}
    parts = [f"{what} {elide(str(name))}" for what, name in named.items() if name]
    return f"; {', '.join(parts)}" if parts else ""
