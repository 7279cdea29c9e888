from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from braintumor.data.sources.table import build
from braintumor.errors import DataError

MakeTree = Callable[..., Path]


@pytest.fixture
def root(make_tree: MakeTree) -> Path:
    return make_tree("img/1.png", "img/2.png", "img/10.png")


def write(root: Path, text: str, name: str = "list.csv", encoding: str = "utf-8") -> Path:
    (root / name).write_text(text, encoding=encoding)
    return root / name


def test_columns_are_read(root: Path) -> None:
    table = write(
        root,
        "path,label,patient,split\n"
        "img/10.png,glioma,p1,Training\nimg/2.png,no,,test\nimg/1.png,no,p2,valid\n",
    )
    source = build(table, None)
    assert [(i.path, i.label, i.patient, i.split) for i in source.items] == [
        ("img/1.png", "no", "p2", "val"),
        ("img/2.png", "no", None, "test"),
        ("img/10.png", "glioma", "p1", "train"),
    ]
    assert source.read(source.items[0]) == (root / "img/1.png").read_bytes()


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("filename,class,subject", "utf-8"),
        ("Image;LABEL;Patient_ID", "utf-8-sig"),
        ("file\tdiagnosis\tsubject_id", "utf-8"),
    ],
)
def test_aliases_and_separators(root: Path, header: str, encoding: str) -> None:
    mark = next(c for c in ",;\t" if c in header)
    rows = [["img/1.png", "a", "p"], ["img/2.png", "b", "q"]]
    table = write(root, "\n".join([header, *map(mark.join, rows)]), encoding=encoding)
    assert [[i.path, i.label, i.patient] for i in build(table, None).items] == rows


def test_root_is_where_paths_start(root: Path, tmp_path: Path) -> None:
    table = write(tmp_path, "path,label\n1.png,a\n2.png,b\n")
    assert len(build(table, root / "img").items) == 2


def test_table_may_be_given_as_root(root: Path) -> None:
    assert len(build(None, write(root, "path,label\nimg/1.png,a\nimg/2.png,b\n")).items) == 2


def test_backslashes_of_another_system_are_read(root: Path) -> None:
    assert build(write(root, "path,label\nimg\\1.png,a\n"), None).items[0].path == "img/1.png"


def test_quoted_names_hold_commas(make_tree: MakeTree) -> None:
    root = make_tree("a, b.png")
    assert build(write(root, 'path,label\n"a, b.png",x\n'), None).items[0].path == "a, b.png"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,kind\nimg/1.png,a\n", "no column label, only path, kind"),
        ("", "no column path and no column label"),
        ("path,label\n", "lists no image"),
        ("path,label\nimg/1.png\n", "line 2"),
        ("path,label\nimg/1.png,a\n\nimg/2.png,b,c\n", "line 4"),
        ("path,label\nimg/1.png,\n", "line 2 .*no label"),
        ("path,label,split\nimg/1.png,a,holdout\n", "'holdout'; use train, val or test"),
        ("path,label,split\nimg/1.png,a,train\nimg/2.png,b,\n", "for some images only.*img/2.png"),
        ("path,label\nimg/1.png,a\nimg/1.png,b\n", "lists twice: img/1.png"),
        ("path,label\nimg/1.png,a\nimg/7.png,b\n", "1 of 2 files.*img/7.png; set data.root"),
    ],
)
def test_what_is_wrong_is_said(root: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        build(write(root, text), None)


def test_many_absent_files_are_one_error(root: Path) -> None:
    rows = "".join(f"gone/{i}.png,a\n" for i in range(50))
    with pytest.raises(DataError, match=r"50 of 50 files.*gone/4\.png and 45 more"):
        build(write(root, "path,label\n" + rows), None)


def test_other_encoding_is_named(root: Path) -> None:
    with pytest.raises(DataError, match="UTF-8"):
        build(write(root, "path,label\nimg/1.png,méningiome\n", encoding="latin-1"), None)


def test_missing_table_says_how_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.table=FILE\.csv"):
        build(None, tmp_path)
    with pytest.raises(DataError, match="is not a file"):
        build(tmp_path / "no.csv", None)
