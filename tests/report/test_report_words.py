"""Intervals, decisions, checks, model card and checklists in the words of the page."""

from __future__ import annotations

import re

import numpy as np
import yaml

from braintumor.data.manifest import Patients
from braintumor.evaluation.provenance import KnownPatients, patients_unknown
from braintumor.report import figures, texts
from braintumor.report.figures import decision_rows
from braintumor.report.model_card import checklists, known_facts
from braintumor.report.page import FOLDER
from braintumor.report.write import render
from braintumor.statistics.metrics import compute_metrics
from made_up import evaluation_of

SPACE = "\N{NO-BREAK SPACE}"
CALL = {
    "threshold": 0.214, "target": 0.98, "sensitivity": 0.985, "sensitivity_ci": [0.97, 0.993],
    "specificity": 0.9, "specificity_ci": None, "n_tumor": 1906, "n_no_tumor": 405,
    "prevalence": 0.1, "prevalence_is_stated": True, "ppv": 0.5225, "npv": float("nan"),
}  # fmt: skip
SUMMARY = {
    "fitted_on": {"n": 1141, "groups": 802, "temperature": 0.8},
    "tumor_call": CALL,
    "sets": {
        "target": 0.95, "coverage": 0.951, "coverage_ci": [0.94, 0.96], "n": 1311,
        "mean_size": 1.04, "singletons": 0.9, "empty": 0.01,
        "per_class": {"<b>": {"coverage": 0.9, "n": 7}},
    },
    "abstention": {
        "aurc": 0.005, "kept": [{"share": 0.9, "n": 1180, "accuracy": 0.98}],
        "fitted": {"confidence": 0.83, "target": 0.02, "share": 0.93, "risk": 0.0148, "n": 1219},
    },
    "foreign": {"target": 0.02, "share": 0.03, "n": 1311},
    "turned": {"target": 0.02, "share": 0.05, "n": 1311},
}  # fmt: skip


ALL_KNOWN = KnownPatients(*(Patients(120, 120, 30) for _ in range(3)))


NOTHING = {
    "fitted_on": SUMMARY["fitted_on"], "tumor_call": None, "sets": None, "foreign": None,
    "turned": None,
    "abstention": {"aurc": 0.1, "kept": [], "fitted": {"confidence": None, "target": 0.02}},
}  # fmt: skip


def _decisions(p, summary, known=0, **how):
    """The section of the page. known: images known from training; None: not examined."""
    contaminated = None if known is None else np.arange(120) < known
    how = {"patients": ALL_KNOWN, "decision_summary": NOTHING | summary} | how
    html = render(evaluation_of(p, contaminated, **how), {})
    return re.search(r'<section id="decisions".*?</section>', html, re.DOTALL).group()


def _hints(summary):
    rows = decision_rows(summary, "patient")
    return {row["name"]: row["hint"] for of_block in rows.values() for row in of_block}


def _page(p, **more):
    return render(evaluation_of(p, **({"metrics": compute_metrics(p)} | more)), {})


def test_interval_stands_beside_its_figure_where_there_is_one(make_predictions):
    p = make_predictions()
    metrics = compute_metrics(p) | {"accuracy": 0.953, "accuracy_ci": [0.9401, 0.9632]}
    metrics["per_class"]["glioma"]["recall_ci"] = (0.81234, 0.9)
    html = _page(p, metrics=metrics)
    assert f"95.3{SPACE}% (95{SPACE}% CI 94.0 to 96.3{SPACE}%)" in html
    assert "0.9401–0.9632" in html
    assert "0.8123–0.9000" in html
    assert texts.interval({"auroc_ci": [float("nan")] * 2}, "auroc") == ""
    assert texts.interval({"auroc_ci": None}, "auroc") == ""
    assert "CI" not in texts.accuracy_with_ci({"accuracy": 0.5})


def test_decisions_say_target_figure_interval_n_and_what_they_were_fitted_on(make_predictions):
    html = _page(make_predictions(), decision_summary=SUMMARY)
    assert "(1,141 images, 802 groups)" in html
    for text in (
        f"98.5{SPACE}%", f"97.0–99.3{SPACE}%", "n = 1,906", f"prevalence of 10.0{SPACE}% (stated)",
        "Coverage of &lt;b&gt;", "the 1,180 most confident images", "at least 0.83, and let",
        "wrong ones of the 1,219 answers",  f"about 2.0{SPACE}% at most",
    ):  # fmt: skip
        assert text in html, text


