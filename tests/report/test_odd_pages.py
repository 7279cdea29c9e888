"""Pages of evaluations of odd shape: every sentence is true of them too."""

from __future__ import annotations

import re
import time

import numpy as np
import pandas as pd
import pytest

from braintumor.data.manifest import Patients
from braintumor.evaluation.provenance import KnownPatients, patients_unknown
from braintumor.evaluation.quote import choose_quote
from braintumor.records import Predictions
from braintumor.report import verdict
from braintumor.report.gallery import browser_data
from braintumor.report.plots import fonts
from braintumor.report.plots.comparison import draw_comparison
from braintumor.report.plots.style import label
from braintumor.report.texts import isolated, percent, rate
from braintumor.report.write import render
from braintumor.statistics.decisions import Decided, Decisions
from made_up import evaluation_of

FIGURES = {"ece": 0.1, "ece_mass": 0.1, "brier": 0.1, "loss": 0.1}
ELSEWHERE = KnownPatients(Patients(6, 0, 0), Patients(6, 0, 0), None)
GLIOMA = "\u0648\u0631\u0645_\u062f\u0628\u0642\u064a"  # in Arabic


def answers(labels: list[int], guess: list[int], classes: tuple[str, ...]) -> Predictions:
    logits = 3 * np.eye(len(classes), dtype=np.float32)[guess]
    paths = tuple(f"{i}.png" for i in range(len(labels)))
    return Predictions(classes, paths, np.array(labels), logits)


def words(html: str) -> str:
    """The text of a page on one line, without its script and data."""
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", text)


def test_one_image_is_spoken_of_in_the_singular() -> None:
    evaluation = evaluation_of(
        answers([0], [0], ("a", "b")), np.array([False]), about={"data_name": "mri"}, split="all"
    )
    text = words(render(evaluation, {}))
    assert "The only image of mri is classified correctly: accuracy" in text
    assert "The only image has no copy among the training images" in text
    assert not re.search(r"\b1 (images|groups|patients)\b", text)
    wrong = evaluation_of(answers([0], [1], ("a", "b")), about={"data_name": "mri"})
    assert "The only image in the test split of mri is not classified" in verdict.headline(wrong)


def test_console_and_page_name_the_same_weakest_class() -> None:
    """Of equal recalls that of more images, wherever it stands."""
    p = answers([0, 1, 1, 2], [2, 2, 2, 2], ("a", "b", "c"))
    assert verdict.weakest_class(p)["name"] == "b"
    assert "Weakest class: b. 2 of its 2 images are missed" in verdict.findings(evaluation_of(p))[0]


def test_a_temperature_that_could_not_be_fitted_makes_nothing_calibrated() -> None:
    summary = {"temperature": 1.0, "before": FIGURES, "after": FIGURES}
    html = render(evaluation_of(answers([0, 1], [1, 1], ("a", "b")), calibration=summary), {})
    assert "well calibrated" not in html
    assert "Validation could not tell by how much the probabilities should change" in html


@pytest.mark.parametrize("kind", ["own", "other data", "nothing was lost"])
def test_only_what_a_split_can_change_is_advised(kind: str) -> None:
    labels = [0, 0, 0, 1, 1, 1]
    seen = np.array([kind != "nothing was lost", False, False, False, False, False])
    seen[5] = True  # of a class that is rare enough without it
    if kind == "nothing was lost":
        seen[:] = False
    evaluation = evaluation_of(
        answers(labels, labels, ("a", "b")),
        seen,
        patients=ELSEWHERE if kind == "other data" else patients_within(len(labels)),
    )
    assert bool(verdict.leaves_more(evaluation)) == (kind == "own")


def patients_within(images: int) -> KnownPatients:
    none = Patients(images, 0, 0)
    return KnownPatients(none, none, none)


