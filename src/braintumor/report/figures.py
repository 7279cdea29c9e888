"""Figures of an evaluation, its decisions and checks, as the rows and sentences of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braintumor.evaluation.provenance import KnownPatients, about_fit
from braintumor.evaluation.record import Evaluation
from braintumor.records import Predictions
from braintumor.report.page import defined_pair, is_defined, number, percent, percents
from braintumor.report.plots.style import elide
from braintumor.statistics.confidence import BINS, CERTAINTY
from braintumor.statistics.metrics import confusion_matrix, means_over

TILES = (
    ("accuracy", "Accuracy", "share of images that are right"),
    ("balanced_accuracy", "Balanced accuracy", "mean recall of the classes"),
    ("macro_f1", "Macro F1", "precision and recall in one, mean of the classes"),
    ("mcc", "MCC", "agreement corrected for chance; 1 is perfect"),
    ("auroc", "AUROC", "how well classes are ranked; 0.5 is chance"),
    ("auprc", "Average precision", "AUPRC: precision over all thresholds"),
    ("loss", "Loss", "cross-entropy in nats; 0 is best"),
    ("brier", "Brier score", "squared error of the probabilities, 0 to 2; 0 is best"),
    ("ece", "ECE", f"calibration error ({BINS} bins); 0 is best"),
)
CLASS_COLUMNS = {
    "precision": "Precision", "recall": "Recall", "specificity": "Specificity", "npv": "NPV",
    "f1": "F1", "auroc": "AUROC",
}  # fmt: skip
_CALIBRATION = (
    ("ece", "ECE", f"mean difference of confidence and accuracy, {BINS} bins of equal width"),
    ("ece_mass", "ECE, equal mass", f"the same, {BINS} bins of as many images each"),
    ("brier", "Brier score", "squared error of the probabilities, 0 to 2"),
    ("loss", "Loss", "cross-entropy in nats"),
)
_CHECKS = {
    "ssim_head_random": "SSIM, last layers randomised",
    "ssim_all_random": "SSIM, all layers randomised",
    "deletion": "Deletion",
    "insertion": "Insertion",
    "outside_head": "Heat outside the head",
    "pointing_hits": "Hottest place in the lesion",
    "lesion_iou": "Overlap with the lesion (IoU)",
}
_CERTAINTY = percent(CERTAINTY).replace(".0", "")
_FLAGS = {
    "foreign": (
        "Foreign images",
        "Images unlike those of training are flagged; do not use the model's answer for them. "
        "How many foreign images are found is not measured.",
    ),
    "turned": (
        "Upside-down slices",
        "Slices that look upside down, as some viewers export them. About half of such slices "
        "are found. A share far above the target means that many images may be turned.",
    ),
}  # block of the summary -> title and what it means


def _entry(name: str, value: str, hint: str, interval: str = "") -> dict[str, str]:
    return {"name": name, "value": value, "interval": interval, "hint": hint}


def confusion(predictions: Predictions) -> dict[str, Any]:
    """Cells of K rows: counts, shares of the row, and shades from 0 to 10 in the style sheet."""
    counts = confusion_matrix(predictions)
    total = counts.sum(axis=1, keepdims=True)
    share = counts / np.where(total, total, np.nan)
    # Errors are few in a good model: the square root lets one among hundreds be seen.
    shade = np.where(np.eye(len(counts), dtype=bool), share, np.sqrt(share))
    shades = np.ceil(np.nan_to_num(shade) * 10).astype(int)
    return {"counts": counts.tolist(), "shares": share.tolist(), "shades": shades.tolist()}


def tiles(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """TILES, where a mean is not over all classes with how many it is over."""
    over, count = means_over(metrics["per_class"]), len(metrics["per_class"])
    few = {key: len(names) for key, names in over.items() if 0 < len(names) < count}
    return [
        (key, name, f"{hint}; over {few[key]} of {count} classes" if key in few else hint)
        for key, name, hint in TILES
    ]


def calibration_table(summary: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Rows before and after, and a sentence on the temperature. summary: calibration_summary."""
    if not summary:
        return None
    before, after, temperature = (summary[key] for key in ("before", "after", "temperature"))
    kinds = ("well calibrated", "overconfident", "underconfident")
    was = kinds[int(np.sign(temperature - 1))]
    said = f"Temperature {temperature:.3f}, fitted on validation only, where the model was {was}."
    rows = [
        {"name": name, "before": number(before[key]), "after": number(after[key]), "hint": hint}
        for key, name, hint in _CALIBRATION
    ]
    return {"said": f"{said} It changes no answer; 0 is best in every row.", "rows": rows}


