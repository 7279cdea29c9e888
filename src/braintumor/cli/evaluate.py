"""One evaluation: predictions, pictures with Grad-CAM, and the evidence folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from braintumor.cli.console import describe_scores, log
from braintumor.data.dataset import Dataset
from braintumor.data.loader import load_split
from braintumor.evaluation.cam import cam_heatmaps
from braintumor.evaluation.evidence import write_evidence
from braintumor.evaluation.plots.examples import choose_examples
from braintumor.evaluation.predict import predict
from braintumor.models.classifier import Classifier


def evaluate(
    model: Classifier,
    classes: tuple[str, ...],
    data: Dataset,
    labels: np.ndarray,
    rows: np.ndarray,
    folder: Path,
    *,
    split: str,
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
    """
    paths = tuple(data.manifest["path"])
    chosen = load_split(data.pixels, labels, paths, rows, device)
    predictions = predict(model, chosen, classes, batch_size=batch_size, dtype=dtype, views=views)
    images = data.pixels[rows]
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
    )
    describe_scores(metrics, classes)
    log.info("report: %s", folder / "report.html")
    return metrics
