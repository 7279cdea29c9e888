from __future__ import annotations

import re

import pytest

from braintumor.data.labels import (
    CANONICAL,
    ask_names,
    classes_in,
    collapse_to_binary,
    harmonise,
    harmonise_all,
    name_numbers,
)
from braintumor.errors import DataError


@pytest.mark.parametrize(
    ("found", "canonical"),
    [
        ("notumor", "no_tumor"),
        ("no", "no_tumor"),
        ("No Tumour", "no_tumor"),
        ("NO-TUMOR", "no_tumor"),
        ("normal", "no_tumor"),
        ("Healthy", "no_tumor"),
        ("glioma_tumor", "glioma"),
        ("Glioma", "glioma"),
        ("meningioma tumor", "meningioma"),
        ("Pituitary-Tumor", "pituitary"),
        ("yes", "tumor"),
        (" Tumour ", "tumor"),
        ("Tümör Yok", "no_tumor"),
        ("sağlıklı", "no_tumor"),
        ("sin_tumor", "no_tumor"),
        ("Saudável", "no_tumor"),
        ("con tumor", "tumor"),
        ("Meningeoma", "meningioma"),
        ("Hipófisis", "pituitary"),
        ("Not Tumor", "no_tumor"),
        ("Kein Tumor", "no_tumor"),
        ("Tidak Ada Tumor", "no_tumor"),
        ("Нет опухоли", "no_tumor"),
        ("脑膜瘤", "meningioma"),
        ("tumor_no", "no_tumor"),
    ],
)
def test_spellings_of_public_sets_become_canonical(found: str, canonical: str) -> None:
    assert harmonise(found) == canonical


@pytest.mark.parametrize("name", CANONICAL)
def test_canonical_names_stay(name: str) -> None:
    assert harmonise(name) == name


def test_unknown_class_is_kept_as_words() -> None:
    assert harmonise("Grade II (low)") == "grade_ii_low"
    assert harmonise("Астроцитома") == "астроцитома"
    assert harmonise(r"$\frac$") == "frac"


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ("Glioma T1C+", "glioma_t1c+"),
        ("Glioma T1C-", "glioma_t1c-"),
        ("T1C\N{MINUS SIGN}", "t1c-"),
        ("grade -1", "grade_-1"),
        ("grade-1", "grade_1"),
        ("low \N{EN DASH} grade", "low_grade"),
        ("<10 mm", "<10_mm"),
        (">10 mm", ">10_mm"),
        ("5%", "5%"),
        ("_T1 weighted-", "t1_weighted-"),
        ("=cmd", "cmd"),
    ],
)
def test_a_sign_stays_where_it_does_not_join_words(found: str, kept: str) -> None:
    assert harmonise(found) == kept
    assert harmonise(kept) == kept


def test_names_that_only_punctuation_tells_apart_are_not_made_one_in_silence() -> None:
    assert harmonise_all(["T1C+", "t1c-", "Grade 1", "grade_1", "no", "Normal"]) == {
        "T1C+": "t1c+", "t1c-": "t1c-", "Grade 1": "grade_1", "grade_1": "grade_1",
        "no": "no_tumor", "Normal": "no_tumor",
    }  # fmt: skip
    with pytest.raises(DataError, match=r"'grade 1' and 'grade 1\?'.*same name, grade_1; rename"):
        harmonise_all(["grade 1", "grade 1?", "no"])


@pytest.mark.parametrize(
    ("labels", "healthy"),
    [
        ("Normal Stroke", "normal"),
        ("normal hemorrhagic ischemic", "normal"),
        ("No Bleeding", "no"),
        ("Healthy MS", "healthy"),
        ("Normal Hematoma", "normal"),
        ("Normal Abnormal", "normal"),
        ("NORMAL", "no_tumor"),
        ("Normal no_tumor Stroke", "no_tumor"),
        ("normal Healthy stroke", "no_tumor"),  # two names of one class
        ("no yes", "no_tumor"),
        ("Normal glioma stroke", "no_tumor"),
        ("Normal 512Glioma", "no_tumor"),
        ("Normal Astrocitoma", "no_tumor"),
        ("Normal LGG HGG", "no_tumor"),
        ("Healthy Glioblastoma", "no_tumor"),
        ("Normal Benign Malignant", "no_tumor"),
    ],
)
def test_a_healthy_class_is_no_tumor_beside_tumors_alone(labels: str, healthy: str) -> None:
    """Of normal and stroke nothing says that there is none; a model has its own name."""
    found = labels.split()
    assert harmonise_all(found)[found[0]] == healthy
    assert harmonise_all(found, ("no_tumor", "glioma"))[found[0]] == "no_tumor"
    assert harmonise_all(found, ("healthy", "stroke"))[found[0]] == "healthy"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("512Glioma", {"glioma"}),
        ("512 No Tumor", {"no_tumor"}),
        ("meningioma and pituitary", {"meningioma", "pituitary"}),
        ("NormalTrain", {"no_tumor"}),
        ("no contrast", set()),
        ("no", {"no_tumor"}),
        ("Raw Data", set()),
    ],
)
def test_known_classes_are_found_as_words_of_a_name(name: str, known: set[str]) -> None:
    assert classes_in(name) == known


