"""Folders that may be classes or not: one reading is taken, of two both are shown and both work."""

from __future__ import annotations

import re
import shlex
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from braintumor.data.patients import patient_pattern
from braintumor.data.sources import Source, archive, build_source, kaggle
from braintumor.data.sources._look import Choice
from braintumor.data.sources.folder import build
from braintumor.errors import DataError

MakeTree = Callable[..., Path]


def images_in(*folders: str) -> list[str]:
    """Two pictures in each folder."""
    return [f"{folder}/{number}.png" for folder in folders for number in (1, 2)]


def of_splits(*classes: str) -> list[str]:
    return [f"{split}/{name}" for split in ("train", "test") for name in classes]


def classes_of(source: Source) -> set[str]:
    return {item.label for item in source.items}


def readings(message: str) -> dict[str, str]:
    """The settings that an error offers -> what it says of them."""
    lines = [line.strip() for line in message.splitlines()[1:]]
    return dict(re.split(r"  +", line, maxsplit=1) for line in lines)


def options(settings: str) -> dict[str, Any]:
    """Options of the source as the shell and Hydra make them of pasted words."""
    parser = OverridesParser.create()
    overrides = [parser.parse_override(word) for word in shlex.split(settings)]
    values = {str(o.key_or_group): o.value() for o in overrides}
    values.pop("split", None)
    return {key.removeprefix("data."): value for key, value in values.items()}


