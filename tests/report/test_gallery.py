"""The rows of the browser: complete, in order, within their room, and said in words."""

from __future__ import annotations

import base64
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from braintumor.records import Predictions
from braintumor.report import gallery
from braintumor.report.gallery import (
    browser_data,
    examples_section,
    make_thumbnails,
    order_by_interest,
)
from braintumor.report.plots.pictures import heat_layer
from braintumor.report.write import render
from made_up import evaluation_of


def _data(p, *known, shown=(), **more):
    return browser_data(evaluation_of(p, *known, **more), shown, 10**6)


def test_rows_say_what_the_predictions_say(make_predictions):
    p = make_predictions()
    decided = SimpleNamespace(
        is_foreign=np.arange(120) == 7, outlier_score=np.linspace(0, 1, 120),
        is_tumor=p.labels != 2, sets=p.probs > 0.3, is_upside_down=np.arange(120) == 9,
        is_answered=np.arange(120) != 11,
    )  # fmt: skip
    data = _data(p, np.arange(120) < 3, decided=decided)
    assert data["paths"] == list(p.paths)
    assert data["truth"] == p.labels.tolist()
    assert data["guess"] == p.predicted.tolist()
    assert np.allclose(np.array(data["probs"]) / 1e4, p.probs, atol=5.1e-5)
    assert sum(data["known"]) == 3
    assert [i for i, is_foreign in enumerate(data["foreign"]) if is_foreign] == [7]
    assert [i for i, is_upside_down in enumerate(data["turned"]) if is_upside_down] == [9]
    assert [i for i, is_answered in enumerate(data["answered"]) if not is_answered] == [11]
    assert data["sets"] == [[k for k in range(4) if row[k] > 0.3] for row in p.probs]
    json.dumps(data, allow_nan=False)


def test_ranks_follow_the_numbers_in_names(make_predictions):
    p = make_predictions(n=3)
    p = Predictions(p.classes, ("Image10.jpg", "Image2.jpg", "Image1.jpg"), p.labels, p.logits)
    assert _data(p)["rank"] == [2, 1, 0]


def test_data_of_the_script_survive_the_page(make_predictions):
    """Names that would end the block come back from it as they were."""
    p = make_predictions(n=3)
    paths = ("</script><script>alert(1)</script>", "<!--", "\udcff é \u2028 & ' \" \\")
    p = Predictions(p.classes, paths, p.labels, p.logits)
    html = render(evaluation_of(p), {})
    blocks = re.findall(r'<script type="application/json" id="predictions">(.*?)</script>', html)
    assert len(blocks) == 1
    assert json.loads(blocks[0])["paths"] == list(paths)


def test_wrong_ones_are_the_most_telling_then_foreign_then_unsure():
    logits = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.05, 0.95], [0.8, 0.2]]))
    p = Predictions(("a", "b"), tuple("vwxyz"), np.array([0, 0, 0, 0, 0]), logits)
    is_foreign = np.array([True, False, False, False, False])
    assert order_by_interest(p, is_foreign) == [3, 2, 0, 1, 4]


def test_thumbnails_keep_their_room_and_the_first_of_the_order(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (40, 128, 128), dtype=np.uint8)
    order = list(range(40))[::-1]
    wide = make_thumbnails(images, order, 10**7)
    tight = make_thumbnails(images, order, 30_000)
    assert all(wide)
    assert sum(map(len, tight)) <= 30_000
    filled = [i for i, text in enumerate(tight) if text]
    assert filled == list(range(40))[-len(filled) :]
    sides = [Image.open(io.BytesIO(base64.b64decode(t))).size[0] for t in (wide[39], tight[39])]
    assert sides[0] > sides[1]
    monkeypatch.setattr(gallery, "MOST", 5)
    assert sum(map(bool, make_thumbnails(images, order, 10**7))) == 5


def test_page_says_when_not_all_images_have_a_picture(make_predictions, monkeypatch):
    monkeypatch.setattr(gallery, "MOST", 5)
    p = make_predictions(n=12)
    html = render(evaluation_of(p, images=np.zeros((12, 16, 16), np.uint8)), {})
    assert "5 of 12 images have a picture on this page" in html


def test_page_of_thirteen_hundred_noisy_images_stays_below_five_megabytes(make_predictions):
    """Noise is the worst that a picture can do to a codec."""
    p = make_predictions(n=1300)
    tile = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    images = np.broadcast_to(tile, (1300, 96, 96))
    heatmaps = dict.fromkeys(range(64), tile / 255)
    html = render(evaluation_of(p, images=images, heatmaps=heatmaps, examples=16), {})
    assert len(html.encode()) < 5_000_000


def test_pictures_of_examples_are_not_held_twice(make_predictions, images):
    p = make_predictions()
    data = _data(p, images=images, heatmaps={3: images[3] / 255, 4: images[4] / 255}, shown=[3])
    assert set(data["large"][3]) == {"heat"}
    assert set(data["large"][4]) == {"heat", "image"}


def test_heat_covers_in_proportion():
    layer = heat_layer(np.array([[0.0, 0.5], [1.0, np.nan]]), strongest=1.0)
    assert layer.shape == (2, 2, 4)
    assert layer[..., 3].tolist() == [[0, 128], [255, 0]]
    assert layer[1, 0, :3].astype(int).sum() > layer[0, 0, :3].astype(int).sum()


def test_static_examples_are_the_surest_errors_and_a_spread_of_the_rest(make_predictions):
    p = make_predictions(n=120, skill=1.0)
    order = np.argsort(-p.probs.max(axis=1))
    images = np.zeros((120, 8, 8), np.uint8)
    wrong, right = examples_section(evaluation_of(p, images=images, examples=120))
    is_wrong = p.predicted != p.labels
    assert [e["index"] for e in wrong] == [i for i in order if is_wrong[i]][:8]
    assert len(right) <= 8
    assert right[-1]["probability"] < right[0]["probability"]


@pytest.mark.parametrize("count", [0, 1])
def test_few_or_no_examples_are_no_fault(make_predictions, count):
    p = make_predictions(n=5)
    evaluation = evaluation_of(p, images=np.zeros((5, 8, 8), np.uint8), examples=count)
    assert sum(map(len, examples_section(evaluation))) == count