def test_name_without_letters_is_refused() -> None:
    with pytest.raises(DataError, match="rename"):
        harmonise("!!!")


def test_binary_collapse_keeps_no_tumor_and_joins_the_rest() -> None:
    labels = ["glioma", "no_tumor", "pituitary", "tumor"]
    assert collapse_to_binary(labels) == ["tumor", "no_tumor", "tumor", "tumor"]


@pytest.mark.parametrize(
    "labels", [["0", "1"], ["1", "2", "3"], ["class_2", "class_5"], ["False", "True"]]
)
@pytest.mark.parametrize("first", [None, "no_tumor"])
def test_the_setting_that_names_numbers_works_as_typed(
    labels: list[str], first: str | None
) -> None:
    """Which of them is what, and which without a tumor, is the user's to say."""
    setting = ask_names(labels, first)
    assert setting
    names = re.findall(r"\w+", setting.partition("[")[2])
    named = name_numbers(labels, names)
    assert named == [first or f"name_of_{labels[0]}", *(f"name_of_{n}" for n in labels[1:])]
    with pytest.raises(DataError, match="the lowest of them is without tumour: "):
        collapse_to_binary([harmonise(label) for label in labels])
    assert set(collapse_to_binary(["no_tumor", *named[1:]])) == {"no_tumor", "tumor"}


@pytest.mark.parametrize("labels", [["0", "glioma"], ["grade_1", "grade_2"], ["1", "2000"], []])
def test_what_is_no_number_is_not_asked_for_a_name(labels: list[str]) -> None:
    assert ask_names(labels) is None


def test_tumours_alone_collapse_to_tumor() -> None:
    assert collapse_to_binary(["glioma", "pituitary", "tumor"]) == ["tumor"] * 3


def test_binary_collapse_refuses_a_class_that_may_be_the_healthy_one() -> None:
    with pytest.raises(DataError, match=r"glioma, grade_0; rename .* to no_tumor"):
        collapse_to_binary(["glioma", "grade_0"])


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["0", "yes"], "there is a label 'yes'"),
        (["0", "2"], "names only 2 classes, from label 0 on; name them all"),
        (["1", "2"], r"give 0 a name too: 'data\.class_names=\[unused,"),
        (["-1"], "label '-1'"),
    ],
)
def test_labels_that_names_do_not_fit_are_refused(labels: list[str], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        name_numbers(labels, ["no_tumor", "tumor"])


def test_a_name_that_says_normal_among_other_words_is_no_tumor_when_binary() -> None:
    labels = ["normal_t1", "no_tumor", "glioma_t1c+", "glioma_normal_dose", "abnormal"]
    assert collapse_to_binary(labels) == ["no_tumor", "no_tumor", "tumor", "tumor", "tumor"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["0_no_tumor", "1_glioma", "2_Meningioma_Tumor"], ["no_tumor", "glioma", "meningioma"]),
        (["1. Glioma", "02) pituitary"], ["glioma", "pituitary"]),
        (["1_glioma", "2_glioma"], ["1_glioma", "2_glioma"]),  # grades, or hospitals
        (["1_glioma", "glioma"], ["1_glioma", "glioma"]),
        (["1_glioma", "2_metastasis"], ["1_glioma", "2_metastasis"]),
        (["1", "2"], ["1", "2"]),
    ],
)
def test_classes_that_are_numbered_go_by_their_names(labels: list[str], classes: list[str]) -> None:
    assert [harmonise_all(labels)[label] for label in labels] == classes


def test_negative_and_positive_are_of_a_tumor_only_where_the_user_says_so() -> None:
    assert harmonise_all(["negative", "positive"])["positive"] == "positive"
    assert collapse_to_binary(["negative", "positive"]) == ["no_tumor", "tumor"]
    with pytest.raises(DataError, match="a class no_tumor is needed"):
        collapse_to_binary(["negative", "positive", "unclear"])
