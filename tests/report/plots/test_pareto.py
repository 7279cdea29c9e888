"""Accuracy against its costs: who is on the front, and a picture that can be drawn of anything."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braintumor.report.plots import style
from braintumor.report.plots.comparison import draw_pareto, on_front

HOSTILE = ("$\\frac$", "<img src=x onerror=alert(1)>" + "x" * 300, "日本語\u202egnp.exe")


def test_the_front_holds_who_nobody_beats_in_both():
    cost, value = np.array([1.0, 2, 3, 2, 3]), np.array([0.5, 0.8, 0.8, 0.7, 0.9])
    assert on_front(cost, value).tolist() == [True, True, False, False, True]


def test_equal_ones_beat_nobody():
    assert on_front(np.ones(3), np.ones(3)).all()


@pytest.mark.parametrize("low", [np.nan, 0.7])
def test_the_picture_keeps_hostile_names_on_its_paper(low):
    board = pd.DataFrame({"run": HOSTILE * 6, "accuracy": 0.8, "images_per_s": 50.0})
    board = board.assign(parameters=[10**3, 10**6, 10**9] * 6, accuracy_low=low, accuracy_high=0.9)
    figure = draw_pareto(board)
    with Image.open(io.BytesIO(style.to_png(figure))) as picture:
        assert max(picture.size) < 3000
    width, height = figure.canvas.get_width_height()
    for axes in figure.axes:
        for text in axes.texts:
            box = text.get_window_extent()
            assert box.x0 >= -1
            assert box.x1 <= width + 1
            assert box.y0 >= -1
            assert box.y1 <= height + 1


def test_costs_that_nobody_knows_are_said():
    board = pd.DataFrame({"run": ["a"], "accuracy": [0.8], "images_per_s": [None]})
    figure = draw_pareto(board.assign(parameters=pd.array([None], dtype="Int64")))
    assert [text.get_text() for axes in figure.axes for text in axes.texts].count("not known") == 2
