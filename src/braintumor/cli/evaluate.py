"""One evaluation: predictions, what they are worth, Grad-CAM, and the evidence folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from braintumor.cli.deciding import PostProcessing
from braintumor.data.dataset import Dataset
from braintumor.data.fingerprints import phashes
from braintumor.data.images import RIM_SHARE, occlude_centre, occlude_rim
from braintumor.data.manifest import group_numbers
from braintumor.data.split import seen_in_training
from braintumor.data.tensors import ImageSplit, load_split
from braintumor.evaluation.baseline_cache import cached_baselines
from braintumor.evaluation.contamination import find_contaminated
from braintumor.evaluation.explain.checks import check_explanations
from braintumor.evaluation.explain.heatmaps import cam_heatmaps, check_method
from braintumor.evaluation.patients import (
    KnownPatients,
    about_patients,
    patients_elsewhere,
    patients_within,
)
from braintumor.evaluation.predict import EvalSettings, predict, predict_with_features
from braintumor.models.classifier import Classifier
from braintumor.records import Predictions
from braintumor.report.plots.pictures import choose_examples
from braintumor.report.write import write_evaluation
from braintumor.runs.checkpoint import Card
from braintumor.workflows.console import describe_scores, log

# N images of the data set, M images evaluated

_CAM_BATCH = 16


@dataclass(frozen=True, eq=False)
class Leakage:
    """What is known beside the predictions. contaminated: bool (M,), or None when unknown.

    floors: as known_floors gives them, or None where they say nothing.
    """

    contaminated: np.ndarray | None
    floors: pd.DataFrame | None
    patients: KnownPatients


def leakage_by_groups(data: Dataset, split: str, *, refit: bool) -> Leakage:
    """For a split of the data set that the model was trained on, by its groups.

    split "all": training and validation images count as seen. split "train": nothing is said,
    since all of it is what the model was trained on.
    refit: the model was trained on val too, and so are the floors.
    """
    manifest = data.manifest
    is_asked = manifest["split"].eq(split) | (split == "all")
    patients = patients_within(manifest, is_asked)
    if refit:
        manifest = manifest.assign(split=manifest["split"].replace("val", "train"))
    if split == "train":
        return Leakage(None, None, patients)
    if split == "all":
        is_seen = manifest["split"].isin(("train", "val")).to_numpy(copy=True)
        for part in ("test", "excluded"):
            rows = np.flatnonzero(manifest["split"] == part)
            is_seen[rows] = seen_in_training(manifest, part)
        return Leakage(is_seen, None, patients)
    floors = cached_baselines(data.pixels, manifest, data.classes, split)
    return Leakage(seen_in_training(manifest, split), floors, patients)


def leakage_by_hashes(data: Dataset, rows: np.ndarray, card: Card, radius: int) -> Leakage:
    """For the chosen rows of any other data set, by the hashes on the card.

    rows: int (M,).  radius: bits, see find_contaminated.
    """
    contaminated = find_contaminated(
        data.manifest["sha256"].iloc[rows].to_numpy(),
        data.phashes[rows],
        phashes(data.thumbnails[rows][:, :, ::-1]),
        card.training_hashes,
        card.training_phashes,
        radius,
    )
    return Leakage(contaminated, None, patients_elsewhere(data.manifest.iloc[rows], card.patients))


@dataclass(frozen=True)
class Options:
    """How an evaluation is done. prevalence: for PPV and NPV; None: as in the images.

    keep: what the backbone gives is kept for other runs, see Readout.
    """

    device: torch.device
    dtype: torch.dtype
    batch_size: int
    prevalence: float | None
    settings: EvalSettings
    keep: bool


def evaluate(
    model: Classifier,
    classes: tuple[str, ...],
    data: Dataset,
    labels: np.ndarray,
    rows: np.ndarray,
    folder: Path,
    *,
    split: str,
    truth: Leakage,
    about: Mapping[str, Any],
    history: pd.DataFrame | None,
    pictures: Mapping[str, Path],
    fitted: PostProcessing | None,
    options: Options,
) -> dict[str, Any]:
    """Write eval/<split>/ for the chosen rows of the data; gives the content of metrics.json.

    labels: int (N,) of the whole data set.  rows: int (M,), the images of this evaluation.
    truth: of these images, from `leakage_by_groups` or `leakage_by_hashes`.
    fitted: what the checkpoint carries; None for one of an older version.
    Raises ConfigError when the model has nothing that eval.cam could show.
    """
    check_method(model, options.settings.cam)
    paths = tuple(data.manifest["path"].iloc[rows])
    device = options.device
    how: dict[str, Any] = {
        "batch_size": options.batch_size,
        "dtype": options.dtype,
        "keep": options.keep,
    }

    def split_of(pixels: np.ndarray) -> ImageSplit:
        return load_split(pixels, labels[rows], paths, np.arange(len(rows)), device)

    def blanked(pixels: np.ndarray) -> Predictions:
        return predict(model, split_of(pixels), classes, **how)

    images = data.pixels[rows]
    predictions, features = predict_with_features(
        model, split_of(images), classes, views=options.settings.views, **how
    )
    if fitted:
        temperature = fitted.decisions.temperature
        predictions = dataclasses.replace(predictions, temperature=temperature)
    heatmaps, checks = _explained(model, predictions, data, rows, device, options.settings)
    metrics = write_evaluation(
        folder,
        predictions,
        split=split,
        about={**about, "heat maps": options.settings.cam} if heatmaps else about,
        images=images,
        heatmaps=heatmaps,
        history=history,
        pictures=pictures,
        contaminated=truth.contaminated,
        patients=truth.patients,
        floors=truth.floors,
        shortcuts={
            "rim blanked": blanked(occlude_rim(images, RIM_SHARE)),
            "centre blanked": blanked(occlude_centre(images, RIM_SHARE)),
        },
        groups=group_numbers(data.manifest["group"].iloc[rows]),
        decisions=fitted.decisions if fitted else None,
        **(fitted.scores(features) if fitted else {}),
        prevalence=options.prevalence,
        checks=checks,
        examples=options.settings.examples,
    )
    describe_scores(metrics, classes)
    describe_truth(metrics)
    if said := about_patients(truth.patients):
        log.info("  %s", said)
    log.info("report: %s", folder / "report.html")
    return metrics


def _explained(
    model: Classifier,
    predictions: Predictions,
    data: Dataset,
    rows: np.ndarray,
    device: torch.device,
    settings: EvalSettings,
) -> tuple[dict[int, np.ndarray], dict[str, Any] | None]:
    """Heat maps of the most telling images, and numbers on how far to trust them.

    rows: int (M,), those of the data that the predictions are of.
    """
    # of more images the right ones are others, and no example should lack its map
    counts = (settings.heatmaps, settings.examples)
    chosen = dict.fromkeys(i for count in counts for i in choose_examples(predictions, count))
    shown = np.array(list(chosen), dtype=np.int64)
    if not len(shown):
        return {}, None
    some, targets = data.pixels[rows[shown]], predictions.predicted[shown]
    masks = None
    if data.lesion_mask:
        paths = data.manifest["path"].iloc[rows[shown]]
        masks = np.stack([data.lesion_mask(path) for path in paths])
    how = (device, _CAM_BATCH, settings.cam, settings.cam_layer)
    heatmaps = cam_heatmaps(model, some, targets, *how)
    checks = check_explanations(model, some, targets, heatmaps, *how, masks=masks)
    return dict(zip(shown.tolist(), heatmaps, strict=True)), checks


def describe_truth(metrics: Mapping[str, Any]) -> None:
    """Three figures in one line: all images, those without a copy in training, best floor."""
    parts = [f"all {_with_interval(metrics['all'])} (n={metrics['n']})"]
    clean, known = metrics["clean"], metrics["contaminated"]
    if clean:
        parts.append(f"without copies in training {_with_interval(clean)} (n={clean['n']})")
    elif known:
        parts.append("without copies in training – (n=0)")
    if metrics["floor"]:
        floor = metrics["floor"]
        parts.append(f"best floor {floor['accuracy']:.3f} ({floor['name']})")
    log.info("accuracy: %s", " | ".join(parts))
    if known:
        log.warning("  %d of %d images are known to the model from training", known, metrics["n"])


def _with_interval(figures: Mapping[str, Any]) -> str:
    """0.964 [0.953, 0.973]: accuracy and its interval of 95 %."""
    interval = figures["accuracy_ci"]
    limits = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return f"{figures['accuracy']:.3f}{limits}"