# folders -> a word of the reason, and the settings that are offered
TWO_WAYS = {
    "split_word_in_split": (
        [*of_splits("glioma", "no"), "test/test"],
        "test/test has the name of a split",
        ["'data.ignore=[test/test]'", "'data.classes=[glioma,no,test]' split=stratified"],
    ),
    "unlabelled_test": (
        ["train/glioma", "train/no", "test/test"],
        "test/test",
        ["'data.ignore=[test/test]'", "'data.classes=[glioma,no,test]' split=stratified"],
    ),
    "unlabelled_test_of_any_name": (
        [*of_splits("glioma", "no"), "test/all_of_them"],
        "test/all_of_them has no folder in train",
        ["'data.ignore=[test/all_of_them]'",
         "'data.classes=[glioma,no,all_of_them]' split=stratified"],
    ),
    "numbers_in_train_beside_names_in_test": (
        ["train/0", "train/1", "test/no", "test/yes"],
        "0 lies beside no and yes, which are all classes of such a set; if it is one",
        ["'data.classes=[no,yes]' split=stratified",
         "\"data.classes=[no,yes,'0','1']\" split=stratified"],
    ),
    "splits_in_a_class": (
        ["no", "yes", "Mask-RCNN/TRAIN", "Mask-RCNN/VAL"],
        "Mask-RCNN/ holds folders of splits: TRAIN, VAL",
        ["'data.classes=[no,yes]'", "'data.classes=[no,yes,Mask-RCNN]'"],
    ),
    "classes_in_wrapped_folders": (
        ["Raw Data/Raw/512Glioma", "Raw Data/Raw/512Normal",
         "Augmented Data/Augmented/512Glioma", "Augmented Data/Augmented/512Normal"],
        "Raw Data/ holds folders that name classes: 512Glioma, 512Normal",
        ["data.root=\"'ROOT/Augmented Data/Augmented'\"", "data.root=\"'ROOT/Raw Data/Raw'\"",
         "\"data.classes=['Augmented Data','Raw Data']\""],
    ),
    "classes_beside_a_wrapped_set": (
        ["glioma", "no", "extra/new glioma", "extra/new meningioma"],
        "extra/ holds folders that name classes",
        ["'data.classes=[glioma,no]'", "data.root=ROOT/extra", "'data.classes=[glioma,no,extra]'"],
    ),
    "class_folders_again": (
        ["cat", "dog", "more/cat", "more/cow"],
        "more/ holds class folders again: cat",
        ["'data.classes=[cat,dog]'", "data.root=ROOT/more", "'data.classes=[cat,dog,more]'"],
    ),
    "the_same_names_in_two_folders": (
        ["Original/Mild", "Original/Severe", "Augmented/Mild", "Augmented/Severe"],
        "Original/ holds folders as others do: mild, severe",
        ["data.root=ROOT/Augmented", "data.root=ROOT/Original",
         "'data.classes=[Augmented,Original]'"],
    ),
    "a_segmentation_set_beside": (
        [f"classification_task/{place}" for place in of_splits("glioma", "no")]
        + [f"segmentation_task/{place}" for place in of_splits("images", "masks")],
        "classification_task/ holds folders of splits",
        ["data.root=ROOT/classification_task",
         "'data.classes=[classification_task,segmentation_task]'"],
    ),
    "kinds_of_a_tumor_in_yes": (
        ["no", "yes/glioma", "yes/meningioma"],
        "yes/ holds folders that name classes",
        ["data.root=ROOT/yes", "'data.classes=[no,yes]'"],
    ),
    "augmented_images_as_a_class": (
        ["glioma", "normal", "glioma_aug", "Augmented Normal"],
        "Augmented Normal seems to be normal once more; glioma_aug seems to be glioma once more",
        ["'data.classes=[glioma,normal]'",
         "\"data.classes=[glioma,normal,'Augmented Normal',glioma_aug]\""],
    ),
    "made_pictures_of_each_class": (
        ["real_glioma", "synthetic_glioma", "no"],
        "synthetic_glioma seems to be real_glioma once more",
        ["'data.classes=[no,real_glioma]'", "'data.classes=[no,real_glioma,synthetic_glioma]'"],
    ),
    "folds_with_their_own_splits": (
        [f"fold_{n}/{place}" for n in (1, 2) for place in of_splits("glioma", "no")],
        "fold_1/ holds folders of splits",
        ["data.root=ROOT/fold_1", "data.root=ROOT/fold_2", "'data.classes=[fold_1,fold_2]'"],
    ),
    "copies_as_windows_names_them": (
        ["glioma", "no", "glioma - Copy", "no (1)"],
        "glioma - Copy seems to be glioma once more; no (1) seems to be no once more",
        ["'data.classes=[glioma,no]'", "\"data.classes=[glioma,no,'glioma - Copy','no (1)']\""],
    ),
    "patients_above_the_classes": (
        [f"P{n}/{c}" for n in range(9) for c in ("no", "yes")],
        "P0/ holds folders that name classes: no, yes",
        ["'data.classes=[no,yes]'", f"'data.classes=[{','.join(f'P{n}' for n in range(9))}]'"],
    ),
    "a_third_folder_beside_yes_and_no": (
        ["no", "yes", "cropped"],
        "cropped lies beside no and yes",
        ["'data.classes=[no,yes]'", "'data.classes=[no,yes,cropped]'"],
    ),
    "answers_of_a_model": (
        ["cat", "dog", "pred"],
        "pred is seldom a class",
        ["'data.classes=[cat,dog]'", "'data.classes=[cat,dog,pred]'"],
    ),
    "masks_in_splits": (
        of_splits("a", "b", "Segmentation masks"),
        "Segmentation masks is seldom a class",
        ["'data.classes=[a,b]'", "\"data.classes=[a,b,'Segmentation masks']\""],
    ),
    "test_images_beside_classes": (
        ["glioma", "no", "test_images"],
        "test_images has the name of a split",
        ["'data.classes=[glioma,no]'", "'data.classes=[glioma,no,test_images]'"],
    ),
    "a_test_set_beside_unknown_classes": (
        ["cat", "dog", "test/cat", "test/dog", "test/cow"],
        "test has the name of a split",
        ["'data.classes=[cat,dog]'", "data.root=ROOT/test", "'data.classes=[cat,dog,test]'"],
    ),
    "an_outline_that_is_a_class": (
        ["glioma", "meningioma", "ROI"],
        "ROI is seldom a class",
        ["'data.classes=[glioma,meningioma]'", "'data.classes=[glioma,meningioma,ROI]'"],
    ),
    "masks_in_every_class": (
        ["glioma/images", "glioma/masks", "no/images", "no/masks"],
        "glioma/ holds what is seldom of a class: masks",
        ["'data.classes=[glioma,no]'",
         "'data.classes=[glioma,no]' 'data.ignore=[glioma/masks,no/masks]'"],
    ),
    "a_split_of_another_name": (
        [*of_splits("glioma", "no"), "eval/glioma", "eval/no"],
        "eval/ holds class folders too; if it is a split, rename it to train, val or test",
        ["'data.classes=[glioma,no]'", "data.root=ROOT/eval"],
    ),
    "parts_of_one_set": (
        ["axial/glioma", "axial/no", "coronal/glioma", "coronal/no"],
        "axial/ holds folders that name classes: glioma, no",
        ["'data.classes=[glioma,no]'", "data.root=ROOT/axial", "data.root=ROOT/coronal",
         "'data.classes=[axial,coronal]'"],
    ),
    "masks_beside_the_images_of_each_split": (
        [*of_splits("images/glioma", "images/no", "masks/glioma", "masks/no")],
        "test/masks/ holds folders that name classes",
        ["'data.ignore=[test/masks,train/masks]'", "'data.classes=[images,masks]'"],
    ),
    "augmented_beside_the_original_images_of_training": (
        [*of_splits("original/glioma", "original/no"), "train/aug/glioma", "train/aug/no"],
        "train/aug/ holds folders that name classes",
        ["'data.ignore=[train/aug]'", "'data.ignore=[test/original,train/original]'",
         "'data.classes=[original,aug]'"],
    ),
    "folds": (
        [f"fold{number}/{name}" for number in (1, 2) for name in ("benign", "grade 2")],
        "fold1/ holds folders as others do: benign, grade 2",
        ["\"data.classes=[benign,'grade 2']\"", "data.root=ROOT/fold1", "data.root=ROOT/fold2",
         "'data.classes=[fold1,fold2]'"],
    ),
}  # fmt: skip
# folders that are no classes, and what is said of them
NO_CLASSES = {
    "patients": (["patient_1", "patient_2"], "a folder for each patient (patient_1, patient_2), "),
    "a_cohort": (["TCGA_CS_4941_1", "TCGA_DU_5849_2"], "(TCGA_CS_4941_1, TCGA_DU_5849_2), none"),
    "rembrandt": (["900-00-1961", "900_00_5299"], "(900-00-1961, 900_00_5299), none for a class"),
    "class_and_split": (
        ["train_glioma", "train_cyst", "glioma_testing", "cyst_testing"],
        "cyst_testing seems to be cyst of test: make it test/cyst; glioma_testing seems",
    ),
    "numbered": (["0001", "0002", "P003"], "(0001, 0002, P003), none for a class; say"),
    "many": ([f"P{n}" for n in range(9)], "(P0, P1, P2, P3 and 5 more), none for a class; say"),
    "outlines": (of_splits("images", "masks"), "put the images of each class into a folder"),
    "detection": (["train/images", "test/images"], "test/images names no class; train/images"),
    "one_folder": (["images"], "images names no class"),
}  # fmt: skip


