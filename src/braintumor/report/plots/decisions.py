"""Calibration, and what is answered at which confidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from braintumor.records import Predictions
from braintumor.report.plots import style
from braintumor.report.plots.style import Palette
from braintumor.report.texts import number, percent
from braintumor.statistics.confidence import BINS, aurc, reliability, risk_coverage
from braintumor.statistics.decision_summary import KEPT
from braintumor.statistics.decisions import NO_TUMOR, Decisions, tumor_probability

_EDGE = 1e-4  # thresholds are drawn from here to 1 - here
_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_APART = 0.12, 0.08  # shares of width and height that a label takes


@style.using()
def draw_calibration(predictions: Predictions) -> Figure:
    """Accuracy over confidence in the bins of the ECE, above the number of images in each.

    With a temperature, the thin grey line is what the model said before it.
    """
    count, mean, accuracy = reliability(predictions.probs, predictions.labels)
    is_filled = count > 0
    centre = (np.arange(BINS) + 0.5) / BINS
    figure = style.new_figure(5.6, 5.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    upper.plot([0, 1], [0, 1], color=Palette.muted, linewidth=1, linestyle=(0, (2, 3)))
    upper.bar(centre, accuracy, 0.9 / BINS, color=Palette.right, alpha=0.28)
    if predictions.temperature != 1:
        raw = replace(predictions, temperature=1.0)
        n, x, y = reliability(raw.probs, raw.labels)
        text = f"before temperature {predictions.temperature:.2f}"
        thin = {"color": Palette.muted, "linewidth": 1, "markersize": 3}
        upper.plot(x[n > 0], y[n > 0], "o-", label=text, **thin)
    dots = {"color": Palette.right, "marker": "o", "markersize": 6, "zorder": 3}
    upper.plot(mean[is_filled], accuracy[is_filled], **dots)
    upper.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="share that is right")
    upper.set_title(f"Calibration of the top probability (n = {len(predictions):,})")
    lower.bar(centre, count, 0.9 / BINS, color=Palette.muted, alpha=0.75)
    style.only_grid(lower, "y")
    above = {"textcoords": "offset points", "ha": "center", "size": 8}
    for x, amount in zip(centre[is_filled], count[is_filled], strict=True):
        lower.annotate(f"{amount:,}", (x, amount), (0, 2), **above)
    lower.set_ylim(0, count.max() * 1.25)
    meaning = "above the dotted line: less sure than right; below: too sure"
    lower.set(xlabel=f"probability of the predicted class\n({meaning})", ylabel="images")
    if predictions.temperature != 1:
        style.legend_below(figure)
    return figure


@style.using()
def draw_decisions(predictions: Predictions, decisions: Decisions) -> Figure:
    """Errors over the share of images answered; sensitivity and specificity over the threshold.

    predictions: of the evaluated images; the temperature of the decisions is used. The second
    picture is missing where no threshold was fitted.
    """
    calibrated = replace(predictions, temperature=decisions.temperature)
    has_threshold = decisions.threshold is not None and NO_TUMOR in predictions.classes
    # one above the other, so that a phone shows both whole
    figure = style.new_figure(5.6, 8.4 if has_threshold else 4.2)
    if has_threshold:
        left, right = figure.subplots(2, 1)
        _draw_thresholds(right, calibrated, float(decisions.threshold or 0))
    else:
        left = figure.subplots()
    _draw_abstention(left, calibrated, decisions.confidence)
    return figure


def _draw_abstention(axes: Axes, predictions: Predictions, confidence: float | None) -> None:
    coverage, risk = risk_coverage(predictions)
    axes.plot(coverage, risk, color=Palette.right)
    rows = np.ceil(np.array(KEPT) * len(risk) - 1e-9).astype(int) - 1
    axes.plot(coverage[rows], risk[rows], "o", color=Palette.right, markersize=5, zorder=3)
    highest, last = max(1.25 * float(risk.max()), 0.01), None
    for row in rows:  # from the right; one that would cover another stands in the table alone
        place = coverage[row], float(risk[row]) / highest
        if last and last[0] - place[0] < _APART[0] and abs(last[1] - place[1]) < _APART[1]:
            continue
        last = place
        axes.annotate(
            percent(risk[row]), (coverage[row], risk[row]), (0, 7), textcoords="offset points",
            ha="right", size=8.5, color=Palette.ink,
        )  # fmt: skip
    answered = 0 if confidence is None else int((predictions.probs.max(axis=1) >= confidence).sum())
    if answered:
        share, wrong = coverage[answered - 1], risk[answered - 1]
        axes.axvline(share, color=Palette.muted, linewidth=1)
        label = f"from {number(confidence, '.3g')} on: {percent(share)} answered"
        label += f", {percent(wrong)} wrong"
        axes.plot(share, wrong, "D", color=Palette.wrong, markersize=7, zorder=4, label=label)
        _legend_below(axes)
    axes.set(xlim=(-0.02, 1.03), ylim=(0, highest))
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= min(1, highest)])
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    axes.set(xlabel="images answered, the most confident first", ylabel="errors among them")
    axes.set_title(f"Abstention (AURC {number(aurc(predictions))})")


def _draw_thresholds(axes: Axes, predictions: Predictions, chosen: float) -> None:
    tumor = tumor_probability(predictions.probs, predictions.classes)
    is_tumor = predictions.labels != predictions.classes.index(NO_TUMOR)
    ends = _EDGE, 1 - _EDGE
    place = float(np.clip(chosen, *ends))
    thresholds = np.unique(np.r_[ends, tumor.clip(*ends), place])
    curves = (
        ("sensitivity", tumor[is_tumor], True, Palette.right),
        ("specificity", tumor[~is_tumor], False, Palette.wrong),
    )
    for name, own, is_called, colour in curves:
        if not len(own):
            continue
        called = (own[None, :] >= thresholds[:, None]).mean(axis=1)
        at = float((own >= chosen).mean())
        value, shown = (at, called) if is_called else (1 - at, 1 - called)
        line = "-" if is_called else "--"
        label = f"{name}: {percent(value)} (n = {len(own):,})"
        axes.plot(thresholds, shown, color=colour, linestyle=line, label=label)
        axes.plot(place, value, "o", color=colour, markersize=7, zorder=3, clip_on=False)
    axes.axvline(place, color=Palette.muted, linewidth=1)
    axes.set_xscale("logit")
    # own texts: those of the logit scale are mathematics, which the style never draws
    axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlim=ends, ylim=(-0.02, 1.03), xlabel="probability from which it is called a tumor")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title(f"Tumor call at {number(chosen, '.4g')}, chosen on validation")
    _legend_below(axes)


def _legend_below(axes: Axes) -> None:
    """Under its own axes, where no curve runs through it."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, borderaxespad=0)
