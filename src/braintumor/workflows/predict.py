"""bt-predict: classify pictures that have no labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from PIL import Image

from braintumor.errors import DataError
from braintumor.report.plots.pictures import overlay
from braintumor.runs.checkpoint import find_checkpoint, read_card
from braintumor.runs.folder import PREDICTIONS, EvaluationFile, overlay_file
from braintumor.runs.ownership import remove_own
from braintumor.runs.predictions_table import unlabelled_table, write_table
from braintumor.statistics.decisions import NO_TUMOR
from braintumor.workflows.arguments import PredictArguments, Request
from braintumor.workflows.console import log
from braintumor.workflows.outputs import check_output, held_output, of_now
from braintumor.workflows.pictures import read_pictures

if TYPE_CHECKING:
    from braintumor.workflows.load import LoadedModel

_NOTES = (  # column of predictions.csv, its value, what is said of such a picture
    ("foreign", True, "  foreign: not like the training images"),
    ("upside_down", True, "  looks upside down"),
    ("answered", False, "  not sure enough: leave it to a person"),
)
_CALLED = {True: "  called tumor", False: "  not called tumor"}


def predict(request: Request) -> pd.DataFrame:
    """Write predictions.csv and heat-map overlays for a picture or a folder of pictures.

    request: the settings of configs/predict.yaml.
    Gives the table; its attrs["folder"] is where it lies.
    Raises ConfigError, DataError, CheckpointError.
    """
    asked = request.arguments(PredictArguments)
    check_output(request, PREDICTIONS)
    path = find_checkpoint(asked.ckpt)
    if not asked.input:
        raise DataError("no pictures given; name a file, a folder or an archive with input=PATH")
    given = [*map(str, asked.input)] if isinstance(asked.input, list) else asked.input
    pictures = read_pictures(given, read_card(path), skip_unreadable=asked.skip_unreadable)
    from braintumor.workflows.load import Use, load  # torch, once there are pictures

    how = Use(asked.device, asked.precision, asked.batch_size, asked.views)
    classifier = load(path, how)
    predictions, decided = classifier.classify(pictures)
    shown = min(asked.overlays, len(predictions))
    overlays = [overlay_file(i) if i < shown else "" for i in range(len(predictions))]
    table = unlabelled_table(predictions, {**decided, "overlay": overlays})
    with held_output(request, PREDICTIONS, of_now("predictions")) as folder:
        remove_own(folder, PREDICTIONS)
        write_table(folder, table)
        _write_overlays(folder, classifier, pictures.pixels, predictions.predicted[:shown])
    for row in table.head(20).to_dict("records"):
        _describe(row)
    if len(table) > 20:
        log.info("… and %d more", len(table) - 20)
    log.info("predictions: %s", folder / EvaluationFile.PREDICTIONS)
    table.attrs["folder"] = str(folder)
    return table


def _describe(row: Mapping[Any, Any]) -> None:
    """One line: the answer, how sure it is, and what is to be said of the picture."""
    pred, probability = row["pred"], row[f"prob_{row['pred']}"]
    notes = [said for name, value, said in _NOTES if row.get(name) == value]
    # the threshold is named where it does not say what the most probable class says
    called = row.get("is_tumor")
    if called is not None and (pred != NO_TUMOR) != called:
        notes.insert(0, _CALLED[called])
    log.info("%-40s %-14s %.3f%s", row["path"], pred, probability, "".join(notes))


def _write_overlays(folder: Path, model: LoadedModel, pixels: Any, predicted: Any) -> None:
    """Of the first pictures, as many as `predicted` has."""
    if not len(predicted):
        return
    (folder / "cam").mkdir(exist_ok=True)
    heatmaps = model.heatmaps_at_input_size(pixels[: len(predicted)], predicted)
    for i, heatmap in enumerate(heatmaps):
        Image.fromarray(overlay(pixels[i], heatmap)).save(folder / overlay_file(i))
