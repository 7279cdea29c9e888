"""Class names of any script: a font that has the letters, or numbers, and never two alike."""

from __future__ import annotations

import logging
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from braintumor.report.plots import fonts, style
from braintumor.report.plots.performance import draw_confusion_matrix, draw_roc

# of scripts that no font has of which this test knows
GOTHIC, LINEAR_B = "\U00010330\U00010331", "\U00010000\U00010001"
ODD = (GOTHIC, LINEAR_B, "glioma")


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of fonts from other tests, nor left of what this one finds."""
    monkeypatch.setattr(fonts, "_found", {})
    for cached in (fonts._look_for, style._lack_letters):
        cached.cache_clear()


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer that has Matplotlib's own fonts alone."""
    own = [e for e in font_manager.fontManager.ttflist if e.name.startswith(("DejaVu", "STIX"))]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)


def _texts(figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(matplotlib.text.Text)}


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize(
    ("classes", "shown"),
    [
        (("脑膜瘤", "胶质瘤", "glioma"), ["class 1", "class 2", "3: glioma"]),
        (ODD, ["class 1", "class 2", "3: glioma"]),
        (("a 脑", "a 胶"), ["1: a \ufffd", "2: a \ufffd"]),
        (("\U0001f9e0", "no"), ["class 1", "2: no"]),
        (("x" * 50 + "1" + "y" * 50, "x" * 50 + "2" + "y" * 50), None),
        (("glioma", "Ménière", "опухоль", "όγκος"), ["glioma", "Ménière", "опухоль", "όγκος"]),
    ],
)
def test_no_two_classes_look_alike(classes, shown) -> None:
    labels = style.class_labels(classes)
    assert labels == (shown or labels)
    assert len(set(labels)) == len(classes)
    picture = _texts(draw_confusion_matrix(np.eye(len(classes), dtype=int), classes))
    assert set(labels) <= picture


@pytest.mark.usefixtures("_bare")
def test_numbers_have_a_legend_on_the_page_and_one_in_the_log(caplog, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger("braintumor"), "propagate", True)
    for longest in (13, 26, 40):
        style.class_labels(ODD, longest)
    # Matplotlib has messages of its own; pytest catches one twice where a logger did not propagate
    ours = {id(r): r.getMessage() for r in caplog.records if r.name.startswith("braintumor")}
    (message,) = ours.values()
    for text in (message, style.about_numbers(ODD)):
        assert f"1 {GOTHIC}, 2 {LINEAR_B}, 3 glioma" in text
    assert style.about_numbers(("glioma", "no_tumor")) == ""


def test_a_font_of_the_computer_that_has_the_letters_draws_them(
    tmp_path: Path, monkeypatch
) -> None:
    """It is found by its letters, whatever its name, and the picture needs no number."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 700), (500, 700), (500, 0)):
        pen.lineTo(point)
    pen.closePath()
    names = [".notdef", *(f"g{k}" for k in range(4))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"g{k}" for k, c in enumerate(GOTHIC + LINEAR_B)})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Odd Letters", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "odd.ttf")
    before = list(font_manager.fontManager.ttflist)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", before)
    font_manager.fontManager.addfont(tmp_path / "odd.ttf")
    assert style.class_labels(ODD) == [*ODD]
    assert "Odd Letters" in fonts.families()
    assert style.about_numbers(ODD) == ""


@pytest.mark.filterwarnings("error")  # a missing glyph is one
def test_every_picture_is_drawn_without_a_missing_glyph(make_predictions) -> None:
    p = make_predictions(classes=("脑膜瘤", "胶质瘤", GOTHIC, "সুস্থ"))
    style.to_png(draw_roc(p))
