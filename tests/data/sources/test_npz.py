from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from braintumor.data import images
from braintumor.data.images import decode
from braintumor.data.sources.npz import build
from braintumor.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 5, 4), dtype=np.uint8)  # (N, h, w)
LABELS = np.array([0, 1, 0, 1, 1, 0])
NUMBERED = ["class_0", "class_1", "class_0", "class_1", "class_1", "class_0"]
NAMED = ["no_tumor", "tumor", "no_tumor", "tumor", "tumor", "no_tumor"]


def save(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("keys", ["X Y", "x y", "images labels", "Image Label"])
def test_usual_keys_are_known(tmp_path: Path, keys: str) -> None:
    x, y = keys.split()
    source = build(save(tmp_path / "a.npz", **{x: IMAGES, y: LABELS}))
    assert [item.label for item in source.items] == NUMBERED
    assert source.items[3].path == "a.npz#3"
    np.testing.assert_array_equal([source.read(item) for item in source.items], IMAGES)


@pytest.mark.parametrize("save_as", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("block", [1, 4, 100])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_in_0_1_become_0_255(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    save_as: Any,
    block: int,
    channels: tuple[int, ...],
    dtype: Any,
) -> None:
    monkeypatch.setattr(images, "_BLOCK", block)
    values = RNG.integers(0, 256, (6, 5, 4, *channels), dtype=np.uint8)
    save_as(tmp_path / "a.npz", X=(values / 255).astype(dtype), Y=LABELS)
    source = build(tmp_path / "a.npz")
    np.testing.assert_array_equal([source.read(item) for item in source.items], values)


def test_floats_are_rounded_and_not_cut(tmp_path: Path) -> None:
    floats = np.full((6, 5, 4), 0.999)  # 254.745
    source = build(save(tmp_path / "a.npz", X=floats, Y=LABELS))
    assert (source.read(source.items[0]) == 255).all()


def test_fortran_order_is_read_right(tmp_path: Path) -> None:
    source = build(save(tmp_path / "a.npz", X=np.asfortranarray(IMAGES), Y=LABELS))
    np.testing.assert_array_equal([source.read(item) for item in source.items], IMAGES)


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.float32])
def test_whole_numbers_in_0_255_are_taken(tmp_path: Path, dtype: Any) -> None:
    source = build(save(tmp_path / "a.npz", X=IMAGES.astype(dtype), Y=LABELS))
    np.testing.assert_array_equal(source.read(source.items[2]), IMAGES[2])


@pytest.mark.parametrize(
    "values",
    [
        IMAGES / 50 + 0.001,  # floats in 0-5: which scale was meant cannot be known
        IMAGES / 255 - 0.5,
        IMAGES * 1.5,
        np.where(IMAGES > 200, np.nan, 0.5),
        IMAGES.astype(complex),
    ],
)
def test_other_ranges_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"scale|no intensities|not finite"):
        build(save(tmp_path / "a.npz", X=values, Y=LABELS))


@pytest.mark.parametrize("shape", [(6,), (6, 20), (6, 5, 4, 2), (6, 2, 5, 7), (0, 5, 4)])
def test_other_shapes_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="should be"):
        build(save(tmp_path / "a.npz", X=np.zeros(shape, np.uint8), Y=LABELS))


@pytest.mark.parametrize(
    "labels",
    [
        LABELS[:, None],
        LABELS.astype(np.float32),
        LABELS.astype(bool),
        np.eye(2)[LABELS],
        np.eye(2, dtype=np.uint8)[LABELS],
    ],
)
def test_labels_of_every_kind_agree(tmp_path: Path, labels: np.ndarray) -> None:
    source = build(save(tmp_path / "a.npz", X=IMAGES, Y=labels))
    assert [item.label for item in source.items] == NUMBERED


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_text_labels_are_names(tmp_path: Path, dtype: str) -> None:
    source = build(save(tmp_path / "a.npz", X=IMAGES, Y=np.array(NAMED, dtype)))
    assert [item.label for item in source.items] == NAMED


