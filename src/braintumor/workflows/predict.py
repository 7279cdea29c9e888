"""bt-predict: classify pictures that have no labels."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from braintumor.errors import DataError
from braintumor.evaluation.provenance import data_title
from braintumor.files import write_atomic
from braintumor.privacy import without_names
from braintumor.progress import bar, waiting
from braintumor.report import predictions as pages
from braintumor.report.plots.pictures import overlay
from braintumor.report.plots.style import png_of
from braintumor.report.texts import rate
from braintumor.runs.checkpoint import find_checkpoint
from braintumor.runs.ensemble import read_model_card
from braintumor.runs.kinds import PREDICTIONS, EvaluationFile, PredictionsFile, overlay_file
from braintumor.runs.ownership import remove_own
from braintumor.runs.predictions_table import unlabelled_table, write_table
from braintumor.runtime import in_threads
from braintumor.statistics.decisions import Decisions
from braintumor.workflows.arguments import PredictArguments, Request
from braintumor.workflows.console import log
from braintumor.workflows.describe import warn_of_formulas
from braintumor.workflows.outputs import check_output, held_output, of_now
from braintumor.workflows.pictures import PictureBatches, stacked

if TYPE_CHECKING:
    from braintumor.workflows.load import Classified, LoadedModel

_LARGEST_PX = 1024  # longest side of a picture in cam/: as the picture is, but for huge ones
_BATCH = 16  # pictures between two moves of the bar, and whose maps are held at once
_LISTED = 20  # answers on the console


def predict(request: Request) -> pd.DataFrame:
    """Write predictions.csv, predictions.html and heat maps of one picture or of many.

    request: the settings of configs/predict.yaml.
    Gives the table; its attrs["folder"] is where it lies.
    Raises ConfigError, DataError, CheckpointError.
    """
    asked = request.arguments(PredictArguments)
    check_output(request, PREDICTIONS, "predictions")
    path = find_checkpoint(asked.ckpt)
    if not asked.input:
        raise DataError("no pictures given; name a file, a folder or an archive with input=PATH")
    given = [*map(str, asked.input)] if isinstance(asked.input, list) else asked.input
    card = read_model_card(path)
    pictures = PictureBatches(given, card, asked.batch_size, skip_unreadable=asked.skip_unreadable)
    pictures.begin()
    classifier = _load(path, asked)
    answers = classifier.classify(pictures)
    table = unlabelled_table(answers.predictions, answers.columns)
    decisions = fitted.decisions if (fitted := classifier.postprocessing) else None
    mapped = pages.doubtful(table, max(asked.overlays, 0))
    table = table.assign(doubt=pages.doubt_of(table), overlay="")
    table.loc[mapped, "overlay"] = [overlay_file(i) for i in mapped]
    with held_output(request, PREDICTIONS, of_now("predictions")) as folder:
        remove_own(folder, PREDICTIONS)
        # names that were given whole, as a list of files is
        written = table.assign(path=without_names([*table["path"]]))
        unmapped = [i for i in pages.doubtful(table, pages.MOST_PICTURES) if i not in set(mapped)]
        try:
            plain = _plain(pictures, unmapped)
            overlaid = _write_overlays(folder, classifier, pictures, mapped, answers)
        except DataError:  # one was changed meanwhile: nothing is to be taken for its answer
            remove_own(folder, PREDICTIONS)
            raise
        write_table(folder, written)
        page = pages.PredictionsPage(
            table=written,
            illustrations=plain | overlaid,
            model=card.model_name,
            data=data_title(card.data_name, card.settings["data"]),
            cam=card.settings["eval"]["cam"],
            decisions=decisions,
            unreadable=pictures.unreadable,
        )
        write_atomic(folder / PredictionsFile.PAGE, pages.render_predictions(page))
        _write_unreadable(folder, pictures)
    _describe(table, decisions)
    if pictures.unreadable:
        log.info("not read: %s", folder / PredictionsFile.UNREADABLE)
    log.info("predictions: %s", folder / EvaluationFile.PREDICTIONS)
    log.info("page: %s", folder / PredictionsFile.PAGE)
    table.attrs["folder"] = str(folder)
    return table


@waiting("loading the model")
def _load(path: Path, asked: PredictArguments) -> LoadedModel:
    from braintumor.workflows.load import Use, load  # torch, once there are pictures

    return load(path, Use(asked.device, asked.precision, asked.batch_size, asked.views))


def _write_unreadable(folder: Path, pictures: PictureBatches) -> None:
    if pictures.unreadable:
        left_out = pd.DataFrame(without_names(pictures.unreadable), columns=["path", "reason"])
        text = left_out.to_csv(index=False, quoting=csv.QUOTE_ALL)
        write_atomic(folder / PredictionsFile.UNREADABLE, str(text))


def _describe(table: pd.DataFrame, decisions: Decisions | None) -> None:
    """A line a picture: the answer, how sure it is, and what is to be said of it."""
    is_undecided = False
    for row in table.head(_LISTED).to_dict("records"):
        pred, notes = row["pred"], pages.notes_of(row, decisions)
        said = "".join(f"  {note}" for note in notes)
        log.info("%-40s %-14s %s%s", row["path"], pred, rate(row[f"prob_{pred}"]), said)
        is_undecided = is_undecided or any(note.startswith(pages.UNDECIDED) for note in notes)
    if len(table) > _LISTED:
        log.info("… and %d more", len(table) - _LISTED)
    if is_undecided:
        log.info(
            "undecided: the most probable class and the threshold for all tumors together "
            "disagree; a person should look"
        )
    warn_of_formulas(table["path"])


def _plain(pictures: PictureBatches, rows: Sequence[int]) -> dict[int, pages.Illustration]:
    """What the page shows of those without a heat map."""

    def small(row: int) -> pages.Illustration:
        return pages.Illustration(pages.shrink(pictures.originals[row](), pages.PICTURE_PX), None)

    read, what = in_threads(small, rows), "reading the pictures of the page"
    shown = bar(what, read, total=len(rows), unit="pictures")
    return dict(zip(rows, shown, strict=True))


def _write_overlays(
    folder: Path,
    model: LoadedModel,
    pictures: PictureBatches,
    mapped: Sequence[int],
    answers: Classified,
) -> dict[int, pages.Illustration]:
    """Write cam/ of the rows `mapped`, and give what the page shows of the first of them."""
    from braintumor.workflows.load import at_own_size  # torch

    made: dict[int, pages.Illustration] = {}

    def decoded(row: int) -> tuple[np.ndarray, np.ndarray]:
        picture, square = pictures.square(pictures.originals[row])
        return pages.shrink(picture, _LARGEST_PX), square

    coming = in_threads(decoded, mapped, _BATCH)
    with bar("drawing heat maps", total=len(mapped), unit="pictures") as progress:
        for start in range(0, len(mapped), _BATCH):
            rows = mapped[start : start + _BATCH]
            large, squares = zip(*itertools.islice(coming, len(rows)), strict=True)
            pixels = stacked(squares, in_colour=answers.in_colour)
            maps = model.heat_cells(pixels, answers.predictions.predicted[rows])
            for i, picture, cells in zip(rows, large, maps, strict=True):
                heat = at_own_size(cells, picture.shape[:2], model.card.fit)
                write_atomic(folder / overlay_file(i), png_of(overlay(picture, heat)))
                if len(made) < pages.MOST_PICTURES:
                    size = pages.shrunk(picture.shape, pages.HEAT_PX)
                    heat = at_own_size(cells, size, model.card.fit)
                    small = pages.shrink(picture, pages.PICTURE_PX)
                    made[i] = pages.Illustration(small, heat, cells.shape)
            progress.update(len(rows))
    return made
