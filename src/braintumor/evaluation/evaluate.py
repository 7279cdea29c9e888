"""A model and images in, an Evaluation out: predictions, what they are worth, and heat maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braintumor.data.dataset import Dataset
from braintumor.data.host_images import ImageSplit, load_split
from braintumor.data.images import occlude_centre, occlude_rim
from braintumor.evaluation.common_classes import heat_targets, in_classes, in_two
from braintumor.evaluation.heatmap_checks import check_explanations
from braintumor.evaluation.heatmaps import check_method, device_of, enlarge, heat_cells
from braintumor.evaluation.postprocessing import PostProcessing
from braintumor.evaluation.predict import EvalSettings, Inference, predict, predict_with_features
from braintumor.evaluation.provenance import Provenance
from braintumor.evaluation.record import Evaluation, Explanations, Leakage, choose_examples, measure
from braintumor.models.ensemble import Network
from braintumor.records import Predictions
from braintumor.statistics.confidence import calibration_figures
from braintumor.statistics.decisions import Decided, Decisions

# N images of the data set, M images evaluated


@dataclass(frozen=True, eq=False)
class EvaluatedImages:
    """Which images of a data set are evaluated, and what is known of them.

    labels: int (N,) of the whole data set.  rows: int (M,).  split: its name.
    classes: of the labels, where they are not those of the model: the answers are joined to them.
    """

    data: Dataset
    labels: np.ndarray
    rows: np.ndarray
    split: str
    leakage: Leakage
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class EvalOptions:
    """How an evaluation is done. prevalence: for PPV and NPV; None: as in the images."""

    inference: Inference
    settings: EvalSettings
    prevalence: float | None


def evaluate(
    model: Network,
    classes: tuple[str, ...],
    images: EvaluatedImages,
    options: EvalOptions,
    fitted: PostProcessing | None,
    provenance: Provenance,
) -> Evaluation:
    """Evaluate the chosen images.

    classes: of the model, in the order of its logits.
    fitted: what the checkpoint carries; None where its training did not end, and of an ensemble.
    Raises ConfigError when the model has nothing that eval.cam could show.
    """
    settings, wanted = options.settings, images.classes
    pixels = images.data.pixels[images.rows]
    check_method(model, settings.cam)
    names = [wanted[label] for label in images.labels[images.rows]] if wanted else []
    with model.fused():  # once for the answers, and for the checks of the heat maps
        own = _answer(model, classes, images, pixels, options, fitted)
        shown = own.joined(names, wanted) if wanted else own
        targets = heat_targets(own.predictions, shown.predictions)
        explanations = explain(model, shown.predictions, images, settings, targets)
    found = measure(
        shown.predictions, images.split, images.leakage, shown.occluded, shown.decisions,
        shown.decided, options.prevalence,
    )  # fmt: skip
    if wanted:
        plain = dataclasses.replace(own.predictions, temperature=1.0)
        sure_from = own.decisions.confidence if own.decisions else None
        found = as_fitted(found, own.predictions, in_classes(plain, names, wanted), sure_from)
    return dataclasses.replace(
        found,
        explanations=explanations,
        images=pixels,
        examples=settings.examples,
        wrong_pictures=settings.wrong_pictures,
        groups=images.data.manifest["group"].iloc[images.rows].fillna("").to_numpy(dtype=object),
        provenance=provenance,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Answers:
    """What the model says of the images, as they are and with a part of each blanked."""

    predictions: Predictions
    occluded: dict[str, Predictions]
    decisions: Decisions | None
    decided: Decided | None

    def joined(self, names: Sequence[str], wanted: tuple[str, ...]) -> _Answers:
        """In the classes of the data. names: M, of the true ones."""
        own, decisions, decided = self.predictions, self.decisions, self.decided
        occluded = {
            name: in_classes(dataclasses.replace(p, temperature=own.temperature), names, wanted)
            for name, p in self.occluded.items()
        }
        if decisions is not None and decided is not None:
            decisions, decided = in_two(decisions, decided, own.classes)
        return _Answers(in_classes(own, names, wanted), occluded, decisions, decided)


def _answer(
    model: Network,
    classes: tuple[str, ...],
    images: EvaluatedImages,
    pixels: np.ndarray,
    options: EvalOptions,
    fitted: PostProcessing | None,
) -> _Answers:
    """pixels: of the rows of `images`."""
    labels, how = images.labels, options.inference
    paths, device = tuple(images.data.manifest["path"].iloc[images.rows]), device_of(model)

    def on_device(pixels: np.ndarray) -> ImageSplit:
        return load_split(pixels, labels[images.rows], paths, np.arange(len(paths)), device)

    predictions, features = predict_with_features(
        model, on_device(pixels), classes, how, options.settings.views
    )
    decisions = decided = None
    if fitted:
        decisions = fitted.decisions
        predictions = dataclasses.replace(predictions, temperature=decisions.temperature)
        decided = fitted.decide(predictions, features)
    occluded = {
        name: predict(model, on_device(occlude(pixels)), classes, how)
        for name, occlude in (("rim blanked", occlude_rim), ("centre blanked", occlude_centre))
    }
    return _Answers(predictions, occluded, decisions, decided)


def as_fitted(
    found: Evaluation, own: Predictions, unscaled: Predictions, sure_from: float | None
) -> Evaluation:
    """Of joined classes: temperature and confidence as they were fitted, on the model's own.

    own: answers in the model's classes.  unscaled: the joined ones, without the temperature.
    """
    if not (summary := found.decision_summary):
        return found
    summary["fitted_on"]["temperature"] = own.temperature
    summary["abstention"]["fitted"]["confidence"] = sure_from
    calibration = {
        "temperature": own.temperature,
        "before": calibration_figures(unscaled.subset(found.unseen)),
        "after": calibration_figures(found.predictions.subset(found.unseen)),
    }
    return dataclasses.replace(found, calibration=calibration)


def explain(
    model: Network,
    predictions: Predictions,
    images: EvaluatedImages,
    settings: EvalSettings,
    targets: np.ndarray,
) -> Explanations:
    """Heat maps of the images most worth a look, and numbers on how far to trust them.

    targets: int (M,), the class of the model that each map is of.
    """
    # of more images the right ones are others, and no example should lack its map
    counts = (settings.heatmaps, settings.examples)
    chosen = dict.fromkeys(i for count in counts for i in choose_examples(predictions, count))
    if not chosen:
        return Explanations(settings.cam)
    shown = np.array(list(chosen), dtype=np.int64)
    data, rows = images.data, images.rows[shown]
    pixels, targets = data.pixels[rows], targets[shown]
    paths, lesion = data.manifest["path"].iloc[rows], data.lesion_mask
    masks = np.stack([lesion(path) for path in paths]) if lesion else None
    how = (settings.cam, settings.cam_layer)
    cells = heat_cells(model, pixels, targets, *how)
    heatmaps = enlarge(cells, pixels.shape[1:3])
    checks = check_explanations(model, pixels, targets, heatmaps, *how, masks)
    return Explanations(settings.cam, dict(zip(shown.tolist(), cells, strict=True)), checks)
