"""predictions.csv: what is written is read again, whatever classes and files are called."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from braintumor.records import Predictions
from braintumor.runs.predictions_table import (
    read_predictions,
    unlabelled_table,
    write_predictions,
    write_table,
)

LOGITS = np.array([[2.0, -1.0], [0.5, 0.25], [-3.0, 4.0]], dtype=np.float32)
ODD = Predictions(("no", "NA"), ('a"\n,b', "ä", "c\udcff"), np.array([0, 1, 1]), LOGITS)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_predictions(tmp_path, ODD, np.array([True, False, False]), {"set": ["no", "", "NA"]})
    read = read_predictions(tmp_path)
    assert read.classes == ODD.classes  # NA is a class and no missing value
    assert read.paths.tolist() == ['a"\n,b', "ä", "c\\udcff"]  # no UTF-8: backslashed
    assert read.labels.tolist() == [0, 1, 1]
    assert read.predicted.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(read.probs.astype(np.float32), ODD.probs.astype(np.float32))
    assert read.in_training is not None
    assert read.in_training.tolist() == [True, False, False]


def test_sorted_classes_keep_their_numbers_and_probabilities(tmp_path: Path) -> None:
    write_predictions(tmp_path, ODD, None, {})
    read = read_predictions(tmp_path, sort_classes=True)
    assert read.classes == ("NA", "no")
    assert read.labels.tolist() == [1, 0, 0]
    assert read.probs[0, 1] == pytest.approx(ODD.probs[0, 0], abs=1e-9)
    assert read.in_training is None


def test_header_is_the_contract(tmp_path: Path) -> None:
    write_predictions(tmp_path, ODD, np.zeros(3, bool), {"answered": ["true"] * 3})
    header = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    assert header == '"path","true","pred","prob_no","prob_NA","in_training","answered"'
    nobody = dataclasses.replace(ODD, labels=np.full(3, -1))
    write_table(tmp_path, unlabelled_table(nobody, {"overlay": ["", "", ""]}))
    header = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    assert header == '"path","pred","prob_no","prob_NA","overlay"'


@pytest.mark.parametrize("row", ["x,a,b,1", "x,b,a,1", "x,a,a,much"])
def test_damaged_rows_are_refused(tmp_path: Path, row: str) -> None:
    (tmp_path / "predictions.csv").write_text(f"path,true,pred,prob_a\n{row}\n")
    with pytest.raises(ValueError, match=r"do not fit|much"):
        read_predictions(tmp_path)
