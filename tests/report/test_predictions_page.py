"""predictions.html: what is shown, in which order, and that names of strangers stay text."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braintumor.report.predictions import (
    Illustration,
    PredictionsPage,
    doubt_of,
    doubtful,
    notes_of,
    render_predictions,
)
from braintumor.statistics.decisions import Decisions
from chromium import CHROMIUM, Browser
from made_up import misnamed_links

DECISIONS = Decisions(
    n=90, groups=80, temperature=1.2, sensitivity=0.98, threshold=0.6, coverage=0.95,
    conformal=None, reject=0.02, outlier_threshold=3.0, turned_threshold=1.0, risk=0.02,
    confidence=0.5,
)  # fmt: skip
HOSTILE = '<script>alert(1)</script>"x'


@pytest.fixture
def page() -> PredictionsPage:
    """Four answers; the second, meningioma, is undecided, the fourth is foreign."""
    table = pd.DataFrame(
        {
            "path": ["sure.png", HOSTILE, "middle.png", "strange.png"],
            "pred": ["glioma", "meningioma", "no_tumor", "glioma"],
            "prob_glioma": [0.9, 0.05, 0.2, 0.95],
            "prob_meningioma": [0.06, 0.5, 0.1, 0.03],
            "prob_no_tumor": [0.04, 0.45, 0.7, 0.02],
            "tumor_prob": [0.96, 0.55, 0.3, 0.98],
            "is_tumor": [True, False, False, True],
            "answered": [True, True, True, True],
            "foreign": [False, False, False, True],
            "upside_down": [False, False, False, False],
        }
    )
    wide = np.full((40, 100), 90, np.uint8)
    shown = {i: Illustration(wide, np.linspace(0, 1, 400).reshape(10, 40)) for i in range(4)}
    unreadable = [("bad.png", "it is a text file, not an image")]
    return PredictionsPage(table, shown, "cnn", "mine", "gradcam", DECISIONS, unreadable)


def test_the_most_doubtful_picture_comes_first(page: PredictionsPage) -> None:
    """Of the foreign one the answer looks the surest, and says nothing."""
    text = render_predictions(page)
    figures = re.findall(r'class="answer">([^<]*)<', text)
    expected = ["glioma, 95.0", "meningioma, 50.0", "no_tumor, 70.0", "glioma, 90.0"]
    assert [said.split("\N{NO-BREAK SPACE}")[0] for said in figures] == expected
    said = re.findall(r">doubt ([\d.]+)", text)
    assert said == ["100.0", "50.0", "30.0", "10.0"]
    assert doubt_of(page.table).tolist() == [0.1, 0.5, 0.3, 1.0]
    assert doubtful(page.table, 2) == [3, 1]


def test_a_meningioma_below_the_threshold_of_a_tumor_is_explained(page: PredictionsPage) -> None:
    note = "undecided: tumors together 0.55, below the threshold 0.60"
    assert notes_of(page.table.to_dict("records")[1], DECISIONS) == [note]
    text = render_predictions(page)
    assert note in text
    assert "all tumors together are below the threshold" in text
    called = (
        "2 pictures are called tumor, 2 are not. 1 not called tumor has a tumor as the most "
        "probable class. This is undecided; a person should look."
    )
    assert called in " ".join(text.split())
    called = {"pred": "no_tumor", "tumor_prob": 0.7, "is_tumor": True}
    assert notes_of(called, DECISIONS) == [
        "undecided: tumors together 0.70, above the threshold 0.60"
    ]


def test_numbers_that_round_alike_are_told_apart(page: PredictionsPage) -> None:
    row = {"pred": "meningioma", "tumor_prob": 0.59991, "is_tumor": False}
    assert notes_of(row, DECISIONS) == [
        "undecided: tumors together 0.5999, below the threshold 0.6000"
    ]


def test_pictures_and_heat_keep_their_own_shape(page: PredictionsPage) -> None:
    text = render_predictions(page)
    inlined = re.findall(r'<img (class="heat" )?src="data:image/(?:webp|png);base64,([^"]+)"', text)
    shapes = {Image.open(io.BytesIO(base64.b64decode(data))).size for _, data in inlined}
    assert shapes == {(192, 14), (100, 40), (40, 10)}
    assert sum(bool(kind) for kind, _ in inlined) == 4


@pytest.mark.parametrize(("cells", "is_small"), [((2, 2), True), ((3, 5), True), ((4, 4), False)])
def test_a_coarse_map_is_small_and_every_map_says_how_coarse(
    page: PredictionsPage, cells: tuple[int, int], is_small: bool
) -> None:
    shown = {i: dataclasses.replace(one, cells=cells) for i, one in page.illustrations.items()}
    text = render_predictions(dataclasses.replace(page, illustrations=shown))
    assert f"The map has {cells[0]} × {cells[1]} cells" in text
    assert ('class="heat coarse"' in text) == ("very coarse" in text) == is_small


def test_the_page_runs_nothing_and_loads_nothing(page: PredictionsPage) -> None:
    text = render_predictions(page)
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in text
    assert "<script" not in text
    assert misnamed_links(text) == []
    assert "http://" not in text and "https://" not in text
    assert "&lt;script&gt;" in text
    assert "bad.png" in text and "it is a text file" in text


def test_without_decisions_nothing_is_said_of_them(page: PredictionsPage) -> None:
    plain = page.table[[name for name in page.table if name[:4] in ("path", "pred", "prob")]]
    text = render_predictions(PredictionsPage(plain, {}, "cnn", "mine", "gradcam", None, []))
    assert "called tumor" not in text and "Foreign" not in text
    assert "they may be too high or too low" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_in_a_browser_it_fits_a_phone_and_hides_its_heat(
    page: PredictionsPage, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(render_predictions(page))
    browser = Browser()
    try:
        browser.resize(390, 800)
        browser.open(tmp_path / "page.html")
        assert browser.run("document.documentElement.scrollWidth") <= 390
        drawn = "getComputedStyle(document.querySelector('.heat')).imageRendering"
        assert browser.run(drawn) == "pixelated"  # cells and not a smooth map
        heat = "getComputedStyle(document.querySelector('.heat')).display"
        assert browser.run(heat) == "block"
        size = "(e => [e.width, e.height])(document.querySelector('{}').getBoundingClientRect())"
        assert browser.run(size.format(".heat")) == browser.run(size.format(".layers img"))
        browser.click("#heat-on")
        assert browser.run(heat) == "none"
        assert not browser.problems
        assert not browser.audit()
    finally:
        browser.close()
