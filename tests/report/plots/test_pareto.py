"""Accuracy against its costs: who is on the front, and a picture that can be drawn of anything."""

from __future__ import annotations

import io
import itertools

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


@pytest.mark.parametrize("apart", [0.0, 1e-4, 3e-3])
def test_every_number_can_be_read_where_dots_lie_together(apart):
    """The first two differ by little, the third lies far away."""
    board = pd.DataFrame({"run": list("abc"), "accuracy": [0.9, 0.9 + apart, 0.7]})
    board = board.assign(images_per_s=[50.0, 50, 400], parameters=[10**4, 10**4, 10**6])
    figure = draw_pareto(board)
    for axes in figure.axes:
        numbers = [text for text in axes.texts if "  " not in text.get_text()]  # not the names
        told = sorted(n for text in numbers for n in text.get_text().split(", "))
        assert told == ["1", "2", "3"]
        boxes = [text.get_window_extent() for text in numbers]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        dots = axes.transData.transform(axes.collections[-1].get_offsets())
        assert not any(box.contains(*dot) for box in boxes for dot in dots)


def test_costs_that_nobody_knows_are_said():
    board = pd.DataFrame({"run": ["a"], "accuracy": [0.8], "images_per_s": [None]})
    figure = draw_pareto(board.assign(parameters=pd.array([None], dtype="Int64")))
    assert [text.get_text() for axes in figure.axes for text in axes.texts].count("not known") == 2
