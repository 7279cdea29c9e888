"""A trained model for use: pictures in, a table of answers or a heat map out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch

from braintumor.config import typed
from braintumor.data.host_images import load_split
from braintumor.errors import DataError
from braintumor.evaluation.heatmaps import device_of, heat_cells
from braintumor.evaluation.postprocessing import PostProcessing, load_postprocessing
from braintumor.evaluation.predict import Inference, predict_with_features
from braintumor.models.ensemble import Network
from braintumor.ranges import BatchSize, Views
from braintumor.records import Predictions
from braintumor.runs.checkpoint import Card, find_checkpoint
from braintumor.runs.ensemble import load_network
from braintumor.runs.predictions_table import unlabelled_table
from braintumor.runtime import Precision, choose_device, choose_precision, configure_torch
from braintumor.statistics.decisions import columns_of, decide
from braintumor.workflows.console import log
from braintumor.workflows.found_pictures import Picture
from braintumor.workflows.pictures import PictureBatches, stacked

# N pictures, S side of the square that the model sees, h w a picture's own size


@dataclass(frozen=True)
class Use:
    """How answers are computed; as `braintumor.load` says it."""

    device: str | int = "auto"  # a number is answered by choose_device
    precision: Precision | None = None
    batch_size: BatchSize = 64
    views: Views | None = None


def load(path: str | Path, how: Use | None = None) -> LoadedModel:
    """The model of a run folder, or of its best.safetensors; of folds or seeds their ensemble.

    Raises CheckpointError when there is none or it is damaged.
    """
    how, path = typed(Use, vars(how or Use()), ""), find_checkpoint(path)
    device, precision = choose_device(how.device), how.precision or "fp32"
    dtype = choose_precision(precision, device)
    configure_torch(device, precision)
    model, card = load_network(path, device)
    postprocessing = load_postprocessing(path, card)
    if postprocessing and (dtype != torch.float32 or precision == "tf32"):
        log.warning("precision=%s, but temperature and thresholds were fitted in fp32", precision)
    return LoadedModel(model, card, postprocessing, how, dtype)


class Classified(NamedTuple):
    """Predictions, whose labels say nothing; columns of the decisions; whether any is coloured."""

    predictions: Predictions
    columns: dict[str, Any]
    in_colour: bool


class _Answer(NamedTuple):
    """To a batch. scores: as PostProcessing gives them; None where nothing was fitted."""

    logits: np.ndarray
    scores: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A trained network with its card and what validation fitted for it."""

    network: Network
    card: Card
    postprocessing: PostProcessing | None
    how: Use
    dtype: torch.dtype

    def __repr__(self) -> str:
        card = self.card
        about = f"{card.model_name} of {card.data_name}, {card.image_size} px"
        return f"{about}: {', '.join(card.classes)}"

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the probabilities."""
        return self.card.classes

    def predict(
        self, pictures: Picture | Sequence[Picture], *, skip_unreadable: bool = False
    ) -> pd.DataFrame:
        """A row a picture: path, pred, prob_<class>, and the decisions, as in predictions.csv.

        pictures: one or several paths of files or folders, Pillow images, or arrays of uint8 or
            of floats in [0, 1] or [0, 255], (h, w) grey or (h, w, 3) colour.
        Raises DataError on pictures that cannot be read, or whose scale is not clear.
        """
        read = PictureBatches(
            pictures, self.card, self.how.batch_size, skip_unreadable=skip_unreadable
        )
        return unlabelled_table(*self.classify(read)[:2])

    def classify(self, pictures: PictureBatches) -> Classified:
        """Answers to all of them, computed while the next ones are decoded.

        Raises DataError as the batches do.
        """
        answers: list[_Answer] = []
        before_colour = 0  # batches that were answered as grey pictures
        with self.network.fused():
            for squares in pictures:
                if before_colour == len(answers) and all(p.ndim == 2 for p in squares):
                    before_colour += 1
                in_colour = before_colour <= len(answers)
                names = pictures.names_of(len(answers))
                answers.append(self._answer(names, stacked(squares, in_colour=in_colour)))
            if before_colour < len(answers):
                # to the last bit as if all had been read first, whatever their order
                for number in range(before_colour):
                    pixels = stacked(pictures.again(number), in_colour=True)
                    answers[number] = self._answer(pictures.names_of(number), pixels)
        in_colour = before_colour < len(answers)
        return Classified(*self._decide(tuple(pictures.names), answers), in_colour)

    def classify_pixels(
        self, names: tuple[str, ...], pixels: np.ndarray
    ) -> tuple[Predictions, dict[str, Any]]:
        """Predictions, whose labels say nothing, and the columns of the decisions.

        pixels: uint8 (N, S, S) or (N, S, S, 3).
        """
        return self._decide(names, [self._answer(names, pixels, "evaluating")])

    def _answer(
        self, names: tuple[str, ...], pixels: np.ndarray, what: str | None = None
    ) -> _Answer:
        """what: the name of a bar."""
        count = len(pixels)
        nobody_knows = np.zeros(count, dtype=np.int64)  # labels are not read below
        split = load_split(pixels, nobody_knows, names, np.arange(count), device_of(self.network))
        predictions, features = predict_with_features(
            self.network,
            split,
            self.classes,
            Inference(self.how.batch_size, self.dtype, what=what),
            self.how.views or self.card.settings["eval"]["views"],
        )
        scores = self.postprocessing.scores(features) if self.postprocessing else None
        return _Answer(predictions.logits, scores)

    def _decide(
        self, names: tuple[str, ...], answers: Sequence[_Answer]
    ) -> tuple[Predictions, dict[str, Any]]:
        logits = np.concatenate([answer.logits for answer in answers])
        predictions = Predictions(self.classes, names, np.zeros(len(names), np.int64), logits)
        if not (fitted := self.postprocessing):
            return predictions, {}
        predictions = dataclasses.replace(predictions, temperature=fitted.decisions.temperature)
        scores = zip(*(answer.scores for answer in answers if answer.scores), strict=True)
        decided = decide(predictions, fitted.decisions, *map(np.concatenate, scores))
        return predictions, dict(columns_of(self.classes, decided))

    def heatmap(self, picture: Picture, target: str | None = None) -> np.ndarray:
        """Where the answer comes from: float32 (h, w) in [0, 1], at the picture's own size.

        Its steps are the cells of the model, between which it tells nothing.
        picture: one, as `predict` takes it.  target: a class; None: the one that is answered.
        The method is that of the run (eval.cam). What a model looked at is not why it is right.
        Raises DataError on a picture that cannot be read, and on an unknown class.
        """
        if isinstance(picture, list | tuple):
            raise DataError("a heat map is of one picture; call heatmap for each")
        read = PictureBatches([picture], self.card, batch_size=1)
        if len(read) != 1:
            raise DataError(f"{picture} holds {len(read)} pictures; a heat map is of one")
        if target is not None and target not in self.classes:
            raise DataError(f"target={target} is not one of {', '.join(self.classes)}")
        pixels = np.stack(next(iter(read)))
        if target is None:
            answer = self.classify_pixels(tuple(read.names), pixels)[0].predicted
        else:
            answer = np.array([self.classes.index(target)])
        (cells,) = self.heat_cells(pixels, answer)
        return at_own_size(cells, read.sizes[0], self.card.fit)

    def heat_cells(self, pixels: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """float32 (N, h, w) in [0, 1].  pixels: uint8 (N, S, S[, 3]).  targets: int (N,)."""
        how = self.card.settings["eval"]
        return heat_cells(self.network, pixels, targets, how["cam"], how["cam_layer"])


def at_own_size(
    cells: np.ndarray, size_px: tuple[int, int], fit: Literal["stretch", "pad"]
) -> np.ndarray:
    """The cells over the picture that the square was made from, as coarse as they are.

    cells: float (h, w), over the whole square.  size_px: (height, width) of the picture; where it
    was padded, the cells on the black borders are cut off.
    """
    longest = max(size_px)
    at = []
    for px, count in zip(size_px, cells.shape, strict=True):
        side, before = (longest, (longest - px) / 2) if fit == "pad" else (px, 0.0)
        at.append(((np.arange(px) + 0.5 + before) * count / side).astype(int))
    return np.asarray(cells[np.ix_(*at)])
