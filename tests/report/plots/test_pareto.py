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


@pytest.mark.parametrize("accuracy", [[0.9] * 14, [0.9, 0.899, 0.9, 0.88, 0.879, 0.5]])
def test_no_number_covers_another_and_each_stays_by_its_dot(accuracy):
    count = len(accuracy)
    board = pd.DataFrame({"run": [f"m{i}" for i in range(count)], "accuracy": accuracy})
    figure = draw_pareto(board.assign(parameters=10**5, images_per_s=range(200, 200 + count)))
    figure.draw_without_rendering()
    for axes in figure.axes:
        numbers = [text for text in axes.texts if text.get_text().isdecimal()]
        assert [text.get_text() for text in numbers] == [str(n + 1) for n in range(count)]
        boxes = [text.get_bbox_patch().get_window_extent() for text in numbers]
        middles = np.array([[(b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2] for b in boxes])
        apart = np.linalg.norm(middles[:, None] - middles, axis=2) + np.eye(count) * 1e3
        widths = np.array([box.width for box in boxes])
        assert (apart + 1 >= (widths[:, None] + widths) / 2).all()
        places = axes.transData.transform([text.xy for text in numbers])
        is_moved = np.array([text.arrow_patch is not None for text in numbers])
        assert (np.linalg.norm(middles - places, axis=1)[~is_moved] < 3).all()
        assert not is_moved[0]
        assert not is_moved[-1] or accuracy[-1] == 0.9


def test_costs_that_nobody_knows_are_said():
    board = pd.DataFrame({"run": ["a"], "accuracy": [0.8], "images_per_s": [None]})
    figure = draw_pareto(board.assign(parameters=pd.array([None], dtype="Int64")))
    assert [text.get_text() for axes in figure.axes for text in axes.texts].count("not known") == 2