def test_other_data_are_not_split_anew_for_a_figure_to_quote() -> None:
    rows = {"per_class": {"a": {"n": 9}, "b": {"n": 9}}, "n": 18}
    clean = {"per_class": {"a": {"n": 9}, "b": {"n": 0}}, "n": 9}
    assert "split=grouped" in choose_quote("test", rows, clean, 9).why
    elsewhere = choose_quote("all", rows, clean, 9, is_own=False).why
    assert "split=" not in elsewhere and elsewhere.endswith("Evaluate more new images.")


@pytest.mark.parametrize("is_own", [True, False])
def test_an_evaluation_knows_whether_its_data_can_be_split_anew(is_own: bool) -> None:
    p = answers([0, 0, 1, 1], [0, 0, 1, 1], ("a", "b"))
    patients = patients_within(4) if is_own else ELSEWHERE
    why = evaluation_of(p, np.array([False, False, True, True]), patients=patients).quote.why
    assert "hold none of b" in why
    assert ("split=" in why) == is_own


def test_figures_over_known_images_are_not_called_too_high() -> None:
    """They may be lower, by chance, or both perfect."""
    evaluation = evaluation_of(
        answers([0, 0, 1, 1], [0, 0, 1, 1], ("a", "b")), np.array([True, False, False, False])
    )
    text = words(render(evaluation, {}))
    assert "too high" not in text
    assert "do not tell how it does on new images" in text


def test_images_of_training_are_called_so() -> None:
    split = evaluation_of(
        answers([0, 1], [0, 1], ("a", "b")), split="train", patients=patients_unknown(2)
    )
    text = words(render(split, {}))
    assert "these are the training images" in text
    assert "not known for this evaluation" not in text.split("Best floor")[0]
    assert "Whether it knows the images evaluated here" not in text


def test_folds_are_pooled_in_words_that_a_doctor_knows() -> None:
    pooled = evaluation_of(answers([0, 1], [0, 1], ("a", "b")), split="pooled")
    text = words(render(pooled, {}))
    assert "pooled" not in text
    assert "each by the model that was not trained on it, are classified correctly" in text


@pytest.mark.skipif(not fonts._IS_SHAPED, reason="older Matplotlib draws no Arabic")
def test_a_name_read_from_the_right_leaves_figures_at_their_names() -> None:
    assert label(GLIOMA) == f"\u2068{GLIOMA}\u2069"


def test_a_page_keeps_names_from_the_right_apart() -> None:
    path = f"data/{GLIOMA}/0003.png"
    evaluation = evaluation_of(
        answers([0, 1], [0, 1], (GLIOMA, "b")),
        about={"command": ["bt-eval", f"data.root={GLIOMA}"], "data_name": path},
    )
    html = render(evaluation, {})
    assert f"\u2068{GLIOMA}\u2069 1, b 1" in html
    assert f"data/\u2068{GLIOMA}\u2069/0003.png" in html
    command = re.search(r'<pre class="command".*?</pre>', html, re.DOTALL)
    assert command and "\u2068" not in command.group()  # it is copied and typed
    assert "\u2068" not in verdict.headline(evaluation)  # for a console


def test_a_long_word_is_read_once() -> None:
    """As the letters of a picture are; of each letter anew it were half a minute."""
    long = "A" * 50_000
    assert isolated(f"{long}{GLIOMA} 5") == f"\u2068{long}{GLIOMA}\u2069 5"
    began = time.perf_counter()
    assert isolated(f"{long}\u00e9") == f"{long}\u00e9"
    assert time.perf_counter() - began < 5


def test_predictive_values_without_a_value_have_no_interval() -> None:
    """Every image is called tumor: no NPV."""
    decisions = Decisions(9, 9, 1.0, 0.98, 0.1, 0.95, None, 0.02, None, None, 0.02, None)
    p = answers([0, 0, 1, 1], [0, 0, 0, 0], ("glioma", "no_tumor"))
    decided = Decided(p.probs[:, 0], np.ones(4, bool), None, None, None)
    found = evaluation_of(p, decisions=decisions, decided=decided, prevalence=1e-4)
    call = (found.decision_summary or {})["tumor_call"]
    assert np.isnan(call["npv"]) and call["npv_ci"] is None
    assert call["ppv"] == pytest.approx(1e-4)
    assert "at a prevalence of 0.01\u00a0% (stated" in render(found, {})


