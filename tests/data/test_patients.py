"""Of how many images the patient is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braintumor.data.manifest import Patients, count_patients


@pytest.mark.parametrize(
    ("patients", "expected", "words"),
    [
        (["p", "q", "p"], (3, 3, 2), "all images name their patient (2 patients)"),
        (["p", None, "p", ""], (4, 2, 1), "patients are known for 2 of 4 images only"),
        ([None, np.nan, ""], (3, 0, 0), "patients are not known"),
    ],
)
def test_missing_patients_are_not_counted(
    patients: list[str | None], expected: tuple[int, int, int], words: str
) -> None:
    found = count_patients(pd.DataFrame({"patient": patients}))
    assert found == Patients(*expected)
    assert found.words == words
    assert found.are_known == (expected[0] == expected[1])


def test_a_table_without_the_column_knows_no_patient() -> None:
    assert count_patients(pd.DataFrame({"path": ["a", "b"]})) == Patients(2, 0, 0)