def check_rows(checks: Mapping[str, Mapping[str, Any]] | None) -> list[dict[str, str]]:
    """Name, value, interval and hint of the checks of the heat maps."""
    return [
        _entry(
            _CHECKS[name],
            number(check["value"]),
            f"{check['meaning'].rstrip('.')}; mean of {check['n']:,} images.",
        )
        for name, check in (checks or {}).items()
    ]


def about_heatmaps(checks: Mapping[str, Mapping[str, Any]] | None) -> str:
    """A warning where maps are no better than a spot in the middle of the head, else empty.

    No better: the interval of the gain holds 0, or lies below it.
    """
    compared = {name: c for name, c in (checks or {}).items() if c.get("gain_ci")}
    known = {n: c for n, c in compared.items() if is_defined(c["gain_ci"][0]) or c["n"] == 1}
    weak = [
        n for n, c in known.items() if not (is_defined(c["gain_ci"][0]) and c["gain_ci"][0] > 0)
    ]
    if not weak:
        return ""
    against = "; ".join(
        f"{_in_sentence(n)} {known[n]['value']:.2f} against {known[n]['middle']:.2f}" for n in weak
    )
    said = (
        "Do not read a finding from these maps: they are not shown to be better than pointing at "
        f"the middle of every head ({against})."
    )
    better = [_in_sentence(name) for name in known if name not in weak]
    return f"{said} They are better than that by: {', '.join(better)}." if better else said


def _in_sentence(check: str) -> str:
    title = _CHECKS[check]
    return title[0].lower() + title[1:]


def decisions_section(evaluation: Evaluation) -> dict[str, Any] | None:
    """The sentences on what they were fitted on, and parts {title, said, rows}, those there are.

    Any block of the decision summary may be missing or None.
    """
    summary, patients = evaluation.decision_summary, evaluation.assessment.patients
    if not summary:
        return None
    parts = []
    if block := summary.get("tumor_call"):
        parts.append(_tumor_call(block))
    if block := summary.get("sets"):
        parts.append(_sets(block, patients))
    if block := summary.get("abstention"):
        parts.append(_abstention(block))
    for key, (title, said) in _FLAGS.items():
        if block := summary.get(key):
            hint = f"share of the images, n = {_n(block, 'n')}; target about "
            hint += f"{percent(block.get('target'))} at most, for images like those of validation"
            rows = [_row(block, "share", "Flagged", hint)]
            parts.append({"title": title, "said": said, "rows": rows})
    fitted = [*_fitted(summary, evaluation), about_fit(patients)]
    return {"fitted": [*filter(None, fitted)], "parts": parts}


def only_clean(evaluation: Evaluation) -> str:
    """Which images a section is of, where some are known from training; else empty."""
    trust = evaluation.assessment
    if not trust.count or trust.clean is None:
        return ""
    return (
        f"{trust.count:,} of the images evaluated here, or copies of them, were in training or "
        f"validation; the figures of this section are of the other {trust.clean['n']:,}."
    )


def _fitted(summary: Mapping[str, Any], evaluation: Evaluation) -> list[str]:
    on, known = summary["fitted_on"], evaluation.assessment.count
    counted = f"({on['n']:,} images, {on['groups']:,} groups)"
    said = [
        f"Fitted on validation images alone {counted}, on which the kept epoch was chosen too. "
        "A group is the images of one patient, or of one picture. Each threshold reaches its "
        "target there and may miss it on new images: compare the figures below with the targets."
    ]
    if evaluation.provenance.is_refit:
        said.append(
            "The model was trained again after that, on validation images too (train.refit); the "
            "thresholds are those of the model before, so that no guarantee holds for this one."
        )
    if evaluation.split in ("train", "val") or (known and evaluation.assessment.clean is None):
        said.append(
            "The images evaluated here, or copies of them, had a part in the training or the fit: "
            "the figures of this section are better than those of new images."
        )
    elif known is None:
        said.append("Whether training or validation held the images was not examined.")
    else:
        said.append(only_clean(evaluation))
    return said


