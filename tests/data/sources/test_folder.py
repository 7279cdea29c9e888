from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from braintumor.data.sources import Source
from braintumor.data.sources.folder import build
from braintumor.errors import ConfigError, DataError

MakeTree = Callable[..., Path]


def listed(source: Source) -> list[tuple[str, str, str | None]]:
    return [(item.path, item.label, item.split) for item in source.items]


def test_flat_class_folders_have_no_split(make_tree: MakeTree) -> None:
    source = build(make_tree("yes/1.png", "no/1.png"))
    assert listed(source) == [("no/1.png", "no", None), ("yes/1.png", "yes", None)]
    assert source.ignored == {}


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("Training", "train"),
        ("TRAIN", "train"),
        ("val", "val"),
        ("valid", "val"),
        ("Validation", "val"),
        ("Testing", "test"),
        ("test", "test"),
    ],
)
def test_split_folders_are_known_in_any_case(make_tree: MakeTree, folder: str, split: str) -> None:
    source = build(make_tree(f"{folder}/a/1.png", f"{folder}/b/1.png", "train/a/9.png"))
    assert {s for p, _, s in listed(source) if p.startswith(folder)} == {split}


def test_wrapping_folders_are_looked_through(make_tree: MakeTree) -> None:
    source = build(
        make_tree("archive/Data set/Training/a/1.png", "archive/Data set/Testing/b/1.png")
    )
    assert [(label, split) for _, label, split in listed(source)] == [("b", "test"), ("a", "train")]
    assert source.items[0].path == "archive/Data set/Testing/b/1.png"


def test_items_come_in_natural_order(make_tree: MakeTree) -> None:
    source = build(make_tree("a/Image10.png", "a/Image2.png", "b/image1.png"))
    assert [item.path for item in source.items] == ["a/Image2.png", "a/Image10.png", "b/image1.png"]


def test_noise_is_ignored_and_counted(make_tree: MakeTree) -> None:
    root = make_tree(
        "a/1.png",
        "b/1.png",
        "a/.ipynb_checkpoints/1-checkpoint.png",
        ".ipynb_checkpoints/",
        "b/Thumbs.db",
        ".DS_Store",
        "b/._1.png",
        "__MACOSX/a/1.png",
        "desktop.ini",
        "readme.TXT",
        "LICENSE",
        "loose.png",
    )
    source = build(root)
    assert [item.path for item in source.items] == ["a/1.png", "b/1.png"]
    assert source.ignored == {
        ".ipynb_checkpoints": 1,
        "Thumbs.db": 1,
        ".DS_Store": 1,
        "._*": 1,
        "__MACOSX": 1,
        "desktop.ini": 1,
        "*.txt": 1,
        "files without a suffix": 1,
        "images outside a class folder": 1,
    }


def test_nested_copy_of_the_class_folders_is_not_counted_twice(make_tree: MakeTree) -> None:
    names = ["yes/1.png", "yes/2.png", "no/1.png"]
    source = build(make_tree(*names, *(f"brain_tumor_dataset/{name}" for name in names)))
    assert sorted(item.path for item in source.items) == sorted(names)
    assert list(source.ignored.values()) == [3]
    assert "brain_tumor_dataset/" in next(iter(source.ignored))


def test_nested_class_folders_with_other_images_are_refused(make_tree: MakeTree) -> None:
    root = make_tree("yes/1.png", "no/1.png", "more/yes/1.png", "more/no/77.png")
    with pytest.raises(DataError, match=r"more/.*holds class folders again"):
        build(root)


def test_folders_inside_a_class_belong_to_it(make_tree: MakeTree) -> None:
    source = build(make_tree("a/patient 1/1.png", "a/patient 2/1.png", "b/1.png"))
    assert [label for _, label, _ in listed(source)] == ["a", "a", "b"]


def test_images_beside_the_split_folders_are_ignored_and_counted(make_tree: MakeTree) -> None:
    source = build(make_tree("train/a/1.png", "train/b/1.png", "pred/1.png", "test/1.png"))
    assert len(source.items) == 2
    assert source.ignored == {
        "pred/ beside the split folders": 1,
        "images outside a class folder": 1,
    }


@pytest.mark.parametrize(
    "empty", ["glioma/", "Testing/glioma/", "Testing/", "Testing/.ipynb_checkpoints/"]
)
def test_empty_class_folder_is_refused(make_tree: MakeTree, empty: str) -> None:
    below = "Training/" if "Testing" in empty else ""
    root = make_tree(f"{below}no/1.png", f"{below}yes/1.png", empty)
    with pytest.raises(DataError, match=empty.removesuffix(".ipynb_checkpoints/").rstrip("/")):
        build(root)


def test_class_folder_of_other_files_counts_as_empty(make_tree: MakeTree) -> None:
    with pytest.raises(DataError, match="class folder b"):
        build(make_tree("a/1.png", "b/scan.dcm"))


def test_text_file_called_jpg_is_no_noise(make_tree: MakeTree) -> None:
    assert len(build(make_tree("a/1.png", "b/1.jpg")).items) == 2


@pytest.mark.parametrize("names", [(), ("a/",), ("1.png", "2.png"), ("train/1.png",)])
def test_no_image_in_a_known_layout_says_what_is_expected(
    make_tree: MakeTree, names: tuple[str, ...]
) -> None:
    with pytest.raises(DataError, match="expected Training/<class>/"):
        build(make_tree(*names))


