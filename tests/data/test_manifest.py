from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from braintumor.data.manifest import (
    COLUMNS,
    Patients,
    class_table,
    count_patients,
    read_manifest,
    size_table,
    write_manifest,
)
from braintumor.errors import DataError

HOSTILE = [
    'a,b".jpg',
    "line\nbreak.jpg",
    "carriage\rreturn.jpg",
    "méningiome 图像.png",
    "=1+1",
    " spaces ",
    "NA",
    "<img onerror=x>.jpg",
    "no utf-8 \udcff.png",
    "#hash",
    "'quote'",
]


def manifest_of(paths: list[str], **columns: object) -> pd.DataFrame:
    table = pd.DataFrame({"path": paths}).assign(
        label="glioma", split=None, group=None, patient=None, sha256="0" * 64, width=8, height=6
    )
    table = table.assign(mode="L").assign(**columns)
    texts = [name for name in COLUMNS if name not in ("width", "height")]
    return table.astype(dict.fromkeys(texts, "str")).loc[:, list(COLUMNS)]


def test_hostile_names_survive_the_file(tmp_path: Path) -> None:
    manifest = manifest_of(HOSTILE, label="NA", patient=[*HOSTILE[:-1], None])
    write_manifest(tmp_path / "manifest.csv", manifest)
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.csv"), manifest)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)))
def test_any_name_survives_the_file(tmp_path: Path, names: list[str]) -> None:
    manifest = manifest_of(names)
    write_manifest(tmp_path / "manifest.csv", manifest)
    assert read_manifest(tmp_path / "manifest.csv")["path"].tolist() == names


def test_header_is_the_contract(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.csv", manifest_of(["a.png"]))
    header = (tmp_path / "manifest.csv").read_text().splitlines()[0]
    assert header.replace('"', "") == "path,label,split,group,patient,sha256,width,height,mode"


def test_absent_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="bt-data"):
        read_manifest(tmp_path / "manifest.csv")


@pytest.mark.parametrize("content", ["", "path,label\na,b\n", "width\nx\n", 'path\n"open'])
def test_other_csv_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(DataError):
        read_manifest(tmp_path / "manifest.csv")


def test_class_table_counts_by_hand() -> None:
    manifest = manifest_of(
        list("abcde"),
        label=["no_tumor", "glioma", "glioma", "glioma", "no_tumor"],
        split=["train", "test", "train", "train", None],
    )
    table = class_table(manifest)
    assert table.index.tolist() == ["glioma", "no_tumor"]
    assert table.columns.tolist() == ["train", "test", "total"]
    assert table.to_numpy().tolist() == [[2, 1, 3], [1, 0, 2]]


def test_class_table_without_splits_has_the_total() -> None:
    table = class_table(manifest_of(list("abc"), label=["b", "a", "b"]))
    assert table["total"].to_dict() == {"a": 1, "b": 2}
    assert table.columns.tolist() == ["total"]


def test_size_table_puts_the_most_frequent_first() -> None:
    manifest = manifest_of(list("abcd"), width=[8, 9, 9, 9], mode=["L", "L", "RGB", "RGB"])
    assert size_table(manifest).to_dict("list") == {
        "width": [9, 8, 9],
        "height": [6, 6, 6],
        "mode": ["RGB", "L", "L"],
        "images": [2, 1, 1],
    }


@pytest.mark.parametrize(
    ("patients", "expected", "words"),
    [
        (["p", "q", "p"], (3, 3, 2), "the patient of every image is known (2 patients)"),
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
