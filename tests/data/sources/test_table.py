from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from braintumor.data.sources.table import build
from braintumor.errors import ConfigError, DataError

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


@pytest.mark.parametrize(
    "name",
    ["PatientID", "Patient ID", "patient-id", "Patient.ID", "participant_id", "Subject", "Subj",
     "pid", "Case", "MRN", "pat_nr", "bcr_patient_barcode", "patient_idx", "Patienten-ID",
     "hasta_no", "anonymized_patient_id", "BraTS21ID", "TCGA ID", "Patient ID (anon.)", "patient#",
     "ID_patient", "BraTS_2020_subject_ID", "PIDs", "num_patient", "id_paciente", "UPENN-ID",
     "person_id", "Case No."],
)  # fmt: skip
def test_patients_are_found_however_their_column_is_spelt(root: Path, name: str) -> None:
    source = build(write(root, f"path,label,{name}\nimg/1.png,a,p\nimg/2.png,b,q\n"), None)
    assert [item.patient for item in source.items] == ["p", "q"]
    assert source.ignored == {}


MARKED = {  # columns of 0 and 1 -> of a first and a second row, and the splits that they say
    "is_test ": ("0", "1", ["train", "test"]),
    "isTest": ("False", "True", ["train", "test"]),
    "IsTrain": ("1.0", "0.0", ["train", "test"]),
    "train": ("1", "0", ["train", "test"]),
    "Test": ("0", "1", ["train", "test"]),
    "in_test": ("no", "Yes", ["train", "test"]),
    "validation": ("0", "1", ["train", "val"]),
    "is_train,is_test": ("1,0", "0,1", ["train", "test"]),
    "train,val,test": ("0,1,0", "0,0,1", ["val", "test"]),
    "is_test,split": ("1,train", "0,test", ["train", "test"]),  # the clearer one
    "is_valid": ("0", "1", [None, None]),
    "is_test,is_train": ("1,1", "0,1", [None, None]),
    "is_test": ("0", "0", ["train", "train"]),
}


@pytest.mark.parametrize("name", MARKED)
@pytest.mark.parametrize("classes", ["label", "glioma,no"])
def test_columns_of_0_and_1_say_the_split(root: Path, name: str, classes: str) -> None:
    """Where they divide the rows; else they are named as unused."""
    first, second, splits = MARKED[name]
    labels = ("glioma", "no") if classes == "label" else ("1,0", "0,1")
    text = f"path,{name},{classes}\nimg/1.png,{first},{labels[0]}\nimg/2.png,{second},{labels[1]}\n"
    if splits == [None, None] and classes != "label":
        return  # one more column of 0 and 1: which are classes, is asked
    source = build(write(root, text), None)
    assert [(i.label, i.split) for i in source.items] == [
        ("glioma", splits[0]), ("no", splits[1]),
    ]  # fmt: skip
    assert bool(source.ignored) == (splits == [None, None] or "split" in name)


def test_a_column_that_names_splits_does_so_in_every_row(root: Path) -> None:
    """Else rows of none would be divided anew with the others."""
    rows = "img/1.png,a,train\nimg/2.png,b,{}\nimg/10.png,b,test\n"
    for other, reason in (("", "for some images only"), ("excluded", "line 3 .*'excluded'")):
        with pytest.raises(DataError, match=reason):
            build(write(root, f"path,label,set\n{rows.format(other)}"), None)


def test_paths_are_known_by_what_they_are(root: Path) -> None:
    """The one column of names of images, whatever it is called."""
    table = write(root, "slice_path,mask,target\nimg/1.png,x,a\nimg/2.png,y,b\n")
    assert [item.path for item in build(table, None).items] == ["img/1.png", "img/2.png"]
    two = write(root, "scan,mask,target\nimg/1.png,img/2.png,a\n")
    with pytest.raises(DataError, match="no column path, only scan, mask, target"):
        build(two, None)


def test_names_of_classes_count_before_numbers(root: Path) -> None:
    source = build(write(root, "path,label,class\nimg/1.png,0,no\nimg/2.png,1,glioma\n"), None)
    assert [item.label for item in source.items] == ["no", "glioma"]
    assert list(source.ignored) == [
        "values of column label, since column class is used as the label"
    ]