def test_missing_root_says_how_to_give_it() -> None:
    with pytest.raises(DataError, match=r"data=folder needs data.root=FOLDER"):
        build(None)


def test_absent_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        build(tmp_path / "nowhere")


def test_a_root_that_is_mistyped_is_answered_with_what_is_beside_it(tmp_path: Path) -> None:
    (tmp_path / "my mri").mkdir()
    with pytest.raises(DataError, match=r"did you mean data.root=.*my mri'\"\?$"):
        build(tmp_path / "my_mri")


def test_file_as_root_names_the_source_that_takes_it(tmp_path: Path) -> None:
    (tmp_path / "train_data.npz").write_bytes(b"x")
    with pytest.raises(DataError, match="use data=npz"):
        build(tmp_path / "train_data.npz")


def test_linked_folders_are_followed_and_cycles_end(make_tree: MakeTree, tmp_path: Path) -> None:
    root = make_tree("a/1.png", "b/1.png")
    make_tree("1.png", under="elsewhere")
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (root / "b" / "again").symlink_to(root)
    assert [item.path for item in build(root).items] == ["a/1.png", "b/1.png", "c/1.png"]


def test_pipe_called_png_is_unreadable_and_does_not_hang(make_tree: MakeTree) -> None:
    root = make_tree("a/1.png", "b/1.png")
    os.mkfifo(root / "a" / "2.png")
    source = build(root)
    with pytest.raises(DataError, match="no regular file"):
        source.read(source.items[1])


def test_read_gives_the_bytes_of_the_file(make_tree: MakeTree) -> None:
    root = make_tree("a/1.png", "b/1.png")
    source = build(root)
    assert source.read(source.items[0]) == (root / "a/1.png").read_bytes()


def test_two_names_of_one_folder_are_refused(make_tree: MakeTree) -> None:
    root = make_tree("train/a/1.png", "train/b/1.png", "valid/a/2.png", "valid/b/2.png")
    (root / "test").symlink_to("valid")
    with pytest.raises(DataError, match=r"valid and test in .* are one folder.*remove the link"):
        build(root)


def test_a_link_to_a_folder_elsewhere_is_followed(make_tree: MakeTree, tmp_path: Path) -> None:
    root = make_tree("a/1.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/2.png").write_bytes((root / "a/1.png").read_bytes())
    (root / "b").symlink_to(tmp_path / "elsewhere")
    assert [item.path for item in build(root).items] == ["a/1.png", "b/2.png"]


def test_what_is_no_image_file_is_named(make_tree: MakeTree) -> None:
    root = make_tree("no/1.dcm", "yes/1.dcm", "yes/2.DCM", "yes/3.nii.gz", "yes/4.mat")
    reason = "passed over: 3 DICOM files (*.dcm), 1 NIfTI files (*.nii.gz), 1 MATLAB files (*.mat)"
    way = "; save each slice as a PNG file, as docs/data.md shows"
    with pytest.raises(DataError, match=re.escape(reason + way)):
        build(root)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.mha", "a.nrrd", "a.mat", "a.DCM", "a.h5"])
def test_a_volume_is_told_to_be_saved_as_slices(make_tree: MakeTree, name: str) -> None:
    """A .nii.gz file was told to be unpacked; one of the others to be a folder instead."""
    root = make_tree(f"yes/{name}", f"no/{name}")
    for given in (root, root / "yes" / name):
        with pytest.raises(DataError, match="save each slice as a PNG file, as docs/data"):
            build(given)


def test_dicom_files_without_a_suffix_are_known_by_content(make_tree: MakeTree) -> None:
    root = make_tree("yes/IM-0001", "no/1.2.840.113")
    for path in root.glob("*/*"):
        path.write_bytes(b"\0" * 128 + b"DICM")
    said = "holds no image: no/1.2.840.113 is a DICOM file; save each slice as a PNG file"
    with pytest.raises(DataError, match=said):
        build(root)


@pytest.mark.parametrize(
    ("expression", "patients"),
    [(r"p\d+", ["p1", "p1", "p2", None]), (r"(\d)_s", ["1", "1", "2", None])],
)
def test_patients_are_found_in_paths(
    make_tree: MakeTree, expression: str, patients: list[str | None]
) -> None:
    root = make_tree("a/p1_s1.png", "a/p1_s2.png", "b/p2_s1.png", "b/scan.png")
    source = build(root, patient_regex=expression)
    assert [item.patient for item in source.items] == patients


@pytest.mark.parametrize(("expression", "reason"), [("(p", "no regular"), ("q7", "no patient")])
def test_an_expression_that_finds_no_patient_is_refused(
    make_tree: MakeTree, expression: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        build(make_tree("a/p1.png", "b/p2.png"), patient_regex=expression)


def test_a_zip_file_of_windows_unpacked_elsewhere_is_read(make_tree: MakeTree) -> None:
    """Backslashes are letters of a name there."""
    root = make_tree(*(f"mri\\train\\{c}\\{n}.png" for c in ("no", "yes") for n in range(3)))
    source = build(root)
    assert {(i.label, i.split) for i in source.items} == {("no", "train"), ("yes", "train")}
    assert all(source.read(item) for item in source.items)


def test_no_file_of_a_windows_zip_takes_the_place_of_another(make_tree: MakeTree) -> None:
    root = make_tree("no/1.png", "no/2.png", "yes/1.png", "yes\\1.png")
    with pytest.raises(DataError, match=r"holds yes.1\.png once with / and"):
        build(root)