@pytest.mark.parametrize("name", TWO_WAYS)
def test_what_can_be_read_in_two_ways_is_refused_and_both_ways_work(
    make_tree: MakeTree, name: str
) -> None:
    folders, reason, offered = TWO_WAYS[name]
    root = make_tree(*images_in(*folders))
    with pytest.raises(DataError) as caught:
        build(root)
    message = str(caught.value)
    first, found = message.splitlines()[0], readings(message)
    assert first.startswith(f"{root} can be read in ")
    assert first.endswith("; add the right one to the command:")
    assert reason in first
    assert list(found) == [settings.replace("ROOT", str(root)) for settings in offered]
    read: list[Any] = [build_source("folder", {"root": str(root), **options(s)}) for s in found]
    assert all(len(classes_of(source)) > 1 for source in read)
    labelled = {frozenset((s.read(i), i.label) for i in s.items) for s in read}
    assert len(labelled) == len(read)


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (["glioma/patient_001", "glioma/patient_002", "no/patient_001"], {"glioma", "no"}),
        (["HGG/FLAIR", "HGG/T1ce", "LGG/FLAIR", "LGG/T1ce", "HGG/axial", "LGG/axial"],
         {"HGG", "LGG"}),
        (["astro/case 1", "astro/case 2", "oligo/case 1", "oligo/case 2"], {"astro", "oligo"}),
        (["glioma/T1", "glioma/T2", "no/T1", "no/T2"], {"glioma", "no"}),
        (["glioma/T1", "astro/T1", "astro/T2", "oligo/T1", "oligo/T2"],
         {"glioma", "astro", "oligo"}),
        (["low glioma/glioma_1", "low glioma/glioma_2", "other"], {"low glioma", "other"}),
        (["glioma/normal dose", "no"], {"glioma", "no"}),
        (["brain_glioma", "brain_menin", "brain_tumor"],
         {"brain_glioma", "brain_menin", "brain_tumor"}),
        (["tumor", "control"], {"tumor", "control"}),
        (["normal", "stroke", "ms"], {"normal", "stroke", "ms"}),
        (["label_0", "label_1"], {"label_0", "label_1"}),
        (["train_glioma", "train_no"], {"train_glioma", "train_no"}),
        (["Brain Tumor/set/glioma", "Brain Tumor/set/no"], {"glioma", "no"}),
        ([f"archive/archive/Brain Tumor/{s}/{s}/{c}" for s in ("Training", "Testing")
          for c in ("glioma", "no")], {"glioma", "no"}),
        ([f"Grade {g}/{p}" for g in ("II", "III") for p in ("900-00-1961", "900-00-5299")],
         {"Grade II", "Grade III"}),
        (["archive/set/yes", "archive/set/no"], {"yes", "no"}),
        (["Brain Tumor/1", "Brain Tumor/2", "Brain Tumor/3"], {"1", "2", "3"}),
        ([f"{c}/{p}" for c in ("AD", "CN") for p in ("002_S_0295", "002_S_0413")], {"AD", "CN"}),
        (["train/a", "train/b", "test/a", "test/b", "pred"], {"a", "b"}),
        ([*of_splits("glioma", "no"), "test/pituitary"], {"glioma", "no", "pituitary"}),
    ],
)  # fmt: skip
def test_what_can_be_read_in_one_way_is_read(
    make_tree: MakeTree, folders: list[str], classes: set[str]
) -> None:
    assert classes_of(build(make_tree(*images_in(*folders)))) == classes


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("Train_Data", "train"),
        ("Trainning", "train"),
        ("Tranning", "train"),
        ("Trian", "train"),
        ("Vaild", "val"),
        ("Validaton_set", "val"),
        ("Tesing", "test"),
        ("Testting data", "test"),
        ("Train_2021", "train"),
        ("Sınama", "test"),
        ("TrainingSet", "train"),
        ("train images", "train"),
        ("Validation_Data", "val"),
        ("valid-imgs", "val"),
        ("Test_Data", "test"),
        ("testset", "test"),
        ("MRI scans (testing)", "test"),
        ("dev", "val"),
        ("Train_80", "train"),
        ("Test (20%)", "test"),
        ("2_val", "val"),
        ("training/images", "train"),
        ("Testing/Testing", "test"),
        ("valid/valid/mri_images", "val"),
        ("entrenamiento", "train"),
        ("validação", "val"),
        ("eğitim", "train"),
        ("Teste", "test"),
        ("holdout_set", "test"),
        ("Hold-Out", "test"),
        ("Trainingsdaten", "train"),
        ("测试集", "test"),
    ],
)
def test_a_folder_that_says_split_in_words_is_that_split(
    make_tree: MakeTree, folder: str, split: str
) -> None:
    source = build(make_tree(*images_in("train/a", "train/b", f"{folder}/a", f"{folder}/b")))
    assert {i.split for i in source.items if i.path.startswith(folder)} == {split}


