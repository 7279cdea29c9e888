"""Which figure can be quoted, which classes means are over, and a fall from validation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braintumor.evaluation.quote import about_means, fall_from_validation
from braintumor.records import Predictions
from braintumor.report import verdict
from braintumor.report.model_card import known_facts
from braintumor.report.write import render
from made_up import evaluation_of

COUNTS = {"glioma": 100, "meningioma": 115, "no_tumor": 105, "pituitary": 74}


def _evaluated(clean: dict[str, int], *, split: str = "test", wrong: int = 4, **more):
    """Sartaj's test split, with so many images of each class without a copy in training."""
    names = tuple(COUNTS)
    labels = np.repeat(np.arange(4), list(COUNTS.values()))
    guess = labels.copy()
    guess[::wrong] = (labels[::wrong] + 1) % 4
    is_known = np.concatenate([np.arange(COUNTS[c]) >= clean.get(c, 0) for c in names])
    paths = tuple(f"{i}.png" for i in range(len(labels)))
    p = Predictions(names, paths, labels, 3 * np.eye(4, dtype=np.float32)[guess])
    return evaluation_of(p, is_known, split=split, **more)


@pytest.mark.parametrize(
    ("clean", "said"),
    [
        (
            {"glioma": 100, "meningioma": 3, "pituitary": 19},
            "3 of meningioma, none of no_tumor and 19",
        ),
        ({"glioma": 100, "meningioma": 100, "no_tumor": 5, "pituitary": 70}, "hold 5 of no_tumor."),
        ({"glioma": 7}, "none of meningioma, none of no_tumor and none of pituitary"),
    ],
)
def test_no_figure_is_offered_where_copies_have_emptied_a_class(clean, said):
    """Not on the page, on its card, in the section on copies or in metrics.json."""
    evaluation = _evaluated(clean)
    why = evaluation.quote.why
    assert why.startswith("No overall figure can be quoted")
    assert said in why
    assert "split=grouped (with data.patient_regex" in why
    assert why in verdict.cautions(evaluation)
    assert known_facts(evaluation)["result"] == why
    assert verdict.headline(evaluation).endswith("Do not quote this figure.")
    assert evaluation.to_dict()["quote"]["accuracy"] is None
    assert "figure to quote is" not in render(evaluation, {})


def test_no_figure_is_offered_where_every_image_is_known_or_was_chosen_on():
    for evaluation in (_evaluated({}), *(_evaluated(COUNTS, split=s) for s in ("train", "val"))):
        assert evaluation.quote.figures is None
        assert evaluation.quote.why in verdict.cautions(evaluation)
        assert known_facts(evaluation)["result"] == evaluation.quote.why


def test_card_headline_and_section_quote_one_figure():
    evaluation = _evaluated({name: n - 30 for name, n in COUNTS.items()})
    clean = evaluation.assessment.clean
    assert evaluation.quote.images == "clean"
    shown = f"{clean['accuracy']:.1%}".replace("%", "\N{NO-BREAK SPACE}%")
    section = render(evaluation, {}).partition("The figure to quote is")[2].partition("</p>")[0]
    for text in (known_facts(evaluation)["result"], verdict.headline(evaluation), section):
        assert shown in text
        assert f"{clean['n']}" in text
    assert evaluation.to_dict()["quote"]["accuracy"] == clean["accuracy"]


def test_a_small_split_without_copies_keeps_its_figure():
    """Nine images of each class are few, but copies took none of them."""
    labels = np.repeat(np.arange(3), 9)
    p = Predictions(("a", "b", "c"), tuple(map(str, range(27))), labels, np.eye(3)[labels])
    assert evaluation_of(p, np.zeros(27, bool)).quote.images == "all"
    one = evaluation_of(p, np.arange(27) == 0)
    assert one.quote.images == "clean"
    assert evaluation_of(p).quote.images == "all"


def _history(*accuracies: float) -> pd.DataFrame:
    best = [a == max(accuracies) for a in accuracies]
    return pd.DataFrame({"val_accuracy": accuracies, "is_best": best})


@pytest.mark.parametrize(
    ("validation", "here", "n", "falls"),
    [
        (0.839, 0.404, 394, True),  # Sartaj's own split
        (0.90, 0.88, 394, False),  # within the intervals
        (0.85, 0.70, 10, False),  # so few images may be chance
        (0.99, 0.96, 20_000, False),  # sure, and small
        (0.70, 0.90, 394, False),
        (float("nan"), 0.4, 394, False),  # a refit
    ],
)
def test_a_large_fall_is_one_that_intervals_do_not_allow(validation, here, n, falls):
    figures = {"accuracy": here, "accuracy_ci": None, "n": n}
    history = _history(0.3, validation) if validation == validation else _history(validation)
    found = fall_from_validation(figures, history, {"val": 574})
    assert (found is not None) == falls
    assert fall_from_validation(figures, None, {"val": 574}) is None
    assert fall_from_validation(figures, history, {}) is None


def test_a_fall_stands_in_the_result_box():
    about = {"history": _history(0.5, 0.97), "images": {"val": 574}}
    assert any(
        "Accuracy falls from 97.0" in s for s in verdict.cautions(_evaluated({}, about=about))
    )
    fallen = _evaluated({}, about=about, split="val")
    assert not any("falls" in s for s in verdict.cautions(fallen))


def test_a_model_below_its_floor_is_told_so_on_top(floors):
    evaluation = _evaluated({}, wrong=2, floors=floors)
    assert any("is worse than a simple rule" in said for said in verdict.cautions(evaluation))
    assert not any("floor" in said for said in verdict.findings(evaluation))


def test_means_name_their_classes_only_where_one_is_absent():
    assert about_means(_evaluated({}).metrics) == ""
    p = Predictions(("a", "b", "c"), tuple("123"), np.array([0, 0, 1]), np.eye(3)[[0, 0, 1]])
    said = about_means(evaluation_of(p).metrics)
    assert said == "There is no image of c here: means over classes are over a and b."
    wrong = Predictions(("a", "b", "c"), tuple("123"), np.array([0, 0, 1]), np.eye(3)[[0, 2, 1]])
    assert about_means(evaluation_of(wrong).metrics) == (
        f"{said} Macro F1 counts c too, as 0, since the model answers it for other images."
    )
