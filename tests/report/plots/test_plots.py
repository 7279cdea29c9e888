"""What every picture promises: it draws, whatever the names are."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braintumor.evaluation.record import choose_examples
from braintumor.records import Predictions
from braintumor.report.plots import style
from braintumor.report.plots.comparison import draw_comparison
from braintumor.report.plots.decisions import draw_calibration
from braintumor.report.plots.performance import (
    draw_confusion_matrix,
    draw_curves,
    draw_precision_recall,
    draw_roc,
)
from braintumor.report.plots.pictures import (
    draw_class_balance,
    draw_examples,
    draw_image_sizes,
    draw_samples,
    overlay,
)
from braintumor.report.plots.tuning import draw_search
from braintumor.statistics.confidence import calibration_summary
from braintumor.statistics.metrics import confusion_matrix

HOSTILE = ("$\\frac$", "<img src=x onerror=alert(1)>" + "x" * 300, "日本語\u202egnp.exe", "W" * 200)


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _texts(figure) -> list[str]:
    texts = figure.findobj(matplotlib.text.Text)
    return [t.get_text().replace("\N{NO-BREAK SPACE}", "") for t in texts]


def _manifest(names) -> pd.DataFrame:
    n = len(names) * 6
    return pd.DataFrame(
        {
            "label": list(names) * 6,
            "split": ["train", "val", "test"] * (n // 3),
            "width": 100 + np.arange(n),
            "height": 200,
            "mode": ["L", "RGB"] * (n // 2),
        }
    )


def _table(name) -> pd.DataFrame:
    row = {"run": name, "model": name, "status": "completed", "split": "test"}
    good = {**row, "val_macro_f1": 0.9, "macro_f1": 0.8, "accuracy": 0.85}
    return pd.DataFrame([good, {**row, "status": "failed", "split": None}])


def test_every_picture_shows_hostile_names_whole_and_without_a_warning(
    make_predictions, images, history
):
    p = make_predictions(classes=HOSTILE)
    heat = {0: np.ones((24, 24), np.float32)}
    for figure in (
        draw_confusion_matrix(confusion_matrix(p), p.classes),
        draw_roc(p),
        draw_precision_recall(p),
        draw_calibration(p),
        draw_curves(history),
        draw_class_balance(_manifest(HOSTILE)),
        draw_image_sizes(_manifest(HOSTILE)),
        draw_samples(images, p.labels, p.classes),
        draw_examples(p, images, [0, 1, 2], heat),
        draw_comparison(_table(HOSTILE[1])),
    ):
        with Image.open(io.BytesIO(style.to_png(figure))) as picture:
            assert min(picture.size) > 150
            assert max(picture.size) < 3000
        width, height = figure.canvas.get_width_height()
        for text in figure.findobj(matplotlib.text.Text):
            if text.get_text() and text.get_visible() and text.axes is not None:
                box = text.get_window_extent()
                assert box.x0 >= -1, text
                assert box.x1 <= width + 1, text
                assert box.y0 >= -1, text
                assert box.y1 <= height + 1, text
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert box.x0 >= -1
            assert box.x1 <= width + 1


def test_a_class_called_like_tex_stands_in_the_picture_as_it_is(make_predictions):
    figure = draw_roc(make_predictions(classes=HOSTILE))
    assert any("$\\frac$" in text for text in _texts(figure))


def test_pictures_leave_matplotlibs_global_state_alone(make_predictions):
    before = dict(matplotlib.rcParams)
    style.to_png(draw_roc(make_predictions()))
    assert dict(matplotlib.rcParams) == before


def test_the_same_figures_give_the_same_bytes(make_predictions):
    first, second = (style.to_png(draw_roc(make_predictions(seed=3))) for _ in range(2))
    assert first == second


# what `filter: invert(1) hue-rotate(180deg)` does to a colour, after the standard (Filter Effects
# Module 1, 9.2), on the black paper that `mix-blend-mode: screen` then takes away
HALF_TURN = np.array([[-0.574, 1.43, 0.144], [0.426, 0.43, 0.144], [0.426, 1.43, -0.856]])
DARK_CARD = "#151c26"  # --card in report.css


def _luminance(rgb: np.ndarray) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize(
    ("colour", "least"),
    [
        *[(name, 3) for name in (*style.Palette.series, style.Palette.right, style.Palette.wrong)],
        *[(style.Palette.ink, 7), (style.Palette.muted, 4.5)],
    ],
)
def test_every_colour_is_seen_on_a_dark_screen_and_keeps_its_hue(colour, least):
    drawn, card = (np.array(matplotlib.colors.to_rgb(c)) for c in (colour, DARK_CARD))
    turned = np.clip(HALF_TURN @ (1 - drawn), 0, 1)
    shown = 1 - (1 - turned) * (1 - card)
    # WCAG 2.2: 3 for lines, 4.5 for letters
    assert (_luminance(shown) + 0.05) / (_luminance(card) + 0.05) >= least
    if least == 3:
        hues = [matplotlib.colors.rgb_to_hsv(rgb)[0] for rgb in (drawn, turned)]
        assert abs(hues[0] - hues[1]) < 0.08


def test_label_keeps_both_ends_and_marks_what_cannot_be_drawn():
    assert style.label("a" * 30) == "a" * 30
    long = style.label("begin" + "x" * 300 + "end.jpg")
    assert len(long) == 40
    assert long.startswith("begin")
    assert long.endswith("end.jpg")
    assert style.label("a\nb\u202ec") == "a\ufffdb\ufffdc"


def test_confusion_matrix_shows_counts_and_row_percent():
    texts = _texts(draw_confusion_matrix(np.array([[3, 1], [0, 0]]), ("a", "b")))
    assert "3" in texts
    assert "75.0%" in texts
    assert texts.count("no image") == 2  # the empty row has no share


def test_many_classes_still_draw(make_predictions):
    p = make_predictions(n=200, classes=tuple(f"class_{k}" for k in range(14)))
    style.to_png(draw_confusion_matrix(confusion_matrix(p), p.classes))
    style.to_png(draw_roc(p))


def test_a_class_without_images_says_so_in_the_legends():
    labels = np.array([0, 0, 1, 1])
    p = Predictions(("a", "b", "c"), ("1", "2", "3", "4"), labels, np.eye(3)[labels])
    for figure in (draw_roc(p), draw_precision_recall(p)):
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        assert legend[2] == "c: not defined here"


def test_calibration_shows_what_was_before_the_temperature(make_predictions):
    p = make_predictions()
    assert not any("before" in text for text in _texts(draw_calibration(p)))
    figure = draw_calibration(replace(p, temperature=2.5))
    assert "before temperature 2.50" in _texts(figure)
    style.to_png(figure)


def test_the_calibration_chart_draws_the_bins_of_the_table(make_predictions):
    p = replace(make_predictions(), temperature=1.7)
    upper, lower = draw_calibration(p).axes
    counts = np.array([bar.get_height() for bar in lower.patches])
    assert counts.sum() == len(p)
    mean, accuracy = upper.lines[-1].get_xydata().T
    ece = (counts[counts > 0] * np.abs(accuracy - mean)).sum() / len(p)
    assert ece == pytest.approx(calibration_summary(p)["after"]["ece"])


def test_curves_mark_phase_and_kept_epoch(history):
    texts = _texts(draw_curves(history))
    assert "phase 2" in texts
    assert "phase 1" not in texts
    assert "kept: epoch 4" in texts


def test_curves_of_one_epoch_draw(history):
    style.to_png(draw_curves(history.head(1)))


def test_examples_show_the_surest_error_first(make_predictions):
    p = make_predictions(skill=1.0)
    chosen = choose_examples(p, 10)
    wrong = np.flatnonzero(p.predicted != p.labels)
    top = p.probs.max(axis=1)
    assert chosen[:5] == sorted(wrong, key=lambda i: -top[i])[:5]
    assert all(p.predicted[i] == p.labels[i] for i in chosen[5:])
    assert {int(p.labels[i]) for i in chosen[5:]} == {0, 1, 2, 3}
    assert len(set(chosen)) == 10


def test_examples_do_not_depend_on_the_order_of_rows(make_predictions):
    p = make_predictions(skill=1.0)
    p.logits[1::2] = p.logits[::2]  # ties, which the path must break
    order = np.random.default_rng(5).permutation(len(p))
    paths = tuple(p.paths[i] for i in order)
    moved = Predictions(p.classes, paths, p.labels[order], p.logits[order])
    names = [p.paths[i] for i in choose_examples(p, 12)]
    assert names == [moved.paths[i] for i in choose_examples(moved, 12)]


@pytest.mark.parametrize("skill", [100.0, -100.0])
def test_examples_fill_up_when_one_kind_is_missing(make_predictions, skill):
    p = make_predictions(n=9, skill=skill)
    assert len(set(choose_examples(p, 6))) == 6
    assert len(set(choose_examples(p, 20))) == 9


def test_overlay_is_the_slice_where_there_is_no_heat():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    mixed = overlay(image, heat)
    assert mixed.shape == (4, 4, 3)
    assert mixed.dtype == np.uint8
    assert (mixed[1:] == image[1:, :, None]).all()


def test_overlay_covers_at_most_seven_tenths_of_the_slice():
    # the hottest colour of plasma is (0.940, 0.975, 0.131); 0.72 of it over white
    hot = overlay(np.full((2, 2), 255, np.uint8), np.ones((2, 2), np.float32))[0, 0]
    assert hot.tolist() == pytest.approx([244, 250, 95], abs=1)


def test_overlay_takes_colour_images_and_bad_heat():
    image = np.full((4, 4, 3), 9, np.uint8)
    assert (overlay(image, np.full((4, 4), np.nan)) == image).all()


def test_a_slice_without_a_map_is_not_stretched_beside_one_that_has_one(make_predictions):
    p = make_predictions()
    images = np.zeros((len(p), 32, 32), np.uint8)
    figure = draw_examples(p, images, [0, 1, 2, 3], {0: np.zeros((32, 32), np.float32)})
    figure.draw_without_rendering()
    for axes in figure.axes:
        height, width = axes.images[0].get_array().shape[:2]
        box = axes.get_window_extent()
        assert box.width / box.height == pytest.approx(width / height, rel=0.01)


@pytest.mark.parametrize("values", [(0.97, 0.970001), (1e-7, 3e-7), (2e6, 2.00001e6)])
def test_every_tick_is_its_whole_number(values):
    """Never a part of it, with +9.7e-1 or 1e-7 at the end of the axis."""
    trials = pd.DataFrame({"trial": [1, 2], "state": "complete", "value": values})
    (axes,) = (figure := draw_search(trials, "val_loss", is_lower_better=True)).axes
    style.to_png(figure)
    assert axes.yaxis.get_offset_text().get_text() == ""
    ticks = [
        float(tick.get_text().replace("\N{MINUS SIGN}", "-")) for tick in axes.get_yticklabels()
    ]
    assert any(min(values) <= tick <= max(values) for tick in ticks)