def test_decisions_that_are_undefined_or_missing_are_dashes_or_left_out(make_predictions):
    rows = decision_rows(NOTHING | {"tumor_call": CALL}, "patient")["tumor_call"]
    by_name = {row["name"]: row for row in rows}
    assert by_name["NPV"]["value"] == "–"
    assert by_name["Specificity"]["interval"] == ""
    assert decision_rows(None, "patient") == {}
    section = _decisions(make_predictions(), {})
    assert re.findall("<h3>(.*?)</h3>", section) == ["When to leave it to a person (abstention)"]


def test_calibration_shows_both_sides_and_the_temperature(make_predictions):
    summary = {
        "temperature": 1.5,
        "before": {"ece": 0.04, "ece_mass": 0.05, "brier": 0.1, "loss": 0.3},
        "after": {"ece": 0.01, "ece_mass": 0.02, "brier": 0.09, "loss": float("nan")},
    }
    html = _page(make_predictions(), calibration=summary)
    section = re.search(r'<section id="calibration".*?</section>', html, re.DOTALL).group()
    assert "Temperature 1.500" in section
    assert "overconfident" in section
    assert re.findall(r"<td>(.*?)</td><td>(.*?)</td>", section) == [
        ("0.0400", "0.0100"), ("0.0500", "0.0200"), ("0.1000", "0.0900"), ("0.3000", "–"),
    ]  # fmt: skip
    assert 'id="calibration"' not in _page(make_predictions(), calibration=None)


def test_what_weakens_the_targets_is_said(make_predictions):
    fitted = {"n": 10, "groups": 7, "temperature": 0.8}
    p, refit = make_predictions(), {"settings": {"train": {"refit": True}}}

    def said(**how):
        return _decisions(p, {"fitted_on": fitted, "tumor_call": CALL}, **how)

    assert "10 images, 7 groups" in said() and "kept epoch was chosen too" in said()
    assert "a part in the training" in said(split="val")
    assert "12 of the images" in said(known=12) and "of the other 108." in said(known=12)
    assert "better than those of new images" in said(known=120)
    assert "was not examined" in said(known=None)
    assert "trained again after that" in said(about=refit)
    for words in ("a part in the training", "copies", "not examined", "trained again"):
        assert words not in said()


def test_sets_speak_of_new_patients_only_where_validation_knew_patients(make_predictions):
    sets = SUMMARY["sets"] | {"coverage_groups": 0.9, "groups": 40}

    def said(patients):
        return _decisions(make_predictions(), {"sets": sets}, patients=patients)

    known, unknown = said(ALL_KNOWN), said(patients_unknown(120))
    assert "an image of a new patient (or set of copies)" in known
    assert "every patient or set of copies counted once" in known
    assert "In training and validation" not in known
    assert "For a new image (or set of copies)" in unknown
    assert "every image or set of copies counted once" in unknown
    assert "In training and validation patients are not known: each image" in unknown


def test_page_of_a_refitted_model_says_so(make_predictions):
    for is_refit in (True, False):
        about = {"settings": {"train": {"refit": is_refit}}}
        html = _page(make_predictions(), decision_summary=SUMMARY, about=about)
        assert ("trained again after that" in html) == is_refit


def test_a_target_that_the_interval_excludes_is_called_missed():
    missed = CALL | {"sensitivity": 0.95, "sensitivity_ci": [0.93, 0.965]}
    fitted = {"confidence": 0.8, "target": 0.02, "share": 0.9, "risk": 0.04, "n": 900}
    risky = {"kept": [], "fitted": fitted | {"risk_ci": [0.03, 0.05]}}
    kept = {"kept": [], "fitted": fitted | {"risk_ci": [0.01, 0.05]}}

    assert "missed" in _hints({"tumor_call": missed})["Sensitivity"]
    assert "missed" not in _hints({"tumor_call": CALL})["Sensitivity"]
    assert "missed" in _hints({"abstention": risky})["Wrong answers"]
    assert "missed" not in _hints({"abstention": kept})["Wrong answers"]


def test_without_a_confidence_nobody_is_told_that_answers_are_withheld(make_predictions):
    kept = [{"share": 0.9, "n": 90, "accuracy": 0.8}]
    unfit = {"abstention": NOTHING["abstention"] | {"kept": kept}}
    assert "a person has to check every answer" in _decisions(make_predictions(), unfit)
    assert list(_hints(unfit)) == ["90 % answered", "AURC"]


def test_checks_of_heat_maps_are_rows():
    (row,) = figures.check_rows(
        {"outside_head": {"value": 0.14, "meaning": "Less is better.", "n": 32}}
    )
    assert row["name"] == "Heat outside the head"
    assert row["value"] == "0.1400"
    assert row["hint"] == "Less is better; mean of 32 images."


