"""How a model learns and answers: epochs, confusion matrix, ROC, precision, and baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from braintumor.records import Predictions
from braintumor.report.plots import style
from braintumor.report.plots.style import Palette
from braintumor.report.texts import number, percent
from braintumor.runs.history import kept_epoch

# K classes

Curve = tuple[str, np.ndarray, np.ndarray, float]  # name, x, y, area
_PALE = 0.42  # of the colour over the paper: the bar of the clean images


@style.using()
def draw_confusion_matrix(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Rows are true classes. A cell shows the count and its share of the row.

    matrix: int (K, K). Right ones are blue, wrong ones orange; the wrong are shaded by the
    square root of their share, since the few errors of a good model are what matters.
    """
    count = len(classes)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right, wrong = style.ramp(Palette.right), style.ramp(Palette.wrong)
    # The fixed part lets a single error among hundreds be seen.
    strength = np.where(matrix > 0, 0.12 + 0.78 * np.sqrt(share), 0)
    is_right = np.eye(count, dtype=bool)[..., None]
    colours = np.where(is_right, right(0.85 * share), wrong(strength))[..., :3]
    names = style.class_labels(classes, 40 if count <= 12 else 20)
    side = max(2.4, 0.95 * count if count <= 12 else 0.45 * count)
    long = style.width_of(names)
    is_tilted = long > 0.9 * side / count
    below = 0.6 * long if is_tilted else 0.2  # sine of 35 degrees
    figure = style.new_figure(side + 1.1 + long, side + 1.3 + below)
    axes = figure.subplots()
    style.draw_cells(axes, colours)
    tilt: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(count), names, **tilt if is_tilted else {})
    axes.set_yticks(range(count), names)
    axes.set_xlabel("predicted", labelpad=8)
    axes.set_ylabel("true", labelpad=8)
    for row, column in np.ndindex(matrix.shape):
        amount = int(matrix[row, column])
        look: dict[str, Any] = {"ha": "center", "color": _ink_on(colours[row, column])}
        if count > 12:  # no room for two lines
            axes.text(column, row, str(amount or ""), va="center", size=7, **look)
            continue
        look["alpha"] = 1.0 if amount else 0.45
        of_row = percent(share[row, column]) if matrix[row].sum() else "no image"
        place: dict[str, Any] = {"va": "bottom", "size": 12, "weight": "bold"}
        axes.text(column, row - 0.02, f"{amount:,}", **place, **look)
        axes.text(column, row + 0.08, of_row, va="top", size=8, **look)
    axes.set_title("Confusion matrix")
    return figure


def _ink_on(colour: np.ndarray) -> str:
    """Black or white, whichever reads better on the colour: float (3,) in [0, 1].

    Source: relative luminance and contrast ratio of WCAG 2.2.
    """
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return "#10161f" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


@style.using()
def draw_roc(predictions: Predictions) -> Figure:
    """One curve a class, its area in the legend; a small window enlarges the top left corner.

    A class without images on both sides has no curve, and the legend says so.
    """

    def curve(name: str, is_class: np.ndarray, score: np.ndarray) -> Curve:
        false_rate, true_rate, _ = roc_curve(is_class, score)
        area = float(auc(false_rate, true_rate))
        return f"{name}: AUROC {number(area)}", false_rate, true_rate, area

    curves = _of_classes(predictions, curve)
    figure, axes = _square(len(curves))
    axes.plot([0, 1], [0, 1], color=Palette.muted, linewidth=1, linestyle=(0, (2, 3)))
    _plot(axes, curves)
    axes.set(xlabel="false positive rate (1 − specificity)", ylabel="sensitivity (recall)")
    axes.set_title("ROC, one class against the rest")
    areas = [area for *_, area in curves if not np.isnan(area)]
    if areas and min(areas) > 0.9:
        inset = axes.inset_axes((0.42, 0.14, 0.5, 0.5))
        _plot(inset, curves)
        inset.set(xlim=(-0.003, 0.1), ylim=(0.9, 1.003))
        inset.set(xticks=[0, 0.05, 0.1], yticks=[0.9, 0.95, 1])
        inset.tick_params(labelsize=8)
        look: dict[str, Any] = {"fontsize": 8.5, "fontweight": "normal", "color": Palette.muted}
        inset.set_title("top left corner", pad=4, **look)
    style.legend_below(figure)
    return figure


