"""errors.csv and wrong/: what the model got wrong, the surest first, whatever names say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braintumor.evaluation.record import Evaluation
from braintumor.records import Predictions
from braintumor.report.errors import write_errors
from braintumor.runs.kinds import EVALUATION
from braintumor.runs.ownership import mark, remove_own
from made_up import evaluation_of

CLASSES = ("glioma", "no_tumor")


def evaluation(classes: tuple[str, ...] = CLASSES, **more: object) -> Evaluation:
    """Six images; b, d and e are wrong with 0.6, 0.9 and 0.9 on the wrong class."""
    probs = np.array([0.8, 0.6, 0.3, 0.1, 0.9, 0.2])  # of the first class
    logits = np.log(np.stack([probs, 1 - probs], axis=1)).astype(np.float32)
    labels = np.array([0, 1, 1, 0, 1, 1])
    predictions = Predictions(classes, ("a", "b\nb", "c", "d", "e", "f"), labels, logits)
    known = np.array([True, False, False, True, False, False])
    images = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4)
    groups = np.array(["p1", "p2", "", "p1", "", ""], dtype=object)
    found = evaluation_of(predictions, known, images=images)
    return dataclasses.replace(found, groups=groups, **more)


def errors_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "errors.csv", keep_default_na=False, dtype={"in_training": str})


def test_wrong_images_stand_with_all_that_is_known_the_surest_first(tmp_path: Path) -> None:
    write_errors(tmp_path, evaluation())
    table = errors_of(tmp_path)
    assert table.drop(columns=["probability", "probability_true"]).to_dict("list") == {
        "path": ["d", "e", "b\nb"],
        "true": ["glioma", "no_tumor", "no_tumor"],
        "pred": ["no_tumor", "glioma", "glioma"],
        "group": ["p1", "", "p2"],
        "in_training": ["true", "false", "false"],
        "picture": ["", "", ""],
    }
    assert table["probability"].tolist() == pytest.approx([0.9, 0.9, 0.6], abs=1e-5)
    assert table["probability_true"].tolist() == pytest.approx([0.1, 0.1, 0.4], abs=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["errors.csv"]


def test_pictures_of_the_surest_are_kept_on_request(tmp_path: Path) -> None:
    write_errors(tmp_path, evaluation(wrong_pictures=2))
    assert errors_of(tmp_path)["picture"].tolist() == [
        "wrong/0001_glioma_as_no_tumor.png", "wrong/0002_no_tumor_as_glioma.png", "",
    ]  # fmt: skip
    assert len(list((tmp_path / "wrong").iterdir())) == 2
    with Image.open(tmp_path / "wrong" / "0001_glioma_as_no_tumor.png") as picture:
        assert np.array_equal(np.asarray(picture), evaluation().images[3])
    write_errors(tmp_path / "all", evaluation(wrong_pictures=50))
    assert len(list((tmp_path / "all" / "wrong").iterdir())) == 3


def test_what_is_not_known_is_empty_and_nothing_wrong_is_a_head_alone(tmp_path: Path) -> None:
    found = evaluation(wrong_pictures=2, images=None)
    unknown = dataclasses.replace(found.assessment, contaminated=None)
    write_errors(tmp_path, dataclasses.replace(found, assessment=unknown, groups=None))
    table = errors_of(tmp_path)
    assert table["in_training"].tolist() == table["group"].tolist() == ["", "", ""]
    assert table["picture"].tolist() == ["", "", ""]
    right = dataclasses.replace(found.predictions, labels=found.predictions.predicted)
    write_errors(tmp_path, dataclasses.replace(found, predictions=right))
    assert len(errors_of(tmp_path)) == 0
    assert "probability" in errors_of(tmp_path)


@pytest.mark.parametrize("name", ["../../x", "a/b", "w" * 300, "脳" * 300, "\udcff", "..", "T1C+"])
def test_names_of_classes_stay_in_the_folder_and_can_be_removed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "e"
    folder.mkdir()
    mark(folder, EVALUATION)
    write_errors(folder, evaluation((name, "no_tumor"), wrong_pictures=3))
    made = list(tmp_path.rglob("*.png"))
    assert len(made) == 3
    assert all(path.parent == folder / "wrong" for path in made)
    (folder / "wrong" / "mine.png").write_text("mine")
    remove_own(folder, EVALUATION)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [
        ".braintumor",
        "mine.png",
    ]