def test_numbers_without_names_are_not_guessed(tmp_path: Path) -> None:
    source = build(save(tmp_path / "a.npz", X=IMAGES, Y=LABELS))
    assert {item.label for item in source.items} == {"class_0", "class_1"}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (LABELS - 1, "from 0"),
        (LABELS + 0.5, "whole numbers"),
        (np.full(6, np.nan), "whole numbers"),
        (np.ones((6, 2), int), "no class or several"),
        (LABELS[:5], "6 images and 5 labels"),
        (LABELS[:0], "whole numbers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, labels: np.ndarray, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        build(save(tmp_path / "a.npz", X=IMAGES, Y=labels))


def test_train_and_test_file_give_the_splits(tmp_path: Path) -> None:
    save(tmp_path / "train_data.npz", X=IMAGES, Y=LABELS)
    save(tmp_path / "test_data.npz", X=IMAGES[:2], Y=LABELS[:2])
    source = build(tmp_path)
    splits = {item.path: item.split for item in source.items}
    assert splits["train_data.npz#5"] == "train"
    assert splits["test_data.npz#1"] == "test"
    assert len(splits) == 8
    np.testing.assert_array_equal(source.read(source.items[1]), IMAGES[1])  # test_data.npz#1


def test_one_file_may_hold_both_splits(tmp_path: Path) -> None:
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:2], "y_test": LABELS[:2]}
    source = build(save(tmp_path / "a.npz", **arrays))
    assert [item.split for item in source.items].count("test") == 2
    assert source.items[0].path == "a.npz/x_test#0"


def test_folder_of_unclear_files_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "one.npz", X=IMAGES, Y=LABELS)
    save(tmp_path / "two.npz", X=IMAGES, Y=LABELS)
    with pytest.raises(DataError, match=r"found one\.npz, two\.npz"):
        build(tmp_path)


def test_unknown_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pictures"):
        build(save(tmp_path / "a.npz", pictures=IMAGES))


def test_extra_arrays_are_counted_as_ignored(tmp_path: Path) -> None:
    source = build(save(tmp_path / "a.npz", X=IMAGES, Y=LABELS, masks=IMAGES))
    assert source.ignored == {"array masks": 1}


@pytest.mark.parametrize("key", ["X", "Y"])
def test_pickled_objects_are_refused_and_never_run(tmp_path: Path, key: str) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "run",))

    arrays = {"X": IMAGES, "Y": LABELS, key: np.array([Trap()] * 6, dtype=object)}
    with pytest.raises(DataError, match="Python objects"):
        build(save(tmp_path / "a.npz", **arrays))
    assert not (tmp_path / "run").exists()


def test_the_way_out_that_is_offered_for_objects_works(tmp_path: Path) -> None:
    """Also of floats in 0-1, which whole numbers would make black."""
    images, labels = [*(IMAGES / 255)], np.array(NAMED, dtype=object)
    with pytest.raises(DataError, match="Python objects") as caught:
        build(save(tmp_path / "a.npz", X=IMAGES, Y=labels))
    advice = re.search(r"np\.savez\(.*\)", str(caught.value))
    assert advice
    names = {"np": np, "images": images, "labels": labels, "file": tmp_path / "b.npz"}
    exec(advice[0], names)
    source = build(tmp_path / "b.npz")
    assert [item.label for item in source.items] == NAMED
    np.testing.assert_array_equal([source.read(item) for item in source.items], IMAGES)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = save(tmp_path / "a.npz", X=IMAGES, Y=LABELS)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"damaged or no NumPy archive \(\.npz\)"):
        build(path)


def test_web_page_called_npz_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("<!DOCTYPE html><html>404</html>")
    with pytest.raises(DataError, match="web page"):
        build(tmp_path / "a.npz")


def test_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    content = b"\x93NUMPY\x01\x00"
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9000000, 90, 90), }\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("X.npy", content + len(header).to_bytes(2, "little") + header + b"\0" * 99)
        file.writestr("Y.npy", b"")
    with pytest.raises(DataError):
        build(tmp_path / "a.npz")


def test_missing_root_says_how_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.root=FILE\.npz"):
        build(None)
    with pytest.raises(DataError, match="does not exist"):
        build(tmp_path / "a.npz")


def test_floats_in_0_255_are_rounded(tmp_path: Path) -> None:
    source = build(save(tmp_path / "a.npz", X=IMAGES * 0.99, Y=LABELS))
    np.testing.assert_array_equal(source.read(source.items[2]), np.rint(IMAGES[2] * 0.99))


@pytest.mark.parametrize("offset", [0, -1000])
def test_deeper_pictures_are_stretched_each_as_a_16_bit_file_is(
    tmp_path: Path, offset: int
) -> None:
    deep = IMAGES.astype(np.int32) * 100 + offset
    Image.fromarray(IMAGES[2].astype(np.uint16) * 100).save(tmp_path / "2.png")
    source = build(save(tmp_path / "a.npz", X=deep, Y=LABELS))
    of_file = decode((tmp_path / "2.png").read_bytes()).pixels
    np.testing.assert_array_equal(source.read(source.items[2]), of_file)