@pytest.mark.parametrize("folder", ["Training_2024", "fold_1", "pretest", "testis"])
def test_a_folder_that_says_more_than_a_split_is_none(make_tree: MakeTree, folder: str) -> None:
    source = build(make_tree(*images_in("train/a", "train/b", f"{folder}/c", f"{folder}/d")))
    assert {item.split for item in source.items} == {"train"}


@pytest.mark.parametrize("inner", ["", "/P1"])
def test_splits_in_the_folders_of_known_classes_are_splits(make_tree: MakeTree, inner: str) -> None:
    folders = [f"{c}/{split}{inner}" for c in ("glioma", "no") for split in ("train", "Test_set")]
    source = build(make_tree(*images_in(*folders)))
    assert {(i.label, i.split) for i in source.items} == {
        (label, split) for label in ("glioma", "no") for split in ("train", "test")
    }


def test_splits_in_classes_that_the_user_names_are_splits_too(make_tree: MakeTree) -> None:
    """Of folders that may be classes or parts, as fold1/train and fold2/train, it is asked."""
    root = make_tree(*images_in("cat/train", "cat/test", "dog/train", "dog/test"))
    with pytest.raises(DataError, match="cat/ holds folders of splits: test, train;") as caught:
        build(root)
    assert readings(str(caught.value)) == {
        "'data.classes=[cat,dog]'": "each of these folders is a class, and holds its splits"
    }
    source = build(root, classes=["cat", "dog"])
    assert {(i.label, i.split) for i in source.items} == {
        (label, split) for label in ("cat", "dog") for split in ("train", "test")
    }


@pytest.mark.parametrize("order", ["{s}/{p}/{c}", "{p}/{s}/{c}", "archive/{p}/{s}_data/{c}"])
def test_parts_and_splits_that_hold_the_same_classes_are_one_set(
    make_tree: MakeTree, order: str
) -> None:
    """Planes in each split, and splits in each plane."""
    parts = [
        order.format(s=s, p=p, c=c)
        for s in ("train", "test")
        for p in ("axial", "b")
        for c in ("no", "yes")
    ]
    root = make_tree(*images_in(*parts))
    with pytest.raises(DataError) as caught:
        build(root)
    first, *others = readings(str(caught.value))
    assert first == "'data.classes=[no,yes]'"
    for other in others:
        assert len(classes_of(build_source("folder", {"root": root} | options(other)))) == 2
    items = build(root, **options(first)).items
    assert len(items) == 16
    assert {(i.label, i.split) for i in items} == {
        (label, split) for label in ("no", "yes") for split in ("train", "test")
    }


@pytest.mark.parametrize(
    "names", [("x_train", "x_test"), ("brain_tumor_train", "brain_tumor_test")]
)
def test_a_split_among_other_words_is_not_joined_with_training(
    make_tree: MakeTree, names: tuple[str, str]
) -> None:
    root = make_tree(*images_in(*(f"{name}/{c}" for name in names for c in ("glioma", "no"))))
    with pytest.raises(DataError, match="if it is a split, rename it to test; ") as caught:
        build(root)
    assert "'data.classes=[glioma,no]'" not in readings(str(caught.value))