def test_maps_no_better_than_the_middle_of_the_head_are_said_to_be_so(make_predictions):
    def check(value, middle, gain):
        return {"value": value, "middle": middle, "gain_ci": gain, "meaning": "m", "n": 16}

    better = check(0.6, 0.4, [0.1, 0.3])
    level, worse = check(0.41, 0.40, [-0.02, 0.04]), check(0.3, 0.4, [-0.2, -0.05])
    p = make_predictions()

    def warning(**checks):
        found = re.search('<p class="caution">(Do not read.*?)</p>', _page(p, checks=checks))
        return found[1] if found else ""

    said = warning(deletion=level, insertion=worse, lesion_iou=better)
    assert "not shown to be better than pointing at the middle" in said
    assert "deletion 0.41 against 0.40; insertion 0.30 against 0.40" in said
    assert "They are better than that by: overlap with the lesion (IoU)." in said
    assert warning(deletion=better) == ""
    assert warning(outside_head={"value": 0.1, "meaning": "m", "n": 3}) == ""
    assert warning() == ""
    images = {"images": np.zeros((120, 8, 8), np.uint8), "heatmaps": {0: np.ones((2, 2))}}
    html = _page(p, checks={"deletion": level}, **images)
    assert html.count("not shown to be better than pointing at the middle") == 3  # each place


def test_checklists_have_the_items_of_the_guidelines_and_hide_no_gap(make_predictions):
    """CLAIM 2024 has 44 items, TRIPOD+AI 27 with 52 parts; each is answered or listed as open."""
    p = make_predictions()
    claim, tripod = checklists(known_facts(evaluation_of(p)))
    numbers = [row["item"] for row in (*claim["answered"], *claim["open"])]
    assert sorted(numbers, key=int) == [str(i) for i in range(1, 45)]
    numbers = [row["item"] for row in (*tripod["answered"], *tripod["open"])]
    assert len(numbers) == len(set(numbers)) == 52
    assert {int(n.rstrip("abcdefg")) for n in numbers} == set(range(1, 28))
    stored = yaml.safe_load((FOLDER / "checklist.yaml").read_text(encoding="utf-8"))
    rows = [row for guideline in stored for row in guideline["items"]]
    assert all(set(row) <= {"item", "ask", "fact"} for row in rows), "a comma without quotes"
    for guideline in (claim, tripod):
        assert guideline["open"]
        assert all(row["answer"] for row in guideline["answered"])
    assert not [row for g in checklists({}) for row in g["answered"]]


def test_numbers_of_each_split_are_told_with_why_some_are_excluded(make_predictions):
    p = make_predictions()

    def counts(images, patients=ALL_KNOWN):
        about = {"images": images}
        return known_facts(evaluation_of(p, patients=patients, about=about))["counts"]

    divided = {"excluded": 1840, "test": 1311, "train": 3094, "val": 774}
    said = "train 3,094, val 774, test 1,311, excluded 1,840, copies or patients of images held out"
    named = " In training and validation the patient of every image is known (30 patients)."
    assert counts(divided).endswith(f" The data set of its training: {said}.{named}")
    assert counts({"train": 8, "test": 2}).endswith(f"of its training: train 8, test 2.{named}")
    unnamed = counts(divided, patients_unknown(120))
    assert unnamed.endswith(
        "excluded 1,840, copies of images held out. In training and validation patients are not "
        "known."
    )
    assert "data set" not in counts({})


def test_every_fact_that_a_checklist_names_can_be_known(make_predictions, floors):
    """A misspelt name would leave its item open for ever."""
    p = make_predictions()
    settings = {
        "model": {"backbone": {"name": "timm", "weights": "imagenet"}, "attention": {"name": "se"}},
        "data": {"image_size": 160, "fit": "pad", "skip_unreadable": False},
        "train": {"imbalance": "oversample", "early_stopping": {"metric": "val_macro_f1"}},
        "eval": {"views": 2}, "split": "grouped", "optimizer": {"name": "adamw"},
    }  # fmt: skip
    about = {
        "model_name": "m", "data_name": "d", "best_epoch": 3, "parameters": 10,
        "settings": settings, "environment": {"versions": {"torch": "2"}},
    }  # fmt: skip
    facts = known_facts(
        evaluation_of(
            p, np.zeros(120, bool), floors, {"rim blanked": p}, about=about,
            heatmaps={0: np.zeros((8, 8))}, decision_summary=SUMMARY,
        )
    )  # fmt: skip
    stored = yaml.safe_load((FOLDER / "checklist.yaml").read_text(encoding="utf-8"))
    named = {row["fact"] for g in stored for row in g["items"] if "fact" in row}
    assert named - {"external"} <= set(facts)  # which only other data have
    assert "views=" not in facts["views"]
    assert "2 views" in facts["views"]
