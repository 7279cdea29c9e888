"""What is not known of patients is said to be not known, on the page and beside it."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from braintumor.evaluation.provenance import (
    KnownPatients,
    about_fit,
    about_intervals,
    about_patients,
    about_training,
    patients_elsewhere,
    patients_within,
)
from braintumor.records import Predictions
from braintumor.report.write import render
from made_up import evaluation_of

BOTH = "images of one patient may be both in training and among those evaluated."
NARROW = "as a patient of its own and may be too narrow."


def own(*patients: str | None) -> KnownPatients:
    """Two training images, one of validation, two of test, one excluded."""
    manifest = pd.DataFrame({"patient": patients})
    manifest["split"] = ["train", "train", "val", "test", "test", "excluded"]
    return patients_within(manifest, manifest["split"].eq("test"))


ALL = own("p", "p", "q", "r", "s", None)
SOME = own("p", None, "q", "r", None, "t")
NONE = own(*[None] * 6)
CARD = {"images": 26, "known": 26, "patients": 7}


def test_images_that_are_in_no_part_do_not_count() -> None:
    assert (ALL.evaluated.images, ALL.trained.images, ALL.together.images) == (2, 3, 5)  # type: ignore[union-attr]
    assert ALL.are_compared and not SOME.are_compared and not NONE.are_compared


def test_nothing_is_added_where_all_patients_are_known() -> None:
    assert about_patients(ALL) == about_fit(ALL) == ""
    assert (ALL.unit, ALL.units) == ("patient or set of copies", "patients or sets of copies")


def test_patients_that_are_not_known_may_be_on_both_sides() -> None:
    assert about_training(NONE) == f"Patients are not known: {BOTH}"
    assert about_intervals(NONE) == f"Intervals count each image or set of copies {NARROW}"
    assert NONE.units == "images or sets of copies"
    assert about_fit(NONE).startswith("In training and validation patients are not known: each im")


def test_of_images_that_are_all_known_the_patients_are_known_too() -> None:
    other = patients_elsewhere(pd.DataFrame({"patient": [None, None]}), CARD)
    for known in (NONE, SOME, other):
        seen = replace(known, all_seen=True)
        assert about_training(seen) == ""
        assert about_patients(seen) == about_intervals(known) != ""  # how wide they are, still


def test_patients_that_are_known_for_some_are_counted() -> None:
    """Of two training images, one of validation and two of test three have a patient."""
    said = about_training(SOME)
    assert said == f"Patients are known for 3 of 5 images only: of the others, {BOTH}"
    assert "known for 1 of 2 images only: intervals count each of the others" in about_intervals(
        SOME
    )
    assert "known for 2 of 3 images only: each of the others" in about_fit(SOME)
    assert SOME.units == "patients, other images or sets of copies"


def test_missing_patients_of_training_alone_weaken_what_is_said_of_test() -> None:
    known = own(None, None, None, "r", "s", None)
    assert about_intervals(known) == ""
    assert "known for 2 of 5 images only" in about_training(known)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (CARD | {"known": 0, "patients": 0}, "the training data name none"),
        (CARD | {"known": 20}, "the training data name 7 patients for 20 of 26 images"),
        (CARD, "the training data name 7 patients"),
    ],
)
def test_patients_of_two_data_sets_are_not_compared(card: dict, said: str) -> None:
    """However many are known; and copies among images of another data set are not searched."""
    other = patients_elsewhere(pd.DataFrame({"patient": ["a", "b"]}), card)
    assert about_patients(other) == (
        f"Whether patients evaluated here were in training too is not known: {said}, and patients "
        "of two data sets cannot be compared."
    )
    assert other.units == "patients"
    assert bool(about_fit(other)) == (card != CARD)
    folder = patients_elsewhere(pd.DataFrame({"patient": [None, None]}), card)
    assert about_intervals(folder) == f"Intervals count each image {NARROW}"


def _page(p: Predictions, contaminated: np.ndarray, known: KnownPatients | None) -> str:
    """The text of the report, white space as one blank."""
    about = {"images": {"train": 9, "excluded": 3}}
    groups = np.arange(20) // 2
    page = render(evaluation_of(p, contaminated, patients=known, groups=groups, about=about), {})
    text = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.S)
    return " ".join(html.unescape(text).split())


def _first_screen(page: str) -> str:
    """What stands below the index, up to the section after the result."""
    start = page.index("How good it is")
    return page[start : page.index("Copies in training", start)]


@pytest.mark.parametrize("known", [ALL, SOME, NONE], ids=["all", "some", "none"])
def test_page_claims_no_patient_that_the_data_do_not_name(
    make_predictions, known: KnownPatients
) -> None:
    page = _page(make_predictions(20), np.arange(20) < 5, known)
    assert f"over 10 {known.units}: Wilson's" in page
    assert ("slice of the same patient" in page) == (known is not NONE)
    assert ("share a picture, or a patient, with training" in page) == (known is not NONE)
    kin = "copies" if known is NONE else "copies or patients"
    assert f"excluded 3, {kin} of images held out" in page
    first_screen = _first_screen(page)
    assert ("may be too narrow" in first_screen) == (known is not ALL)
    assert (BOTH in first_screen) == (known is not ALL)


def test_without_a_word_on_patients_they_are_not_known(make_predictions) -> None:
    page = _page(make_predictions(20), np.zeros(20, bool), None)
    first_screen = _first_screen(page)
    assert f"Patients are not known: {BOTH}" in first_screen
    assert "re-encoded, resized or mirrored." in page
    assert "None is of a patient" not in page