@style.using()
def draw_precision_recall(predictions: Predictions) -> Figure:
    """One curve a class as steps, since values between two thresholds cannot be had.

    The average precision stands in the legend beside the share of the class, which is what a
    model without skill would get.
    """

    def curve(name: str, is_class: np.ndarray, score: np.ndarray) -> Curve:
        precision, recall, _ = precision_recall_curve(is_class, score)
        area = float(average_precision_score(is_class, score))
        text = f"{name}: AUPRC {number(area)} (no skill {is_class.mean():.2f})"
        return text, recall, precision, area

    curves = _of_classes(predictions, curve)
    figure, axes = _square(len(curves))
    _plot(axes, curves, drawstyle="steps-post")
    axes.set(xlabel="recall (sensitivity)", ylabel="precision")
    axes.set_title("Precision and recall, one class against the rest")
    style.legend_below(figure)
    return figure


def _of_classes(predictions: Predictions, curve: Callable[..., Curve]) -> list[Curve]:
    """A curve for each class against the rest; an empty one without images on both sides."""
    curves = []
    for k, name in enumerate(style.class_labels(predictions.classes, 26)):
        is_class = predictions.labels == k
        if is_class.all() or not is_class.any():
            curves.append((f"{name}: not defined here", *np.empty((2, 0)), np.nan))
        else:
            curves.append(curve(name, is_class, predictions.probs[:, k]))
    return curves


def _square(curves: int) -> tuple[Figure, Axes]:
    """Room for two shares, with so many lines of a legend below."""
    figure = style.new_figure(6.2, 5.6 + 0.2 * curves)
    axes = figure.subplots()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    return figure, axes


def _plot(axes: Axes, curves: list[Curve], **look: Any) -> None:
    for k, (text, x, y, _) in enumerate(curves):
        axes.plot(x, y, label=text, **look, **style.line_style(k))


@style.using()
def draw_baselines(
    baselines: pd.DataFrame,
    model_accuracy: float | None = None,
    model_clean: float | None = None,
) -> Figure:
    """Bars of accuracy, the best baseline first, over all images and over the clean ones.

    baselines: as measure_baselines gives them.  model_accuracy, model_clean: of the model that
    stands above them, in [0, 1]; without the first there is no such line. Where no clean figure
    is known, or all images are clean, there is one bar a line.
    """
    ranked = baselines.sort_values("accuracy", ascending=False, kind="stable")
    columns = {"all": ranked["accuracy"].tolist(), "clean": ranked["clean_accuracy"].tolist()}
    names, colours = [str(name) for name in ranked.index], [Palette.muted] * len(ranked)
    if model_accuracy is not None:
        names, colours = ["the model", *names], [Palette.right, *colours]
        columns["all"].insert(0, model_accuracy)
        columns["clean"].insert(0, np.nan if model_clean is None else model_clean)
    texts = {"all": f"all images ({int(baselines['n'].iloc[0]):,})"}
    # where nothing is known from training, both would say the same
    if np.isfinite(columns["clean"]).any() and (baselines["clean_n"] < baselines["n"]).all():
        texts["clean"] = f"without a copy in training ({int(baselines['clean_n'].iloc[0]):,})"
    # paler, not lighter: the grid would shine through
    strength, height = {"all": 1.0, "clean": _PALE}, 0.76 / len(texts)
    names = [style.label(name) for name in names]
    figure = style.new_figure(
        max(6.4, 5.0 + style.width_of(names)), 1.5 + 0.3 * len(texts) * max(len(names), 2)
    )
    axes = figure.subplots()
    for i, (which, text) in enumerate(texts.items()):
        values = columns[which]
        place = np.arange(len(values)) - 0.38 + (i + 0.5) * height
        shades = [style.ramp(colour)(strength[which]) for colour in colours]
        bars = axes.barh(place, np.nan_to_num(values), height * 0.9, color=shades)
        bars.set_label(text)
        shown = [percent(value) if np.isfinite(value) else "not known" for value in values]
        axes.bar_label(bars, shown, padding=3, size=8.5, color=Palette.ink)
    axes.set_yticks(np.arange(len(names)), names)
    if model_accuracy is not None:
        axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(0, 1.12)  # room for the figure behind a full bar
    axes.set_xticks(np.linspace(0, 1, 6), [f"{tick:.0%}" for tick in np.linspace(0, 1, 6)])
    style.only_grid(axes, "x")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlabel("accuracy" if len(texts) > 1 else f"accuracy, {texts['all']}")
    axes.set_title("Accuracy of baselines that do not read the scan")
    if len(texts) > 1:
        style.legend_below(figure)
        for handle, which in zip(figure.legends[0].get_patches(), texts, strict=True):
            # not the model's colour
            handle.set_facecolor(style.ramp(Palette.muted)(strength[which]))
    return figure


