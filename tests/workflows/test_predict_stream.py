"""Pictures are decoded while others are answered, few at a time, and answered as if all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tqdm import tqdm

from braintumor.errors import DataError
from braintumor.evaluation.postprocessing import PostProcessing
from braintumor.models import classifier
from braintumor.models.classifier import build_model
from braintumor.models.folding import fold_batch_norm
from braintumor.progress import bar
from braintumor.statistics.decisions import Decisions
from braintumor.statistics.input_checks import Orientation, Outliers
from braintumor.workflows import found_pictures, pictures
from braintumor.workflows.load import LoadedModel, Use
from braintumor.workflows.pictures import PictureBatches, stacked
from made_card import DECISIONS, MODEL, card

pytestmark = pytest.mark.usefixtures("one_thread")
BATCH, COUNT = 4, 10
CARD = card()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each picture decoded from now on."""
    done: list[int] = []
    decode = found_pictures.decode

    def counted(data: bytes) -> object:
        done.append(len(data))
        return decode(data)

    monkeypatch.setattr(found_pictures, "decode", counted)
    return done


def model() -> LoadedModel:
    torch.manual_seed(0)
    network = build_model(MODEL, len(CARD.classes), CARD.image_size).eval()
    rng, width = np.random.default_rng(0), network.backbone.channels
    basis = np.linalg.qr(rng.normal(size=(width, 2)))[0].astype(np.float32)
    fitted = PostProcessing(
        Decisions(**DECISIONS),
        Outliers(np.zeros(width, np.float32), basis, np.float32(1)),
        Orientation(rng.normal(size=width).astype(np.float32), np.float32(0.1)),
    )
    return LoadedModel(network, CARD, fitted, Use("cpu", batch_size=BATCH), torch.float32)


def draw(folder: Path, is_coloured: Callable[[int], bool]) -> Path:
    rng = np.random.default_rng(1)
    for i in range(COUNT):
        shape = (40 + i, 36, 3) if is_coloured(i) else (40 + i, 36)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("is_coloured", "times"),
    [(lambda i: False, 1), (lambda i: True, 1), (lambda i: i == 9, 2), (lambda i: i == 0, 1)],
    ids=["grey", "colour", "colour comes last", "colour comes first"],
)
def test_answers_are_to_the_last_bit_those_of_all_at_once(
    tmp_path: Path, decoded: list[int], is_coloured: Callable[[int], bool], times: int
) -> None:
    whole = PictureBatches(draw(tmp_path, is_coloured), CARD, COUNT)
    (squares,) = whole
    in_colour = any(square.ndim == 3 for square in squares)
    pixels = stacked(squares, in_colour=in_colour)
    expected, columns = model().classify_pixels(tuple(whole.names), pixels)
    decoded.clear()
    found = model().classify(PictureBatches(tmp_path, CARD, BATCH))
    np.testing.assert_array_equal(found.predictions.logits, expected.logits)
    assert found.predictions.paths == tuple(whole.names)
    assert found.columns.keys() == columns.keys()
    for name, values in columns.items():
        np.testing.assert_array_equal(np.asarray(found.columns[name]), np.asarray(values))
    assert found.in_colour == in_colour
    assert len(decoded) == COUNT if times == 1 else COUNT < len(decoded) <= 2 * COUNT


def test_few_pictures_are_decoded_before_they_are_needed(
    tmp_path: Path, decoded: list[int]
) -> None:
    read = PictureBatches(draw(tmp_path, lambda i: False), CARD, 2)
    for number, batch in enumerate(read, start=1):
        assert len(batch) == 2
        # the batch, one that waits, and those that the threads have in hand
        assert len(decoded) <= 2 * number + 2 + 2
    assert len(decoded) == COUNT


def test_a_bar_over_all_pictures_stands_before_the_model_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, int]] = []

    def noted(what: str, items: Iterable, **how: Any) -> tqdm:
        shown.append((what, how["total"]))
        return bar(what, items, **how)

    monkeypatch.setattr(pictures, "bar", noted)
    read = PictureBatches(draw(tmp_path, lambda i: False), CARD, BATCH)
    read.begin()
    assert shown == [("reading pictures", COUNT)]
    assert sum(map(len, read)) == COUNT, "the first batch is handed out, too"


def test_what_cannot_be_read_ends_the_answers_and_is_named_in_whole(tmp_path: Path) -> None:
    draw(tmp_path, lambda i: False)
    for name in ("1.png", "8.png"):
        (tmp_path / name).write_bytes(b"no picture")
    read = PictureBatches(tmp_path, CARD, BATCH)
    with pytest.raises(DataError, match=r"2 of 10 pictures(.|\n)*1\.png(.|\n)*8\.png"):
        read.begin()
    read = PictureBatches(tmp_path, CARD, BATCH, skip_unreadable=True)
    assert [len(batch) for batch in read] == [4, 4]
    assert [name for name, _ in read.unreadable] == ["1.png", "8.png"]
    assert read.names_of(1) == ("5.png", "6.png", "7.png", "9.png")


def test_many_batches_fold_the_network_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded: list[object] = []

    def fold(net: torch.nn.Module) -> torch.nn.Module | None:
        folded.append(net)
        return fold_batch_norm(net)

    monkeypatch.setattr(classifier, "fold_batch_norm", fold)
    model().classify(PictureBatches(draw(tmp_path, lambda i: False), CARD, 2))
    assert len(folded) == 1