def test_heat_beside_the_head_is_said_where_the_maps_are_shown() -> None:
    check = {"value": 0.84, "n": 16, "meaning": "Share of the heat.", "even": 0.36}
    p, maps = answers([0, 1], [0, 1], ("a", "b")), {0: np.eye(4)}
    html = render(evaluation_of(p, heatmaps=maps, checks={"outside_head": check}), {})
    said = "84.0\u00a0% of the heat, and 36.0\u00a0% of the area, lie outside it"
    assert said in html
    even = check | {"value": 0.37}
    assert "avoids the head" not in render(
        evaluation_of(p, heatmaps=maps, checks={"outside_head": even}), {}
    )


@pytest.mark.parametrize(("cells", "is_small"), [((2, 2), True), ((4, 4), False)])
def test_a_coarse_heat_map_is_small_and_each_says_how_coarse(
    cells: tuple[int, int], is_small: bool
) -> None:
    p, images = answers([0, 1], [0, 1], ("a", "b")), np.zeros((2, 16, 16), np.uint8)
    html = render(evaluation_of(p, images=images, heatmaps={0: np.ones(cells)}), {})
    assert f"A map has {cells[0]} × {cells[1]} cells" in html
    assert ('<img class="coarse"' in html) == ("very coarse" in html) == is_small


@pytest.mark.parametrize("share", [0.0625, 0.06246, 0.0115, 0.9375, 0.99996])
def test_a_share_is_rounded_one_way_everywhere(share: float) -> None:
    """Half of the last digit goes up, on the console, in tables and in what the script shows."""
    said = percent(share)
    assert said == percent(np.float32(share)) == percent(1 - (1 - share))
    if share < 0.999:
        assert float(said[:-2]) == pytest.approx(100 * float(rate(share)))
    logits = np.log(np.array([[1 - share, share], [share, 1 - share]]))
    p = Predictions(("a", "b"), ("0", "1"), np.array([1, 0]), logits)
    sure = browser_data(evaluation_of(p), [], 0)["sure"]
    assert sure == [percent(max(share, 1 - share))] * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (float("nan"), "–"), (0.99996, "0.999"), (-1e-9, "0.000"), (1 - 1e-16, "1.000")],
)
def test_rates_of_the_console(value: float | None, text: str) -> None:
    assert rate(value) == text


def test_the_axis_of_a_ranking_tells_where_it_starts() -> None:
    for lowest, is_cut in ((0.01, False), (0.8, True)):
        board = pd.DataFrame({"run": ["a", "b"], "status": "completed", "split": "test"})
        board[["val_macro_f1", "macro_f1", "accuracy"]] = [[0.9] * 3, [lowest] * 3]
        (axes,) = draw_comparison(board).axes
        assert ("does not start at 0" in axes.get_xlabel()) == is_cut == (axes.get_xlim()[0] > 0)


def test_a_refitted_model_was_trained_on_validation_images_too() -> None:
    for is_refit, said in (
        (True, "trained on mri, 70 images"),
        (False, "trained on mri, 56 images"),
    ):
        about = {"images": {"train": 56, "val": 14}, "settings": {"train": {"refit": is_refit}}}
        p = answers([0, 1], [0, 1], ("a", "b"))
        html = render(evaluation_of(p, about=about | {"data_name": "mri"}), {})
        assert said in html


@pytest.mark.parametrize(("patients", "item"), [(ELSEWHERE, "external"), (None, "internal")])
def test_checklists_know_internal_from_external_data(
    patients: KnownPatients | None, item: str
) -> None:
    text = words(render(evaluation_of(answers([0, 1], [0, 1], ("a", "b")), patients=patients), {}))
    assert f"Evaluation on {item} data 2 images, test split; patients are not known." in text
    assert text.count("Evaluation on internal data 2 images") == (item == "internal")