@style.using()
def draw_curves(history: pd.DataFrame) -> Figure:
    """Loss above accuracy, of training and validation; the phases and the best epoch marked.

    history: a row an epoch, columns as in records.EpochRecord (metrics.csv).
    """
    series = (
        ("train_loss", "training", Palette.muted, "--"),
        ("val_loss", "validation", Palette.right, "-"),
        ("train_accuracy", "training accuracy", Palette.muted, "--"),
        ("val_accuracy", "validation accuracy", Palette.right, "-"),
        ("val_macro_f1", "validation macro F1", Palette.series[2], ":"),
    )
    epochs, last = history["epoch"], max(int(history["epoch"].max()), 2)
    marker = "o" if len(history) < 15 else None  # one epoch alone draws no line
    # one above the other, so that a phone shows both whole
    figure = style.new_figure(6.2, 7.8)
    left, right = figure.subplots(2, 1)
    for column, text, colour, line in series:
        axes = left if "loss" in column else right
        look = {"color": colour, "linestyle": line, "marker": marker, "markersize": 3.5}
        axes.plot(epochs, history[column], label=text, **look)
    left.set(title="Loss (nats)", ylim=(0, None))
    right.set(title="Accuracy and macro F1", ylim=(None, 1.005))
    for axes, column in ((left, "val_loss"), (right, "val_accuracy")):
        _mark_phases(axes, history)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(xlabel="epoch", xlim=(1 - 0.02 * last, last * 1.02))
        _mark_best(axes, history, column)
        axes.legend(loc="best")
    return figure


def _mark_phases(axes: Axes, history: pd.DataFrame) -> None:
    for phase, epoch in history.groupby("phase")["epoch"].min().items():
        if epoch > history["epoch"].min():
            axes.axvline(epoch - 0.5, color=Palette.muted, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                f"phase {phase}", (epoch - 0.5, 1), (4, -4), xycoords=("data", "axes fraction"),
                textcoords="offset points", color=Palette.muted, size=8, va="top",
            )  # fmt: skip


def _mark_best(axes: Axes, history: pd.DataFrame, column: str) -> None:
    """A ring at the epoch whose weights were kept."""
    kept = kept_epoch(history)
    if kept.empty or not np.isfinite(kept[column].item()):
        return
    epoch, value = int(kept["epoch"].item()), float(kept[column].item())
    axes.plot(
        epoch, value, "o", color=Palette.wrong, markersize=11, markerfacecolor="none",
        label=f"kept: epoch {epoch}",
    )  # fmt: skip