def _tumor_call(block: Mapping[str, Any]) -> dict[str, Any]:
    target = percent(block.get("target"))
    said = "An image is called tumor when the summed probability of all tumor classes is at least "
    said += f"{number(block.get('threshold'), '.3g')}, chosen for a sensitivity of {target} on "
    said += "validation. The confusion matrix takes the most probable class instead; the two can "
    said += "differ for an image."
    whose = "stated" if block.get("prevalence_is_stated") else (
        "as in these images; in a clinic it is usually far lower, and PPV with it: "
        "bt-eval … prevalence=0.01 computes both for 1 %"
    )  # fmt: skip
    said += f" PPV and NPV hold at a prevalence of {percent(block.get('prevalence'))} ({whose})."
    rows = [
        _row(block, "sensitivity", "Sensitivity",
             f"tumor images called tumor, n = {_n(block, 'n_tumor')}; target {target}"
             + _missed(block, "sensitivity")),
        _row(block, "specificity", "Specificity",
             f"images without a tumor called no tumor, n = {_n(block, 'n_no_tumor')}"),
        _row(block, "ppv", "PPV", "images called tumor that show one"),
        _row(block, "npv", "NPV", "images called no tumor that show none"),
    ]  # fmt: skip
    return {"title": "Tumor or not", "said": said, "rows": rows}


def _sets(block: Mapping[str, Any], patients: KnownPatients) -> dict[str, Any]:
    target = percent(block.get("target"))
    new, several = "a new image", "images"
    if patients.trained.are_known:
        new, several = "an image of a new patient", "patients"
    said = "Instead of one answer, a list of the classes that it may be. "
    said += f"For {new} (or set of copies) the set holds the true class with a probability of "
    said += f"{target}, if new {several} are like those of validation. One class: a "
    said += "definite answer. Several: the model cannot decide between them. None: no class is "
    said += "probable enough; a person should look."
    hint = f"sets with the true class, every {patients.unit} counted once, n = "
    hint += f"{_n(block, 'groups')}; target {target}{_missed(block, 'coverage_groups')}"
    rows = [
        _row(block, "coverage_groups", "Coverage", hint),
        _row(block, "coverage", "Coverage of images",
             f"sets with the true class, n = {_n(block, 'n')}"),
        _row(block, "singletons", "One class", "share of images"),
        _row(block, "empty", "No class", "share of images"),
        _entry("Mean size", number(block.get("mean_size"), ".2f"), "classes in a set"),
    ]  # fmt: skip
    for name, row in (block.get("per_class") or {}).items():
        hint = f"sets of its images with the true class, n = {_n(row, 'n')}"
        rows.append(_row(row, "coverage", f"Coverage of {elide(name)}", hint))
    return {"title": "Conformal prediction sets", "said": said, "rows": rows}


def _abstention(block: Mapping[str, Any]) -> dict[str, Any]:
    fitted, rows = block["fitted"], []
    target = percent(fitted.get("target"))
    if fitted.get("confidence") is not None:
        said = "Take an answer only where the model gives it a probability of at least "
        said += f"{number(fitted['confidence'], '.3g')}, and let a person read the other images. "
        said += f"On validation images, with {_CERTAINTY} certainty, at most {target} of the "
        said += "answers given are then wrong. The last rows show other shares of answers."
        among = f"wrong ones of the {_n(fitted, 'n')} answers given; target {target} at most"
        among += _missed(fitted, "risk", at_most=True)
        rows = [
            _row(fitted, "share", "Answered", "share of images"),
            _row(fitted, "risk", "Wrong answers", among),
        ]
    else:
        said = f"On validation no confidence was high enough to show that at most {target} of the "
        said += "answers above it are wrong, so a person has to check every answer. The rows show "
        said += "how often the model is right on the images of which it is most confident."
    rows += [
        _row(row, "accuracy", f"{row.get('share', 1):.0%} answered".replace("%", " %"),
             f"accuracy of the {_n(row, 'n')} most confident images")
        for row in block.get("kept") or ()
    ]  # fmt: skip
    best = "share of wrong answers, averaged over leaving out none to nearly all images, the least "
    best += "sure first; 0 is best"
    rows.append(_entry("AURC", number(block.get("aurc")), best))
    return {"title": "When to leave it to a person (abstention)", "said": said, "rows": rows}


def _missed(block: Mapping[str, Any], key: str, *, at_most: bool = False) -> str:
    """What to add where the interval lies on the wrong side of the target."""
    pair, target = defined_pair(block, key), block.get("target")
    if target is None or pair is None:
        return ""
    return ": missed" if (pair[0] > target if at_most else pair[1] < target) else ""


def _row(block: Mapping[str, Any], key: str, name: str, hint: str) -> dict[str, str]:
    pair = defined_pair(block, key)
    return _entry(name, percent(block.get(key)), hint, percents(pair) if pair else "")


def _n(block: Mapping[str, Any], key: str) -> str:
    return f"{block[key]:,}" if block.get(key) is not None else "–"