def test_a_folder_between_a_split_and_known_classes_is_looked_through(make_tree: MakeTree) -> None:
    source = build(make_tree(*images_in(*of_splits("v2 512px/glioma", "v2 512px/other"))))
    assert classes_of(source) == {"glioma", "other"}
    assert {item.split for item in source.items} == {"train", "test"}


def test_an_empty_class_below_a_wrapped_split_is_refused_and_can_be_left_out(
    make_tree: MakeTree,
) -> None:
    root = make_tree(*images_in("train/images/cat", "train/images/dog"), "train/images/cow/")
    with pytest.raises(DataError, match=r"'data\.ignore=\[train/images/cow\]'"):
        build(root)
    assert classes_of(build(root, ignore=["train/images/cow"])) == {"cat", "dog"}


@pytest.mark.parametrize("top", ["", "train/"])
def test_an_empty_class_whose_absence_leaves_one_alone_is_not_to_be_left_out(
    make_tree: MakeTree, top: str
) -> None:
    root = make_tree(*images_in(f"{top}cat"), f"{top}cow/")
    with pytest.raises(DataError, match=r"no image in the class folder .*cow") as caught:
        build(root)
    assert "data.ignore" not in str(caught.value)


@pytest.mark.parametrize("inner", ["images", "train"])
def test_an_unlabelled_test_beside_a_wrapped_split_is_no_class(
    make_tree: MakeTree, inner: str
) -> None:
    test = f"test/{inner.replace('train', 'test')}"
    root = make_tree(*images_in(f"train/{inner}/glioma", f"train/{inner}/no", test))
    with pytest.raises(DataError, match="can be read in two ways") as caught:
        build(root)
    first, _ = readings(str(caught.value))
    assert first == f"'data.ignore=[{test}]'"
    assert classes_of(build(root, **options(first))) == {"glioma", "no"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["archive.zip"], "give it: data.root=ROOT/archive.zip"),
        (["train.v1.zip", "test.tar.gz", "._x.zip"],
         "archives; add data.root=ROOT/unpacked once they are unpacked:\n"
         "  python3 -m tarfile -e ROOT/test.tar.gz ROOT/unpacked/test\n"
         "  python3 -m zipfile -e ROOT/train.v1.zip ROOT/unpacked/train.v1"),
        ([f"{c}/{n}.npy" for c in ("no", "yes") for n in range(3)],
         "save them as PNG files, or all together as X and Y of one .npz file for data=npz"),
        ([f"{s}/{n}.npy" for s in ("train", "test") for n in "xy"], "data=npz data.root=ROOT"),
        (["images/train.npy", "labels/train.npy"], "data=npz data.root=ROOT"),
        (["X.npy", "Y.npy"], "arrays (X.npy, Y.npy): data=npz data.root=ROOT"),
    ],
)  # fmt: skip
def test_a_folder_of_archives_or_arrays_says_how_to_read_them(
    make_tree: MakeTree, files: list[str], said: str
) -> None:
    root = make_tree(*files)
    with pytest.raises(DataError) as caught:
        build(root)
    assert str(caught.value).endswith(said.replace("ROOT", str(root)))


@pytest.mark.parametrize(
    ("names", "folders", "alone"),
    [
        (["train", "test"], ["glioma", "no"], ["train"]),
        (["glioma", "no"], [""], []),
        (["train set", "Testing"], ["imgs/glioma", "imgs/no"], ["train set"]),
    ],
)
def test_several_archives_are_unpacked_as_is_advised(
    make_tree: MakeTree, tmp_path: Path, names: list[str], folders: list[str], alone: list[str]
) -> None:
    """What is printed works in a shell, and what is offered alone is a data set."""
    root = tmp_path / "zips"
    root.mkdir()
    for name in names:
        inside = make_tree(*images_in(*(f"{name}/{folder}".rstrip("/") for folder in folders)))
        with zipfile.ZipFile(root / f"{name}.zip", "w") as file:
            for path in sorted((inside / name).rglob("*.png")):
                file.write(path, path.relative_to(inside))
    with pytest.raises(DataError) as caught:
        build(root)
    said, *commands = str(caught.value).splitlines()
    first, *others = re.findall(r"data\.root=(?:\"'.*?'\"|[^ ,:)]+)", said)
    assert [options(word)["root"] for word in others] == [f"{root}/{name}.zip" for name in alone]
    for command in commands:
        subprocess.run(shlex.split(command), check=True, timeout=60)
    source = build(Path(options(first)["root"]))
    assert classes_of(source) == {"glioma", "no"}
    assert {item.split for item in source.items} == ({"train", "test"} if alone else {None})


