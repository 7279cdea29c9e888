from __future__ import annotations

import dataclasses
import io
import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from braintumor.records import Predictions
from braintumor.report.plots import style
from braintumor.report.plots.decisions import draw_decisions
from braintumor.statistics.decisions import DecisionSettings, decide, fit_decisions

SETTINGS = DecisionSettings(sensitivity=0.9, prevalence=None, coverage=0.9, risk=0.02, reject=0.02)


def texts(figure) -> str:  # type: ignore[no-untyped-def]
    return " | ".join(text.get_text() for text in figure.findobj(Text)).replace(
        "\N{NO-BREAK SPACE}", ""
    )


def test_both_pictures_are_drawn(make_predictions) -> None:  # type: ignore[no-untyped-def]
    predictions = make_predictions(400)
    decisions = fit_decisions(predictions, None, None, SETTINGS)
    figure = draw_decisions(predictions, decisions)
    picture = Image.open(io.BytesIO(style.to_png(figure)))
    assert picture.size == (840, 1260)
    assert len(figure.axes) == 2


def test_the_chosen_point_stands_where_the_figures_are(make_predictions) -> None:  # type: ignore[no-untyped-def]
    predictions = make_predictions(400)
    decisions = fit_decisions(predictions, None, None, SETTINGS)
    figure = draw_decisions(predictions, decisions)
    tumor = 1 - dataclasses.replace(predictions, temperature=decisions.temperature).probs[:, 2]
    is_tumor = predictions.labels != 2
    sensitivity = (tumor[is_tumor] >= decisions.threshold).mean()
    specificity = (tumor[~is_tumor] < decisions.threshold).mean()
    points = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in figure.axes[1].get_lines()
        if line.get_marker() == "o"
    ]
    expected = [(decisions.threshold, sensitivity), (decisions.threshold, specificity)]
    assert np.array(points) == pytest.approx(np.array(expected))
    assert f"sensitivity: {sensitivity:.1%} (n = {is_tumor.sum()})" in texts(figure)


def test_share_answered_and_errors_stand_on_the_curve(make_predictions) -> None:  # type: ignore[no-untyped-def]
    predictions = make_predictions(400)
    settings = dataclasses.replace(SETTINGS, risk=0.1)
    decisions = fit_decisions(predictions, None, None, settings)
    figure = draw_decisions(predictions, decisions)
    answered = decide(predictions, decisions, None).is_answered
    wrong = (predictions.predicted != predictions.labels)[answered].mean()
    points = [line for line in figure.axes[0].get_lines() if line.get_marker() == "D"]
    assert [p.get_xydata()[0].tolist() for p in points] == [pytest.approx([answered.mean(), wrong])]
    assert 0.1 < answered.mean() < 0.99
    # as in the table: 0.5725 is 57.3 %
    assert f"{answered.mean() + 1e-12:.1%} answered, {wrong:.1%} wrong" in texts(figure)
    for confidence in (None, 1.1):  # not fitted; no image is sure enough
        other = draw_decisions(predictions, dataclasses.replace(decisions, confidence=confidence))
        assert not [line for line in other.axes[0].get_lines() if line.get_marker() == "D"]


def test_without_a_threshold_only_abstention_is_drawn(make_predictions) -> None:  # type: ignore[no-untyped-def]
    predictions = make_predictions(200, classes=("<img src=x onerror=alert(1)>", "$\\frac$"))
    figure = draw_decisions(predictions, fit_decisions(predictions, None, None, SETTINGS))
    style.to_png(figure)
    assert len(figure.axes) == 1
    assert "Abstention" in texts(figure)


@pytest.mark.parametrize("threshold", [0.0, 1e-9, 1.0])
def test_a_threshold_at_the_edge_and_images_without_a_tumor_draw(threshold: float) -> None:
    logits = np.array([[0.0, 9.0], [-99.0, 99.0], [1.0, 0.0]])
    predictions = Predictions(("glioma", "no_tumor"), ("x",) * 3, np.ones(3, dtype=int), logits)
    decisions = dataclasses.replace(
        fit_decisions(predictions, None, None, SETTINGS), threshold=threshold
    )
    style.to_png(draw_decisions(predictions, decisions))


@pytest.mark.parametrize("skill", [0.5, 2.0, 6.0])
def test_labels_of_the_curve_do_not_cover_each_other(make_predictions, skill) -> None:  # type: ignore[no-untyped-def]
    predictions = make_predictions(400, skill=skill)
    figure = draw_decisions(predictions, fit_decisions(predictions, None, None, SETTINGS))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    shown = [t for t in figure.axes[0].texts if t.get_text().endswith("%")]
    boxes = [text.get_window_extent(renderer) for text in shown]
    assert boxes
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
