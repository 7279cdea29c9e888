"""The heat map of checkpoints and data sets."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from braintumor.comparison.cross_dataset import empty, matrix_table, score
from braintumor.report.plots.comparison import draw_matrix, rate
from braintumor.report.plots.style import to_png


def test_cells_show_clean_figure_n_and_all(make_predictions) -> None:
    """Hostile names raise no warning; a pair without figures keeps its place."""
    p = make_predictions(n=60)
    cell = score(p, [p.classes[k] for k in p.labels], np.arange(60) < 20)
    names = ("$\\frac$", "<img src=x>" * 20, "\u65e5\u672c\u8a9e", "a\x00b")
    cells = [
        {"ckpt": names[0], "data": names[1], **cell},
        {"ckpt": names[0], "data": names[2], **empty("why")},
        {"ckpt": names[3], "data": names[1], **cell},
        {"ckpt": names[3], "data": names[2], **cell},
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_matrix(matrix_table(cells))
        assert to_png(figure)[:4] == b"\x89PNG"
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count(rate(cell["clean_balanced_accuracy"])) == 3
    assert texts.count(f"n = 40\nall {rate(cell['balanced_accuracy'])}, 60") == 3
    assert texts.count("–") == 1


@pytest.mark.parametrize(("value", "text"), [(1.0, "1.000"), (0.9999, "0.999"), (0.5, "0.500")])
def test_rate_never_rounds_up_to_perfection(value: float, text: str) -> None:
    assert rate(value) == text
