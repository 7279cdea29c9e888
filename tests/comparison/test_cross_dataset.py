"""Several checkpoints on several data sets: which labels meet, and what the table says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk

from braintumor.comparison.cross_dataset import (
    COLUMNS,
    TumorCalls,
    empty,
    matrix_markdown,
    matrix_table,
    score,
    short_table,
    write_matrix,
)
from braintumor.evaluation.common_classes import answers_joined, fit_labels, in_classes
from braintumor.records import Predictions
from braintumor.statistics.decisions import Decisions

FOUR = ("glioma", "meningioma", "no_tumor", "pituitary")
TWO = ("no_tumor", "tumor")


@pytest.mark.parametrize(
    ("classes", "labels", "wanted"),
    [
        (FOUR, ["glioma", "pituitary"], FOUR),  # classes missing in the data are no obstacle
        (TWO, ["no_tumor", "tumor"], TWO),
        (FOUR, ["no_tumor", "tumor"], TWO),
        (FOUR, ["tumor"], TWO),
        (TWO, ["glioma", "no_tumor"], TWO),
        (TWO, ["glioma", "meningioma"], TWO),
        (("tumor", "no_tumor"), ["glioma"], TWO),
        (("glioma", "meningioma", "pituitary"), ["glioma"], ("glioma", "meningioma", "pituitary")),
    ],
)
def test_labels_that_can_meet(
    classes: tuple[str, ...], labels: list[str], wanted: tuple[str, ...]
) -> None:
    assert fit_labels(classes, labels)[0] == wanted


def test_of_joined_answers_no_more_is_said_than_was_fitted() -> None:
    fitted = Decisions(40, 20, 1.0, 0.98, 0.3, 0.95, None, 0.02, None, None, 0.02, None)
    alone, threshold_only = answers_joined(FOUR, None), answers_joined(FOUR, fitted)
    assert alone.endswith(
        "No threshold for a tumor was fitted: the more probable of the two counts."
    )
    assert threshold_only.endswith("The threshold for a tumor is the one fitted in training.")
    assert "sets" in answers_joined(FOUR, dataclasses.replace(fitted, conformal=0.9))


@pytest.mark.parametrize(
    ("classes", "labels", "reason"),
    [
        (FOUR, ["glioma", "tumor"], "does not know tumor"),
        (FOUR, ["glioma", "metastasis"], "does not know metastasis"),
        (TWO, ["no_tumor", "class_1"], "does not know class_1"),
        (("glioma", "pituitary"), ["tumor", "no_tumor"], "no class no_tumor"),
        (("glioma", "no_tumor", "stroke"), ["tumor", "no_tumor"], "does not know tumor"),
    ],
)
def test_labels_that_cannot_meet_say_why(
    classes: tuple[str, ...], labels: list[str], reason: str
) -> None:
    wanted, why = fit_labels(classes, labels)
    assert wanted is None
    assert reason in why


def test_summed_probabilities_are_those_of_the_tumour_classes() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32) * 4
    p = Predictions(FOUR, tuple(map(str, range(50))), np.zeros(50, np.int64), logits)
    two = in_classes(p, ["tumor"] * 49 + ["no_tumor"], TWO)
    assert two.probs[:, 1] == pytest.approx(p.probs[:, [0, 1, 3]].sum(axis=1), abs=1e-6)
    assert two.labels.tolist() == [1] * 49 + [0]


def test_the_most_probable_class_may_be_outvoted_by_the_tumours_together() -> None:
    """.3 + .3 of tumour against .4 without one: a tumour."""
    logits = np.log(np.array([[0.3, 0.1, 0.4, 0.2]], np.float32))
    p = Predictions(FOUR, ("x",), np.zeros(1, np.int64), logits)
    assert p.classes[int(p.predicted[0])] == "no_tumor"
    two = in_classes(p, ["tumor"], TWO)
    assert two.predicted.tolist() == [1]


def test_tumour_classes_are_summed_after_the_temperature() -> None:
    """Sharpened, the single class wins again over three that together were just ahead."""
    logits = np.log([[0.2, 0.2, 0.45, 0.15]])
    p = Predictions(FOUR, ("x",), np.array([0]), logits, temperature=0.5)
    two = in_classes(p, ["tumor"], TWO)
    squares = np.array([0.2, 0.2, 0.45, 0.15]) ** 2
    assert two.probs[0, TWO.index("no_tumor")] == pytest.approx(
        squares[2] / squares.sum(), abs=1e-6
    )
    assert two.predicted[0] == TWO.index("no_tumor")


@pytest.mark.parametrize("classes", [TWO, TWO[::-1]])
def test_a_binary_model_keeps_its_own_order_of_classes(classes: tuple[str, ...]) -> None:
    p = Predictions(classes, ("x", "y"), np.zeros(2, int), np.eye(2, dtype="f4") * 9)
    labels = ["glioma" if name == "tumor" else name for name in classes]
    two = in_classes(p, labels, TWO)
    assert two.classes == classes
    assert two.predicted.tolist() == two.labels.tolist() == [0, 1]


def test_joined_classes_come_with_threshold_and_intervals() -> None:
    """Three tumors and two without; p(tumor) .9 .6 .2 | .4 .1, called from .5 on, by hand."""
    tumor = np.array([0.9, 0.6, 0.2, 0.4, 0.1])
    probs = np.stack([tumor / 2, tumor / 4, 1 - tumor, tumor / 4], axis=1)
    p = Predictions(FOUR, tuple("abcde"), np.zeros(5, np.int64), np.log(probs).astype("f4"))
    labels = ["tumor"] * 3 + ["no_tumor"] * 2
    seen = np.array([True, False, False, False, False])
    cell = score(p, labels, seen, np.arange(5), TumorCalls(tumor >= 0.5, 0.5))
    assert (cell["sensitivity"], cell["specificity"]) == (pytest.approx(2 / 3), 1)
    assert (cell["clean_sensitivity"], cell["clean_specificity"]) == (0.5, 1)
    assert cell["auroc"] == pytest.approx(5 / 6)  # of six pairs, .2 against .4 is the wrong one
    assert cell["auroc_low"] < cell["auroc"] < cell["auroc_high"]
    assert "of the 4 without a copy in training: AUROC 0." in cell["note"]
    assert "called tumor from 0.5 on with sensitivity 0.500, specificity 1.000" in cell["note"]
    assert set(cell) | {"ckpt", "data", "split"} == set(COLUMNS)


def test_clean_figures_leave_contaminated_images_out(make_predictions) -> None:
    p = make_predictions(n=90, skill=1.0)
    labels = [p.classes[k] for k in p.labels]
    seen = np.arange(90) < 30
    cell = score(p, labels, seen)
    assert (cell["n"], cell["clean_n"], cell["classes"], cell["note"]) == (90, 60, 4, "")
    assert cell["accuracy"] == pytest.approx(sk.accuracy_score(p.labels, p.predicted))
    assert cell["clean_balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(p.labels[30:], p.predicted[30:])
    )
    assert "no image" in score(p, labels, np.ones(90, bool))["note"]


def test_images_of_one_class_are_scored_and_said_to_be(make_predictions) -> None:
    p = make_predictions(n=40)
    cell = score(p, ["tumor"] * 40, np.zeros(40, bool))
    assert "images of tumor only" in cell["note"]
    assert "4 classes joined" in cell["note"]
    assert cell["balanced_accuracy"] == cell["accuracy"]
    assert np.isnan(cell["auroc"])


@pytest.fixture
def table(make_predictions) -> pd.DataFrame:
    """Two checkpoints on three data sets; one pair cannot meet, one is all known."""
    p = make_predictions(n=80, skill=2.5)
    labels = [p.classes[k] for k in p.labels]
    good = score(p, labels, np.arange(80) < 50)
    known = score(p, labels, np.ones(80, bool))
    binary = score(p, ["tumor" if c != "no_tumor" else c for c in labels], np.zeros(80, bool))
    rows = [
        ("run|a", "phantom", good), ("run|a", "other", known), ("run|a", "two", binary),
        ("run_b", "phantom", good), ("run_b", "other", empty("it does not know <x>")),
        ("run_b", "two", binary),
    ]  # fmt: skip
    return matrix_table([{"ckpt": c, "data": d, "split": "test", **cell} for c, d, cell in rows])


def test_matrix_is_written_in_three_forms(table: pd.DataFrame, tmp_path) -> None:
    write_matrix(tmp_path / "m", table)
    stored = pd.read_csv(tmp_path / "m" / "matrix.csv")
    assert tuple(stored.columns) == COLUMNS
    assert len(stored) == 6
    assert stored["clean_accuracy"].isna().tolist() == [False, True, False, False, True, False]
    assert (tmp_path / "m" / "matrix.png").stat().st_size > 5000
    assert "run\\|a" in (tmp_path / "m" / "matrix.md").read_text()


def test_short_table_says_clean_n_and_all(table: pd.DataFrame) -> None:
    wide = short_table(table)
    assert (list(wide.index), list(wide.columns)) == (
        ["run|a", "run_b"],
        ["phantom", "other", "two"],
    )
    row = table.iloc[0]
    clean, all_ = row["clean_balanced_accuracy"], row["balanced_accuracy"]
    assert wide.loc["run|a", "phantom"] == f"{clean:.3f} n=30 ({all_:.3f})"
    assert wide.loc["run|a", "other"].startswith("– n=0 (")
    assert wide.loc["run_b", "other"] == "–"


def test_markdown_gives_the_reasons_and_no_markup(table: pd.DataFrame) -> None:
    text = matrix_markdown(table)
    assert "- run_b on other: it does not know &lt;x&gt;" in text
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 3
