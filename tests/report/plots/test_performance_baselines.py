"""The picture of the floors shows every figure, whatever is not known."""

from __future__ import annotations

import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from braintumor.report.plots import style
from braintumor.report.plots.performance import draw_baselines


@pytest.fixture
def floors() -> pd.DataFrame:
    """Two floors, the worse one first; 1,311 images, 319 of them clean."""
    table = {"accuracy": [0.309, 0.979], "clean_accuracy": [0.006, 0.956]}
    counts = {"n": [1311, 1311], "clean_n": [319, 319]}
    return pd.DataFrame(table | counts, index=["majority class", "1-nearest neighbour on pixels"])


def _texts(figure: Figure) -> list[str]:
    texts = figure.findobj(matplotlib.text.Text)
    return [text.get_text().replace("\N{NO-BREAK SPACE}", "") for text in texts]


def _lines(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def test_every_text_stands_on_the_paper(floors: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_baselines(floors.rename(index={"majority class": "W" * 90}), 1, 0.95)
        style.to_png(figure)
    width, height = figure.canvas.get_width_height()
    for text in figure.findobj(matplotlib.text.Text):
        if text.get_text() and text.axes is not None:
            box = text.get_window_extent()
            assert -1 <= box.x0 <= box.x1 <= width + 1, text
            assert -1 <= box.y0 <= box.y1 <= height + 1, text


def test_the_model_stands_on_top_and_the_best_floor_next(floors: pd.DataFrame) -> None:
    ranked = ["1-nearest neighbour on pixels", "majority class"]
    assert _lines(draw_baselines(floors, 0.5, 0.4)) == ["the model", *ranked]
    assert _lines(draw_baselines(floors)) == ranked


def test_every_bar_has_its_figure_and_the_legend_its_counts(floors: pd.DataFrame) -> None:
    texts = _texts(draw_baselines(floors, 0.984, 0.95))
    for figure in ("98.4%", "95.0%", "97.9%", "95.6%", "30.9%", "0.6%"):
        assert texts.count(figure) == 1, figure
    assert "all images (1,311)" in texts
    assert "without a copy in training (319)" in texts


def test_bars_are_as_long_as_their_figures(floors: pd.DataFrame) -> None:
    axes = draw_baselines(floors, 0.984, 0.95).axes[0]
    lengths = [bar.get_width() for bar in axes.patches]
    assert lengths == pytest.approx([0.984, 0.979, 0.309, 0.95, 0.956, 0.006])


def test_where_all_images_are_clean_there_is_one_bar_a_line(floors: pd.DataFrame) -> None:
    floors[["clean_accuracy", "clean_n"]] = floors[["accuracy", "n"]]
    figure = draw_baselines(floors, 0.984, 0.984)
    assert [patch.get_width() for patch in figure.axes[0].patches] == [0.984, 0.979, 0.309]
    assert not figure.legends
    assert figure.axes[0].get_xlabel() == "accuracy, all images (1,311)"


def test_a_clean_figure_that_is_not_known_is_no_zero(floors: pd.DataFrame) -> None:
    assert "not known" in _texts(draw_baselines(floors, 0.984))
    none = floors.assign(clean_accuracy=np.nan, clean_n=0)
    texts = _texts(draw_baselines(none, 0.984))
    assert "not known" not in texts
    assert not any("without a copy" in text for text in texts)
