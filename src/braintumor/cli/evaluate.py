"""One evaluation: predictions, what they are worth, Grad-CAM, and the evidence folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from braintumor.cli.console import describe_scores, log
from braintumor.data.blank import RIM_SHARE, blank_centre, blank_rim
from braintumor.data.dataset import Dataset
from braintumor.data.fingerprint import phashes
from braintumor.data.loader import load_split
from braintumor.data.split import seen_in_training
from braintumor.evaluation.cam import cam_heatmaps
from braintumor.evaluation.contamination import find_contaminated
from braintumor.evaluation.evidence import write_evidence
from braintumor.evaluation.floors import measure_floors
from braintumor.evaluation.plots.examples import choose_examples
from braintumor.evaluation.predict import predict
from braintumor.models.classifier import Classifier
from braintumor.records import Predictions
from braintumor.runs.checkpoint import Card

# N images of the data set, M images evaluated


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known beside the predictions. contaminated: bool (M,), or None when unknown.

    floors: as measure_floors gives them, or None where they say nothing.
    """

    contaminated: np.ndarray | None
    floors: pd.DataFrame | None


def truth_of_own(data: Dataset, split: str, *, refit: bool) -> Truth:
    """For a split of the data set that the model was trained on, by its groups.

    split "all": training and validation images count as seen. split "train": nothing is said,
    since all of it is what the model was trained on.
    refit: the model was trained on val too, and so are the floors.
    """
    manifest = data.manifest
    if refit:
        manifest = manifest.assign(split=manifest["split"].replace("val", "train"))
    if split == "train":
        return Truth(None, None)
    if split == "all":
        is_seen = manifest["split"].isin(("train", "val")).to_numpy(copy=True)
        for part in ("test", "excluded"):
            rows = np.flatnonzero(manifest["split"] == part)
            is_seen[rows] = seen_in_training(manifest, part)
        return Truth(is_seen, None)
    floors = measure_floors(data.pixels, manifest, data.classes, split)
    return Truth(seen_in_training(manifest, split), floors)


def truth_of_other(data: Dataset, rows: np.ndarray, card: Card, radius: int) -> Truth:
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
    return Truth(contaminated, None)


def evaluate(
    model: Classifier,
    classes: tuple[str, ...],
    data: Dataset,
    labels: np.ndarray,
    rows: np.ndarray,
    folder: Path,
    *,
    split: str,
    truth: Truth,
    about: Mapping[str, Any],
    history: pd.DataFrame | None,
    pictures: Mapping[str, Path],
    device: torch.device,
    dtype: torch.dtype,
    batch_size: int,
    views: int,
    examples: int,
) -> dict[str, Any]:
    """Write eval/<split>/ for the chosen rows of the data; gives the content of metrics.json.

    labels: int (N,) of the whole data set.  rows: int (M,), the images of this evaluation.
    truth: of these images, from `truth_of_own` or `truth_of_other`.
    """
    paths = tuple(data.manifest["path"].iloc[rows])

    def answers(pixels: np.ndarray, views: int) -> Predictions:
        chosen = load_split(pixels, labels[rows], paths, np.arange(len(rows)), device)
        return predict(model, chosen, classes, batch_size=batch_size, dtype=dtype, views=views)

    images = data.pixels[rows]
    predictions = answers(images, views)
    shown = np.asarray(choose_examples(predictions, examples), dtype=np.int64)
    heatmaps = cam_heatmaps(
        model, images[shown], predictions.predicted[shown], device, batch_size=16
    )
    metrics = write_evidence(
        folder,
        predictions,
        split=split,
        about=about,
        images=images,
        heatmaps=dict(zip(shown.tolist(), heatmaps, strict=True)),
        history=history,
        pictures=pictures,
        contaminated=truth.contaminated,
        floors=truth.floors,
        shortcuts={
            "rim blanked": answers(blank_rim(images, RIM_SHARE), 1),
            "centre blanked": answers(blank_centre(images, RIM_SHARE), 1),
        },
    )
    describe_scores(metrics, classes)
    describe_truth(metrics)
    log.info("report: %s", folder / "report.html")
    return metrics


def describe_truth(metrics: Mapping[str, Any]) -> None:
    """The three figures in one line: all images, those without a copy in training, best floor."""
    parts = [f"all {metrics['all']['accuracy']:.3f} (n={metrics['n']})"]
    clean, known = metrics["clean"], metrics["contaminated"]
    if clean:
        parts.append(f"without copies in training {clean['accuracy']:.3f} (n={clean['n']})")
    elif known:
        parts.append("without copies in training – (n=0)")
    if metrics["floor"]:
        floor = metrics["floor"]
        parts.append(f"best floor {floor['accuracy']:.3f} ({floor['name']})")
    log.info("accuracy: %s", " | ".join(parts))
    if known:
        log.warning("  %d of %d images are known to the model from training", known, metrics["n"])