def test_channels_may_come_first(tmp_path: Path) -> None:
    colour = RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    source = build(save(tmp_path / "a.npz", X=np.moveaxis(colour, 3, 1), Y=LABELS))
    np.testing.assert_array_equal(source.read(source.items[1]), colour[1])


@pytest.mark.parametrize("keys", ["data target", "arr_0 arr_1", "my_slices Labels", "imgs classes"])
def test_other_keys_are_known_where_they_can_be_one_thing_only(tmp_path: Path, keys: str) -> None:
    x, y = keys.split()
    source = build(save(tmp_path / "a.npz", **{x: IMAGES, y: LABELS}))
    assert [item.label for item in source.items] == NUMBERED
    assert source.ignored == {}


@pytest.mark.parametrize("folder", ["", "arrays/"])
def test_pairs_of_npy_files_are_one_set(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    for name, array in {"X_train": IMAGES, "y_train": LABELS, "X_test": IMAGES[:2]}.items():
        np.save(tmp_path / f"{folder}{name}.npy", array)
    np.save(tmp_path / f"{folder}y_test.npy", LABELS[:2])
    source = build(tmp_path)
    assert [item.split for item in source.items] == ["test"] * 2 + ["train"] * 6
    assert source.items[2].path == f"{tmp_path.name}/{folder}X_train#0"
    np.testing.assert_array_equal(source.read(source.items[1]), IMAGES[1])


@pytest.mark.parametrize(
    "keys",
    ["brain_images tumor_labels", "images_128 labels_128", "mri diagnosis", "img class_name",
     "trainX trainY", "Xtrain ytrain", "x_tr y_tr"],
)  # fmt: skip
def test_keys_and_files_that_say_more_are_known(tmp_path: Path, keys: str) -> None:
    x, y = keys.split()
    np.save(tmp_path / f"{x}.npy", IMAGES)
    np.save(tmp_path / f"{y}.npy", LABELS)
    for root in (tmp_path, save(tmp_path / "a.npz", **{x: IMAGES, y: LABELS})):
        source = build(root)
        assert [item.label for item in source.items] == NUMBERED
        assert {item.split for item in source.items} == {"train" if "tr" in x else None}


def test_what_is_told_of_images_and_labels_is_neither(tmp_path: Path) -> None:
    told = {"image_ids": LABELS, "label_names": LABELS, "mask_images": IMAGES}
    source = build(save(tmp_path / "a.npz", **told, images=255 - IMAGES, labels=LABELS))
    np.testing.assert_array_equal(source.read(source.items[0]), 255 - IMAGES[0])
    assert source.ignored == {f"array {key}": 1 for key in told}


def test_transparency_is_laid_on_black(tmp_path: Path) -> None:
    colour = RNG.integers(0, 256, (6, 5, 7, 4), dtype=np.uint8)
    colour[..., 3] = [0, 255, 255, 255, 255, 255, 255]
    source = build(save(tmp_path / "a.npz", X=colour, Y=LABELS))
    expected = colour[2, ..., :3].copy()
    expected[:, 0] = 0
    np.testing.assert_array_equal(source.read(source.items[2]), expected)
    floats = build(save(tmp_path / "b.npz", X=colour / 255, Y=LABELS))  # as matplotlib reads PNG
    np.testing.assert_array_equal(floats.read(floats.items[2]), expected)


def test_images_along_the_last_axis_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", X=np.moveaxis(IMAGES, 0, -1), Y=LABELS)
    with pytest.raises(DataError, match=r"6 images last; .* np\.moveaxis\(X, -1, 0\)"):
        build(path)


def test_pictures_of_two_scales_in_one_array_are_refused(tmp_path: Path) -> None:
    """Those of 0-1 would come out black."""
    mixed = np.where(np.arange(6)[:, None, None] < 2, IMAGES / 255, IMAGES)
    with pytest.raises(DataError, match="2 pictures of 0-1 among those of 0-255"):
        build(save(tmp_path / "a.npz", X=mixed, Y=LABELS))


def test_one_npy_file_alone_asks_for_its_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", IMAGES)
    with pytest.raises(DataError, match=r"give the folder: data\.root=DIR"):
        build(tmp_path / "X.npy")


@pytest.mark.parametrize("key", ["patient", "PatientID", "patient_ids", "subject"])
def test_patients_are_read_under_any_usual_key(tmp_path: Path, key: str) -> None:
    patients = np.array(["p1", "p1", "p2", "", "p3", "p3"])
    source = build(save(tmp_path / "a.npz", X=IMAGES, Y=LABELS, **{key: patients}))
    assert [item.patient for item in source.items] == ["p1", "p1", "p2", None, "p3", "p3"]


def test_splits_may_stand_in_an_array(tmp_path: Path) -> None:
    splits = np.array(["Train", "train", "test", "val", "test", "training"])
    source = build(save(tmp_path / "a.npz", X=IMAGES, Y=LABELS, split=splits))
    assert [i.split for i in source.items] == ["train", "train", "test", "val", "test", "train"]


BESIDE = {  # arrays beside the images -> the splits that they say, and what is named as unused
    "is_test": ({"is_test": [0, 0, 1, 0, 1, 0]}, "rrtrtr", ""),
    "is_train": ({"meta/IsTrain": [True, True, False, True, False, True]}, "rrtrtr", ""),
    "validation": ({"validation": [[0.0], [0.0], [1.0], [0.0], [1.0], [0.0]]}, "rrvrvr", ""),
    "two": ({"train": [1, 1, 0, 0, 0, 1], "val": [0, 0, 1, 1, 1, 0]}, "rrvvvr", ""),
    "three": (
        {"is_train": [1, 1, 0, 0, 0, 0], "is_val": [0, 0, 1, 0, 0, 0],
         "is_test": [0, 0, 0, 1, 1, 1]}, "rrvttt", "",
    ),
    "names": ({"partition": ["train", "train", "test", "val", "test", "train"]}, "rrtvtr", ""),
    "clearer": ({"is_test": [0] * 6, "split": ["train"] * 3 + ["test"] * 3}, "rrrttt", "is_test"),
    "overlap": ({"is_train": [1] * 6, "is_test": [1] * 6}, "", "is_train is_test"),
    "indices": ({"train": [0, 1, 2], "dataset": ["Br35H"]}, "", "dataset train"),
    "sound": ({"is_valid": [1, 1, 0, 1, 0, 1]}, "", "is_valid"),
}  # fmt: skip


@pytest.mark.parametrize("case", BESIDE)
def test_arrays_say_the_split_as_columns_do(tmp_path: Path, case: str) -> None:
    """And what is in no use is named."""
    arrays, splits, unused = BESIDE[case]
    path = save(tmp_path / "a.npz", X=IMAGES, Y=LABELS, **{k: np.array(arrays[k]) for k in arrays})
    source = build(path)
    names: dict[str, str | None] = {"r": "train", "v": "val", "t": "test", "-": None}
    assert [item.split for item in source.items] == [names[s] for s in splits or "------"]
    assert [item.label for item in source.items] == NUMBERED
    found = [name.removeprefix("array ").partition(",")[0] for name in source.ignored]
    assert sorted(found) == sorted(unused.split())


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"patient": np.arange(5)}, "5 values for 6 images"),
        ({"split": np.array(["train"] * 5)}, "5 values for 6 images"),
        ({"split": np.array(["train"] * 5 + ["later"])}, "split 'later'"),
    ],
)
def test_patients_and_splits_that_do_not_fit_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        build(save(tmp_path / "a.npz", X=IMAGES, Y=LABELS, **arrays))


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = save(tmp_path / "a.npz", X=IMAGES, Y=LABELS)
    monkeypatch.setattr(np, "load", closed)  # root, under whom tests may run, reads everything
    with pytest.raises(DataError, match=r"cannot be opened.*check its permissions"):
        build(path)


def test_a_pickle_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.pickle").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match="holds Python objects, which would run code"):
        build(tmp_path / "a.pickle")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "is an HDF5 file"),
        (b"MATLAB 5.0 MAT-file, Platform: PCWIN64", "is a MATLAB file"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 99, "damaged or no NumPy archive .* not begin as one"),
    ],
)
def test_another_kind_of_file_is_named_and_no_pickle_is_advised(
    tmp_path: Path, content: bytes, what: str
) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataError, match=what) as caught:
        build(tmp_path / "a.mat")
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize("label", ["nan", "", "Unknown", "unlabelled"])
def test_a_label_that_says_that_there_is_none_is_no_class(tmp_path: Path, label: str) -> None:
    labels = np.array(["no", "glioma", label, "no", "no", "glioma"])
    with pytest.raises(DataError, match=f"a.npz#2 has label '{label}', which is none"):
        build(save(tmp_path / "a.npz", X=IMAGES, Y=labels))