BOXES = {  # sets for detection: folders of pictures, other files -> the format that is named
    "yolo_by_split": (["train/images", "valid/images"], ["train/labels/1.txt", "a.yaml"], "YOLO"),
    "yolo_by_kind": (["images/train", "images/val"], ["labels/train/1.txt"], "YOLO"),
    "yolo_beside": (["obj_train_data"], ["obj_train_data/2.txt", "obj.names"], "YOLO"),
    "yolo_wrapped": (["Brain.v1i.yolov8/train/images"], ["Brain.v1i.yolov8/train/labels/1.txt"],
                     "YOLO"),
    "coco": (["images"], ["annotations/all.json"], "COCO"),
    "coco_2017": (["train2017", "val2017"], ["annotations/instances_val2017.json"], "COCO"),
    "coco_by_split": (["train", "test"], ["train/_annotations.coco.json"], "COCO"),
    "voc": (["JPEGImages"], ["Annotations/1.xml", "ImageSets/Main/train.txt"], "Pascal VOC"),
    "voc_2007": (["VOC2007/JPEGImages"], ["VOC2007/Annotations/1.xml"], "Pascal VOC"),
    "voc_beside": (["train", "test"], ["train/1.xml", "train/2.xml"], "Pascal VOC"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOXES)
def test_a_set_for_detection_is_named_and_read_by_a_table(make_tree: MakeTree, name: str) -> None:
    folders, others, kind = BOXES[name]
    root = make_tree(*images_in(*folders), *others)
    with pytest.raises(DataError, match=f"has the layout of {kind}, which holds boxes") as caught:
        build(root)
    advice = str(caught.value).partition("path,label): data=table ")[2]
    rows = [f"{name},{label}" for name, label in zip(images_in(*folders), "abab", strict=False)]
    (root / "FILE.csv").write_text("\n".join(["path,label", *rows]))
    settings = options(advice.replace("FILE.csv", str(root / "FILE.csv")))
    assert classes_of(build_source("table", settings)) == {"a", "b"}


@pytest.mark.parametrize(
    "others", [["readme.txt"], ["glioma/1.txt"], ["annotations/all.json"], ["labels/1.txt"]]
)
def test_classes_beside_boxes_are_classes(make_tree: MakeTree, others: list[str]) -> None:
    root = make_tree(*images_in("glioma", "stroke"), *others)
    assert classes_of(build(root)) == {"glioma", "stroke"}


@pytest.mark.parametrize("name", NO_CLASSES)
def test_folders_that_are_no_classes_are_refused_and_a_table_is_named(
    make_tree: MakeTree, name: str
) -> None:
    folders, reason = NO_CLASSES[name]
    root = make_tree(*images_in(*folders))
    with pytest.raises(DataError, match=r"in a table \(a CSV .*\): data=table data") as caught:
        build(root)
    assert reason in str(caught.value)
    for settings in readings(str(caught.value)):
        assert len(classes_of(build(root, **options(settings)))) == len(folders)


def test_patients_with_a_folder_a_sequence_are_no_data_sets_of_their_own(
    make_tree: MakeTree,
) -> None:
    root = make_tree(*images_in(*(f"train/{n:05}/{s}" for n in range(9) for s in ("FLAIR", "T1"))))
    with pytest.raises(DataError, match=r"patient \(00000, .* and 5 more\), none for a class; say"):
        build(root)


@pytest.mark.parametrize("root", ["", "images"])
def test_a_table_that_lies_there_is_named_with_its_path(make_tree: MakeTree, root: str) -> None:
    """Around the folder that was given as well as in it; not inside an archive."""
    tree = make_tree("images/1.png", "images/2.png", "labels.csv", "._labels.csv", "patients.csv")
    (tree / "labels.csv").write_text("path,label\nimages/1.png,a\nimages/2.png,b\n")
    (tree / "patients.csv").write_text("Patient,Cluster\nTCGA_CS_4941,2\n")  # names no image
    with pytest.raises(DataError) as caught:
        build(tree / root)
    assert str(caught.value).endswith(f"data=table data.table={tree}/labels.csv")


def test_outlines_beside_their_pictures_are_left_out_and_said(make_tree: MakeTree) -> None:
    outlines = ["yes/1_mask.png", "yes/a (2)_mask_1.PNG", "yes/3-seg.tif"]
    pictures = ["yes/1.png", "yes/a (2).png", "yes/3.jpg", "no/mask_4.png", "no/5_mask.png"]
    source = build(make_tree(*pictures, *outlines))
    assert {item.path for item in source.items} == set(pictures)
    assert source.ignored == {"outline files beside their pictures (such as *_mask)": 3}


@pytest.mark.parametrize(
    ("pictures", "outlines"),
    [
        (["hgg/12.jpg", "lgg/mask_1.png"], ["hgg/mask_12.png", "hgg/12_gt.png", "hgg/12 ROI.png"]),
        (["hgg/B20_001_flair_70.png", "hgg/B20_001_t1ce_70.png"], ["hgg/B20_001_seg_70.png"]),
        (["hgg/b1/flair.png", "hgg/b1/t2.png"], ["hgg/b1/seg.png"]),
        (["yes/4.png", "yes/segment_4.png", "yes/label_5.png"], ["yes/4-label.png"]),
        (["yes/p3/1.png", "yes/p4/1_mask.png"], ["yes/p3/GroundTruth.1.png"]),
    ],
)
def test_an_outline_is_known_by_its_picture_wherever_its_word_stands(
    make_tree: MakeTree, pictures: list[str], outlines: list[str]
) -> None:
    source = build(make_tree(*pictures, *outlines, *images_in("other")))
    assert {i.path for i in source.items if i.label != "other"} == set(pictures)
    assert [*source.ignored.values()] == [len(outlines)]


def test_what_the_program_drew_among_the_images_is_none_of_them(make_tree: MakeTree) -> None:
    """Where it was started in the folder of the images: data.root=. run_dir=out."""
    root = make_tree(*images_in("glioma", "no"), "out/.braintumor", "out/plots/roc.png")
    source = build(root)
    assert classes_of(source) == {"glioma", "no"}
    assert source.ignored == {"files in folders of braintumor's own work": 2}


@pytest.mark.parametrize("name", ["results", "plots", "Outputs", "gradcam", "Unsure", "excluded"])
def test_what_people_keep_beside_known_classes_is_asked_for(make_tree: MakeTree, name: str) -> None:
    with pytest.raises(DataError, match=f"{name} is seldom a class"):
        build(make_tree(*images_in("glioma", "meningioma", name)))


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ("{}/Brats17_TCIA_{:03}_1/flair_{}.png", "Brats17_TCIA_002_1"),
        ("{}/vol_{}_slice_{}.png", "vol_2"),
        ("{}/10036{}_{}.png", "100362"),
        ("{}/P{:03}_slice{}.png", "P002"),
        ("{}/OAS1_{:04}_MR1_mpr-1_{}.jpg", "OAS1_0002"),
        ("{}/00{}_S_0295_{}.png", "002_S_0295"),
        ("{}/{:04}/{}.png", "0002"),
        ("{}/900-00-{}/{}.png", "900-00-2"),
        ("{}/T1/{}/{}.png", "2"),
        ("{}/AB{}/T1/{}.png", "AB2"),
        ("set 2/Train/{}/K{}7/scan 1/x/{}.png", "K27"),
    ],
)
def test_paths_that_tell_patients_are_noticed(paths: str, found: str) -> None:
    several = [paths.format(c, p, s) for c in ("a", "b") for p in range(4) for s in range(3)]
    pattern = patient_pattern(several, "ab")
    assert pattern
    assert found in Choice.given(None, None, pattern).patients(several)


