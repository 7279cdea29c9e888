from __future__ import annotations

import pytest

from braintumor.data.labels import CANONICAL, collapse_to_binary, harmonise
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


def test_name_without_letters_is_refused() -> None:
    with pytest.raises(DataError, match="rename"):
        harmonise("!!!")


def test_binary_collapse_keeps_no_tumor_and_joins_the_rest() -> None:
    labels = ["glioma", "no_tumor", "pituitary", "tumor"]
    assert collapse_to_binary(labels) == ["tumor", "no_tumor", "tumor", "tumor"]


def test_tumours_alone_collapse_to_tumor() -> None:
    assert collapse_to_binary(["glioma", "pituitary", "tumor"]) == ["tumor"] * 3


def test_binary_collapse_refuses_a_class_that_may_be_the_healthy_one() -> None:
    with pytest.raises(DataError, match=r"glioma, grade_0; rename .* to no_tumor"):
        collapse_to_binary(["glioma", "grade_0"])