@pytest.mark.parametrize("before", ["", "\n \n", "# who made it, and when\n", "sep=,\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_table_is_read_however_it_was_saved(root: Path, before: str, encoding: str) -> None:
    table = write(root, f"{before}path,label\nimg/1.png,a\nimg/2.png,\n", encoding=encoding)
    with pytest.raises(DataError, match=f"line {3 + before.count(chr(10))} "):
        build(table, None)
    write(root, f"{before}path,label\nimg/1.png,méningiome\n", encoding=encoding)
    assert [item.label for item in build(table, None).items] == ["méningiome"]


@pytest.mark.parametrize(
    "header",
    ["Image Path,Class Name", "FileName,Tumor-Type", "img.path,LABEL", "Images,labels", "id,y"],
)
def test_paths_and_labels_too(root: Path, header: str) -> None:
    (item,) = build(write(root, f"{header}\nimg/1.png,a\n"), None).items
    assert (item.path, item.label) == ("img/1.png", "a")


@pytest.mark.parametrize("name", ["set", "Set", "partition", "Phase", "usage"])
def test_a_column_of_splits_is_one(root: Path, name: str) -> None:
    text = f"path,label,{name}\nimg/1.png,a,Training\nimg/2.png,b,TEST\n"
    source = build(write(root, text), None)
    assert [item.split for item in source.items] == ["train", "test"]
    assert source.ignored == {}


@pytest.mark.parametrize("other", ["figshare", "1", ""])
def test_a_set_that_is_no_split_is_named(root: Path, other: str) -> None:
    """A batch, a source or a phase of contrast goes by the same names."""
    text = f"path,label,set\nimg/1.png,a,train\nimg/2.png,b,{other}\n"
    source = build(write(root, text), None)
    assert [item.split for item in source.items] == [None, None]
    name = "values of column set, which are not all train, val or test"
    assert source.ignored == {name: 2 if other else 1}


def test_every_column_without_a_use_is_named(root: Path) -> None:
    """How many rows have it is said too; a fold is no split."""
    text = "path,Age,label,fold,\nimg/1.png,44,a,0,x\nimg/2.png,,b,1,y\n"
    source = build(write(root, text), None)
    assert [item.split for item in source.items] == [None, None]
    assert source.ignored == {
        "values of column Age": 1,
        "values of column fold, since folds are drawn anew": 2,
        "values of a column without a name": 2,
    }


def test_of_two_columns_the_better_name_counts_and_the_other_is_named(root: Path) -> None:
    text = "case,path,label,Patient ID,set,split\n1,img/1.png,a,p,test,train\n"
    source = build(write(root, text), None)
    assert [(item.patient, item.split) for item in source.items] == [("p", "train")]
    assert source.ignored == {
        "values of column case, since column Patient ID is used as the patient": 1,
        "values of column set, since column split is used as the split": 1,
    }


@pytest.mark.parametrize("unknown", ["", " ", "nan", "N/A", "unknown", "?"])
def test_a_patient_may_be_unknown(root: Path, unknown: str) -> None:
    """Two images of unknown patients are not of one patient called unknown."""
    text = f"path,label,patient\nimg/1.png,a,p\nimg/2.png,b,{unknown}\nimg/10.png,b,{unknown}\n"
    assert [i.patient for i in build(write(root, text), None).items] == ["p", None, None]


@pytest.mark.parametrize("name", ["patient_age", "Patient Sex", "category", "subset_of", "brain"])
def test_what_is_told_of_a_patient_is_not_whose_image_it_is(root: Path, name: str) -> None:
    source = build(write(root, f"path,label,{name}\nimg/1.png,a,p\nimg/2.png,b,q\n"), None)
    assert source.ignored and {item.patient for item in source.items} == {None}


@pytest.mark.parametrize("name", ["train_test", "what is it for", "Partition"])
def test_a_column_whose_values_are_all_splits_is_the_split(root: Path, name: str) -> None:
    text = f"path,label,{name}\nimg/1.png,a,TRAIN\nimg/2.png,b,hold-out\nimg/10.png,b,dev\n"
    assert [i.split for i in build(write(root, text), None).items] == ["train", "test", "val"]


def test_splits_may_be_said_in_words(root: Path) -> None:
    text = "path,label,split\nimg/1.png,a,Training set\nimg/2.png,b,Test (20%)\n"
    assert [i.split for i in build(write(root, text), None).items] == ["train", "test"]


def test_names_of_classes_count_before_their_numbers(root: Path) -> None:
    source = build(write(root, "path,label,label_name\nimg/1.png,0,no\nimg/2.png,1,yes\n"), None)
    assert [item.label for item in source.items] == ["no", "yes"]
    assert source.ignored == {
        "values of column label, since column label_name is used as the label": 2
    }


def test_a_patient_is_one_however_a_spreadsheet_wrote_the_number(root: Path) -> None:
    text = "path,label,patient\nimg/1.png,a,7\nimg/2.png,b,7.0\nimg/10.png,b,7.5\n"
    assert [i.patient for i in build(write(root, text), None).items] == ["7", "7", "7.5"]


def test_patients_are_found_in_the_paths_of_a_table_where_no_column_tells(root: Path) -> None:
    text = "path,label,patient\nimg/1.png,a,\nimg/2.png,b,p7\n"
    source = build(write(root, text), None, patient_regex=r"(\d+)\.png")
    assert [item.patient for item in source.items] == ["1", "p7"]
    with pytest.raises(ConfigError, match="finds no patient"):
        build(write(root, text), None, patient_regex="subject")


def test_one_file_under_two_spellings_of_its_path_is_listed_twice(root: Path) -> None:
    with pytest.raises(DataError, match=r"lists twice: img/1\.png"):
        build(write(root, "path,label\nimg/1.png,a\n./img//1.png,b\n"), None)


@pytest.mark.parametrize("path", ["IMG/1.PNG", "img/1.jpg", "img/1.dcm", "1.JPEG"])
def test_another_case_or_suffix_of_a_path_is_read_and_said(root: Path, path: str) -> None:
    source = build(write(root, f"path,label\nimg/2.png,b\n{path},a\n"), None)
    assert [item.path for item in source.items] == ["img/1.png", "img/2.png"]
    assert source.ignored == {"spellings of paths, where the file has another case or suffix": 1}


def test_tables_of_splits_are_offered_together_where_each_says_classes(root: Path) -> None:
    write(root, "id,label\n1,a\n2,b\n", "train.csv")
    write(root, "id\n10\n", "test.csv")
    with pytest.raises(DataError, match=f"such as data.table={root}/train.csv$"):
        build(None, root)


def test_a_folder_in_the_place_of_a_table_names_the_tables_in_it(root: Path) -> None:
    for name in ("train.csv", "test.csv", "labels.csv"):
        write(root, "path,label\nimg/1.png,a\n", name)
    for table, data_root in ((None, root), (root, None)):
        with pytest.raises(DataError) as caught:
            build(table, data_root)
        assert str(caught.value).endswith(
            f"data.table={root}/labels.csv, data.table={root}/test.csv, data.table={root}/train.csv"
        )
    (root / "labels.csv").unlink()
    with pytest.raises(DataError, match=f"such as data.table={root} for all splits, "):
        build(None, root)


@pytest.mark.parametrize(
    ("tables", "start"),
    [
        (["train.csv", "brain_test.csv", "labels_val.tsv"], "img/"),
        (["train/_classes.csv", "valid/_classes.csv", "Test/_classes.csv"], "../img/"),
    ],
)
def test_a_folder_of_one_table_a_split_is_one_set(
    make_tree: MakeTree, tables: list[str], start: str
) -> None:
    """As people prepare them, and as annotation services export them."""
    root = make_tree("img/1.png", "img/2.png", "img/3.png", *tables)
    for number, name in enumerate(tables, 1):
        write(root, f"filename,no,yes\n{start}{number}.png,1,0\n", name)
    source = build(root, None)
    assert [item.path for item in source.items] == ["img/1.png", "img/2.png", "img/3.png"]
    splits = {item.split for item in source.items}
    assert splits == {"train", "val", "test"}
    assert source.read(source.items[0]) == (root / "img/1.png").read_bytes()
    write(root, f"filename,no,yes\n{start}1.png,1,0\n", tables[1])
    with pytest.raises(DataError, match=r"lists twice: img/1\.png"):
        build(root, None)


@pytest.mark.parametrize("start", ["/kaggle/input/brain/", "C:\\data\\", "../other/"])
def test_folders_of_another_computer_are_no_part_of_the_paths(root: Path, start: str) -> None:
    source = build(write(root, f"path,label\n{start}1.png,a\n{start}2.png,b\n"), root)
    assert [i.path for i in source.items] == ["img/1.png", "img/2.png"]
    said = start.replace("\\", "/")
    assert source.ignored == {f"beginnings of paths, {said}, where no file is": 2}


def test_the_folder_of_a_class_is_never_dropped_from_a_path(make_tree: MakeTree) -> None:
    """no/1.png is not yes/1.png, though no other file of that name is there."""
    root = make_tree("no/1.png", "no/2.png")
    with pytest.raises(DataError, match=r"1 of 3 files.*yes/3\.png"):
        build(write(root, "path,label\nno/1.png,a\nno/2.png,a\nyes/3.png,b\n"), None)
    with pytest.raises(DataError, match="2 of 2 files"):
        build(write(root, "path,label\nx/yes/1.png,a\nx/no/2.png,b\n", "other.csv"), None)


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
        ("path,kind\nimg/1.png,a\n", "only path, kind; call the column of the classes label$"),
        ("pixels,kind\n", "call the column of the images path and the column of the classes label"),
        ("# of 2020\n", "is empty|no column path"),
        ("Patient,Cluster\nTCGA_CS_4941,2\n", r"a row for each patient \(column Patient\)"),
        ('[{"path": "img/1.png"}]', "is JSON, not a CSV file"),
        ("PAR1\x15\x04", "is a Parquet file, not a CSV file"),
        ("img/1.png 0\nimg/2.png 1\n", "no names of columns; put a line before all: path,label"),
        ("path,label\nimg/1.png,Unknown\n", r"line 2 .*no label \('Unknown' is none; "),
        (
            "path,label\nimg/1.png,-1\n",
            r"line 2 .*no label \('-1' is none; a class is a name, or 0, 1, …\)",
        ),
        ("path,is_train,is_test\nimg/1.png,0,1\nimg/2.png,1,0\n", "only path, is_train, is_test; "),
        ("", "is empty; its first line should be: path,label"),
        ("PK\x03\x04", "as workbooks.* are, not a CSV file; save it as CSV"),
        ("img/1.png,a\nimg/2.png,b\n", "no names of columns; put a line before all: path,label"),
        ("path,label\nimg/1.png,nan\n", "line 2 .*no label"),
        ("path,a,b\nimg/1.png,0,0\n", r"columns of 0 and 1 \(a, b\) each row should have one 1"),
        ("path,label\n", "lists no image"),
        ("path,label\nimg/1.png\n", "line 2"),
        ("path,label\nimg/1.png,a\n\nimg/2.png,b,c\n", "line 4"),
        ("path,label\nimg/1.png,\n", "line 2 .*no label"),
        ("path,label,split\nimg/1.png,a,mine\n", "'mine'; use train, val or test"),
        ("path,label,split\nimg/1.png,a,train\nimg/2.png,b,\n", "for some images only.*img/2.png"),
        ("path,label\nimg/1.png,a\nimg/1.png,b\n", "lists twice: img/1.png"),
        (
            "path,label\nimg/1.png,a\nimg/7.png,b\n",
            "1 of 2 files.*img/7.png; put them there, or remove",
        ),
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


def test_a_class_may_have_a_column_of_0_and_1(root: Path) -> None:
    text = "path,no,yes,age\nimg/1.png,1,0,40\nimg/2.png,0,1,50\nimg/10.png,0.0,1.0,1\n"
    source = build(write(root, text), None)
    assert [item.label for item in source.items] == ["no", "yes", "yes"]
    assert source.ignored == {"values of column age": 3}


@pytest.mark.parametrize("rows", ["1,1", "0,0"])
def test_columns_of_0_and_1_that_leave_a_row_without_one_class_are_no_label(
    root: Path, rows: str
) -> None:
    with pytest.raises(DataError, match="no column label"):
        build(write(root, f"path,no,yes\nimg/1.png,1,0\nimg/2.png,{rows}\n"), None)


@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_the_line_by_which_excel_names_the_separator_is_no_header(
    root: Path, separator: str
) -> None:
    text = f"sep={separator}\npath{separator}label\nimg/1.png{separator}a\n"
    (item,) = build(write(root, text), None).items
    assert (item.path, item.label) == ("img/1.png", "a")


@pytest.mark.parametrize(
    ("path", "data_root"), [("1", "img"), ("img/1", "."), ("1.png", "."), ("1", ".")]
)
def test_a_file_is_found_without_its_suffix_and_folders(
    root: Path, path: str, data_root: str
) -> None:
    source = build(write(root, f"Image,Class\n{path},a\n"), root / data_root)
    assert source.read(source.items[0]) == (root / "img/1.png").read_bytes()


def test_a_name_that_may_be_several_files_is_refused(make_tree: MakeTree) -> None:
    root = make_tree("a/1.png", "b/1.png")
    with pytest.raises(DataError, match=r"1 may be a/1\.png, b/1\.png"):
        build(write(root, "path,label\n1,x\n"), None)


def test_whole_numbers_that_a_spreadsheet_wrote_are_whole_numbers(root: Path) -> None:
    source = build(write(root, "path,label\nimg/1.png,0.0\nimg/2.png,1.00\nimg/10.png,1.5\n"), None)
    assert [item.label for item in source.items] == ["0", "1", "1.5"]


@pytest.mark.parametrize("table", ["train.csv", "train/metadata.csv"])
def test_of_two_files_of_a_name_the_one_of_the_split_is_taken(
    make_tree: MakeTree, table: str
) -> None:
    """As competitions come: train.csv beside train/, and test/ with the same names."""
    root = make_tree("train/1.png", "train/2.png", "test/1.png", "test/2.png")
    (root / table).write_text("id,label\n1,a\n2,b\n")
    paths = [item.path for item in build(root / table, root).items]
    assert paths == ["train/1.png", "train/2.png"]