@pytest.mark.parametrize(
    "paths", ["{}/part{}/{}.png", "{}/T{}/{}.png", "{}/202{}/{}.png", "grade {1}/{0}{2}.png"]
)
def test_folders_that_are_numbered_for_another_reason_tell_no_patient(paths: str) -> None:
    """grade 1 to 4 are classes, and here no more of them than those."""
    several = [paths.format(c, p, s) for c in ("a", "b") for p in range(4) for s in range(3)]
    assert patient_pattern(several, "ab") is None
    figshare = [f"{label}/{image}.png" for label in "123" for image in range(9)]
    assert patient_pattern(figshare, "123") is None


def test_two_modalities_are_not_offered_as_one_set(make_tree: MakeTree) -> None:
    with pytest.raises(DataError) as caught:
        build(make_tree(*images_in("CT/yes", "CT/no", "MRI/yes", "MRI/no")))
    assert "'data.classes=[no,yes]'" not in readings(str(caught.value))


def test_an_only_class_beside_what_is_seldom_one_is_offered_to_bt_eval(
    make_tree: MakeTree,
) -> None:
    with pytest.raises(DataError, match="bt-eval takes and bt-train does not; pred is left out"):
        build(make_tree(*images_in("glioma", "pred")))


def test_a_reading_keeps_what_the_user_left_out_already(make_tree: MakeTree) -> None:
    root = make_tree(*images_in("set/cat", "set/dog", "set/pred", "more/x"))
    with pytest.raises(DataError) as caught:
        build(root, ignore=["more"])
    first, *_ = readings(str(caught.value))
    assert first == "'data.classes=[cat,dog]'"
    again = build(root, ignore=["more"], **options(first))
    assert classes_of(again) == {"cat", "dog"}
    root = make_tree(*images_in("train/cat", "train/dog", "test/who", "other/x"), under="second")
    wrapped = make_tree(*images_in("s/train/cat", "s/train/dog", "s/test/who", "t/x"), under="3rd")
    for folder, ignore, offered in (
        (root, ["other"], "'data.ignore=[other,test/who]'"),
        (wrapped, ["t"], "'data.ignore=[t,s/test/who]'"),
    ):
        with pytest.raises(DataError) as caught:
            build(folder, ignore=ignore)
        first, *_ = readings(str(caught.value))
        assert first == offered
        assert classes_of(build(folder, **options(first))) == {"cat", "dog"}


def test_an_archive_has_no_folder_to_name_as_root(tmp_path: Path) -> None:
    path = tmp_path / "sets.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in images_in("ct/Healthy", "ct/Tumor", "mri/Healthy", "mri/Tumor"):
            file.writestr(name, b"x")
    with pytest.raises(DataError) as caught:
        archive.build(path)
    found = readings(str(caught.value))
    assert list(found) == [
        "'data.ignore=[mri]'", "'data.ignore=[ct]'", "'data.classes=[ct,mri]'"
    ]  # fmt: skip
    only_ct = archive.build(path, **options(next(iter(found))))
    assert {item.path.split("/")[0] for item in only_ct.items} == {"ct"}
    assert only_ct.ignored == {"mri/ (data.ignore)": 4}


def test_data_classes_takes_these_and_names_what_it_leaves_out(make_tree: MakeTree) -> None:
    root = make_tree(*images_in("No", "yes", "pred", "Raw/TRAIN", "Raw/TEST"))
    source = build(root, classes=["no", "TUMOR"])  # in any case, and of the same class
    assert classes_of(source) == {"No", "yes"}
    assert source.ignored == {
        "Raw/ (not in data.classes)": 4,
        "pred/ (not in data.classes)": 2,
    }


def test_data_classes_holds_in_every_split_however_it_is_spelled_there(
    make_tree: MakeTree,
) -> None:
    root = make_tree(
        *images_in("train/glioma", "train/no", "train/x", "test/glioma_tumor", "test/no")
    )
    source = build(root, classes=["glioma", "no"])
    assert classes_of(source) == {"glioma", "no", "glioma_tumor"}


def test_data_classes_are_looked_for_on_top_first(make_tree: MakeTree) -> None:
    root = make_tree(*images_in("cat", "dog", "test/cat", "test/dog", "test/cow"))
    source = build(root, classes=["cat", "dog"])
    assert {item.path.split("/")[0] for item in source.items} == {"cat", "dog"}
    assert build(root, classes=["cat", "cow"]).items[0].split == "test"


def test_folders_named_by_numbers_can_be_given_as_numbers(make_tree: MakeTree) -> None:
    root = make_tree(*images_in("0", "1", "2"))
    assert classes_of(build(root, classes=[0, 1])) == {"0", "1"}


def test_data_ignore_leaves_folders_out_before_anything_else(make_tree: MakeTree) -> None:
    root = make_tree(*images_in("set/train/a", "set/train/b", "set/test/test"), "set/test/empty/")
    assert classes_of(build(root, ignore=["TEST/test", "test/empty"])) == {"a", "b"}
    source = build(root, ignore=["test"])
    assert source.ignored == {"set/test/ (data.ignore)": 2}
    two = make_tree(*images_in("one/yes", "one/no", "two/yes", "two/no"), under="two")
    assert {item.label for item in build(two, ignore=["two"]).items} == {"yes", "no"}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"classes": ["gliox", "no"]}, r"data\.classes: no class folder gliox .*`glioma`"),
        ({"ignore": ["tset/pred"]}, r"data\.ignore: no folder tset/pred .*`test/pred`"),
    ],
)
def test_a_folder_that_is_not_there_names_the_nearest(
    make_tree: MakeTree, chosen: dict[str, Any], message: str
) -> None:
    root = make_tree(*images_in(*of_splits("glioma", "no", "pred")))
    with pytest.raises(DataError, match=message):
        build(root, **chosen)


def test_an_empty_folder_is_refused_unless_it_is_left_out(make_tree: MakeTree) -> None:
    root = make_tree(*images_in("cat", "dog"), "cow/")
    with pytest.raises(DataError, match=r"class folder cow.*'data\.ignore=\[cow\]'"):
        build(root)
    assert classes_of(build(root, ignore=["cow"])) == {"cat", "dog"}
    assert classes_of(build(root, classes=["cat", "dog"])) == {"cat", "dog"}
    with pytest.raises(DataError, match="class folder cow"):
        build(root, classes=["cat", "dog", "cow"])


def test_the_public_sets_take_the_same_options(make_tree: MakeTree) -> None:
    root = make_tree(*images_in("no", "yes", "pred"))
    assert classes_of(kaggle.build("o/s", "page", root, False, ["no", "yes"])) == {"no", "yes"}
    assert classes_of(kaggle.build("o/s", "page", root, False, None, ["pred"])) == {"no", "yes"}
