from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braintumor import progress
from braintumor.data import reading
from braintumor.data.dataset import Dataset, read_dataset
from braintumor.data.manifest import COLUMNS, class_table
from braintumor.data.sources import Item, phantom
from braintumor.data.split import assign_splits
from braintumor.errors import ConfigError, DataError

MakeTree = Callable[..., Path]
Section = Callable[..., dict[str, Any]]


def test_manifest_has_the_columns_of_the_contract(make_tree: MakeTree, read: Any) -> None:
    root = make_tree("Training/notumor/1.png", "Training/glioma_tumor/2.png", "Testing/no/3.png")
    out = read(root)
    assert tuple(out.manifest.columns) == COLUMNS
    assert out.manifest["path"].tolist() == [
        "Testing/no/3.png",
        "Training/glioma_tumor/2.png",
        "Training/notumor/1.png",
    ]
    assert out.manifest["label"].tolist() == ["no_tumor", "glioma", "no_tumor"]
    assert out.manifest["split"].tolist() == ["test", "train", "train"]
    assert out.manifest[["group", "patient"]].isna().all(axis=None)
    assert out.manifest[["width", "height", "mode"]].to_numpy().tolist() == [[12, 10, "L"]] * 3
    content = (root / "Testing/no/3.png").read_bytes()
    assert out.manifest["sha256"][0] == hashlib.sha256(content).hexdigest()
    assert out.classes == ("glioma", "no_tumor")
    assert isinstance(out.manifest.index, pd.RangeIndex)


def test_names_that_became_one_class_are_known(make_tree: MakeTree, read: Any) -> None:
    names = ("No_Tumor", "no tumor", "healthy", "Glioma", "glioma_tumor", "pituitary")
    root = make_tree(*(f"{name}/1.png" for name in names))
    assert read(root).joined == {
        "glioma": ["Glioma", "glioma_tumor"],
        "no_tumor": ["No_Tumor", "healthy", "no tumor"],
    }
    assert read(root, binary=True).joined["tumor"] == ["Glioma", "glioma_tumor", "pituitary"]


def test_row_i_of_the_pixels_is_row_i_of_the_manifest(make_tree: MakeTree, read: Any) -> None:
    root = make_tree(*(f"{label}/{i}.png" for label in "ab" for i in range(120)))
    out = read(root, 10)
    assert out.pixels.shape == (240, 10, 10)
    for row, path in enumerate(out.manifest["path"]):
        picture = Image.open(root / path).resize((10, 10), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(out.pixels[row], np.asarray(picture))


@pytest.mark.parametrize("colour_at", [0, 20, 39])
def test_one_coloured_image_makes_all_of_them_three_channels(
    make_tree: MakeTree, read: Any, image_bytes: Any, colour_at: int
) -> None:
    root = make_tree(*(f"{label}/{i}.png" for label in "ab" for i in range(20)))
    grey = read(root).pixels
    path = sorted(root.rglob("*.png"), key=lambda p: (p.parent.name, int(p.stem)))[colour_at]
    path.write_bytes(image_bytes("colour", mode="RGB"))
    pixels = read(root).pixels
    assert pixels.shape == (40, 16, 16, 3)
    others = np.arange(40) != colour_at
    np.testing.assert_array_equal(pixels[others], np.stack([grey[others]] * 3, axis=-1))
    assert not np.array_equal(pixels[colour_at, ..., 0], pixels[colour_at, ..., 1])


def test_result_does_not_depend_on_the_number_of_threads(
    make_tree: MakeTree, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_tree(*(f"{label}/{i}.png" for label in "ab" for i in range(50)))
    one = read(root)
    monkeypatch.setattr(reading, "_BATCH", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(7), raising=False)
    two = read(root)
    pd.testing.assert_frame_equal(one.manifest, two.manifest)
    np.testing.assert_array_equal(one.pixels, two.pixels)


def spoil(root: Path) -> None:
    (root / "a" / "0.png").write_bytes(b"")
    (root / "a" / "2.png").write_text("<html>404</html>")
    (root / "b" / "1.png").write_bytes((root / "b" / "1.png").read_bytes()[:40])
    (root / "b" / "3.png").unlink()
    (root / "b" / "3.png").symlink_to(root / "gone")


def test_all_unreadable_images_are_listed_in_one_error(make_tree: MakeTree, read: Any) -> None:
    root = make_tree(*(f"{label}/{i}.png" for label in "ab" for i in range(5)))
    spoil(root)
    with pytest.raises(DataError) as caught:
        read(root)
    message = str(caught.value)
    assert message.startswith("4 of 10 images cannot be read")
    assert "data.skip_unreadable=true" in message
    for line in (
        "a/0.png: the file is empty",
        "a/2.png: it is a web page",
        "b/1.png: ",
        "b/3.png:",
    ):
        assert line in message


def test_many_unreadable_images_are_counted_not_all_printed(make_tree: MakeTree, read: Any) -> None:
    root = make_tree("a/1.png", "b/1.png", *(f"b/{i}.jpg" for i in range(50)))
    (root / "b" / "7.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="50 of 52 ") as caught:
        read(root)
    _, most, other = str(caught.value).splitlines()
    assert most.startswith("  49 files (b/0.jpg, b/1.jpg, b/2.jpg, …): it is a text file")
    assert other.startswith("  b/7.jpg: the file is empty")


def test_skip_unreadable_goes_on_with_the_rest(make_tree: MakeTree, read: Any) -> None:
    root = make_tree(*(f"{label}/{i}.png" for label in "ab" for i in range(5)))
    whole = read(root)
    spoil(root)
    out = read(root, skip_unreadable=True)
    kept = whole.manifest["path"].isin(out.manifest["path"]).to_numpy()
    assert out.manifest["path"].tolist() == [
        "a/1.png",
        "a/3.png",
        "a/4.png",
        "b/0.png",
        "b/2.png",
        "b/4.png",
    ]
    np.testing.assert_array_equal(out.pixels, whole.pixels[kept])
    assert [path for path, _ in out.unreadable] == ["a/0.png", "a/2.png", "b/1.png", "b/3.png"]
    assert list(out.manifest.index) == list(range(6))


def test_class_of_which_nothing_is_readable_is_refused(make_tree: MakeTree, read: Any) -> None:
    root = make_tree("a/1.png", "b/1.jpg")
    with pytest.raises(DataError, match=r"no image of class b can be read.*text file"):
        read(root, skip_unreadable=True)


@pytest.mark.parametrize("names", [("a/1.png",), ("no/1.png", "notumor/2.png")])
def test_one_class_only_is_refused(
    make_tree: MakeTree, data_section: Section, names: tuple[str, ...]
) -> None:
    section = data_section("folder", root=str(make_tree(*names)))
    with pytest.raises(DataError, match="one class only"):
        read_dataset(section, 16)


def test_images_of_one_class_beside_a_table_of_classes_are_told_to_use_it(
    make_tree: MakeTree, data_section: Section
) -> None:
    root = make_tree("Brain Tumor/1.png", "Brain Tumor/2.png")
    (root / "Brain Tumor.csv").write_text("Image,Class\n1,0\n2,1\n")
    with pytest.raises(DataError, match=r"data=table data\.table=.*Brain Tumor\.csv"):
        read_dataset(data_section("folder", root=str(root)), 16)


def test_binary_joins_the_tumors(make_tree: MakeTree, read: Any) -> None:
    root = make_tree("glioma/1.png", "pituitary/1.png", "notumor/1.png")
    out = read(root, binary=True)
    assert out.classes == ("no_tumor", "tumor")
    assert out.manifest["label"].tolist() == ["tumor", "no_tumor", "tumor"]


def test_limit_draws_as_many_of_each_class_and_split(make_tree: MakeTree, read: Any) -> None:
    names = [f"{s}/{c}/{i}.png" for s in ("train", "test") for c in "ab" for i in (1, 2, 10)]
    drawn = read(make_tree(*names), limit=2).manifest
    assert drawn.groupby(["label", "split"], observed=True).size().tolist() == [2, 2, 2, 2]
    pd.testing.assert_frame_equal(drawn, read(make_tree(), limit=2).manifest)
    assert set(read(make_tree(), limit=1).manifest["path"]) <= set(drawn["path"])
    assert len(read(make_tree(), limit=9).manifest) == len(names)


def test_limit_draws_from_all_patients_and_scanners(make_tree: MakeTree, read: Any) -> None:
    """The first by name were all of the first patient, or of the scanner of that letter."""
    names = [f"{c}/p{p:02}_{i}.png" for c in "ab" for p in range(10) for i in range(10)]
    drawn = read(make_tree(*names), limit=20).manifest
    patients = drawn["path"].str.extract(r"(./p\d+)")[0]
    assert patients.nunique() >= 14 and patients.value_counts().max() <= 6


def test_limit_comes_before_decoding(make_tree: MakeTree, read: Any) -> None:
    root = make_tree("a/1.png", *(f"b/{i}.jpg" for i in range(9)))  # which cannot be read
    with pytest.raises(DataError, match="1 of 2 images cannot be read"):
        read(root, limit=1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"limit": 0}, "data.limit=0"),
        ({"fit": "crop"}, "data.fit"),
        ({"binari": True}, "did you mean `binary`"),
        ({"rot": "x"}, "did you mean `root`"),
        ({"name": "foldr"}, "did you mean `folder`"),
    ],
)
def test_wrong_keys_are_answered(
    make_tree: MakeTree, read: Any, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        read(make_tree("a/1.png", "b/1.png"), **changes)


def test_image_size_must_be_positive(make_tree: MakeTree, read: Any) -> None:
    with pytest.raises(ConfigError, match="image_size=0"):
        read(make_tree("a/1.png", "b/1.png"), 0)


def test_names_that_are_no_utf8_are_read(make_tree: MakeTree, read: Any) -> None:
    root = make_tree("a/1.png", "b/1.png")
    (root / "a" / "1.png").rename(root / "a" / "\udcff.png")
    assert read(root).manifest["path"].tolist() == ["a/\udcff.png", "b/1.png"]


def test_patient_becomes_the_group(
    make_tree: MakeTree, data_section: Section, tmp_path: Path
) -> None:
    make_tree("1.png", "2.png")
    table = tmp_path / "root" / "list.csv"
    table.write_text("path,label,patient\n1.png,a,p7\n2.png,b,\n")
    out = read_dataset(data_section("table", table=str(table)), 8)
    assert out.manifest["group"].tolist()[0] == out.manifest["patient"].tolist()[0] == "p7"
    assert out.manifest["group"].isna().tolist() == [False, True]


def test_array_hash_depends_on_shape_and_values() -> None:
    flat = np.arange(12, dtype=np.uint8)
    arrays = [flat.reshape(3, 4), flat.reshape(4, 3), flat.reshape(3, 4) + 1]
    hashes = {reading._content_hash(array) for array in arrays}
    assert len(hashes) == 3
    assert reading._content_hash(arrays[1].copy()) in hashes
    strided = np.repeat(arrays[0], 2, axis=1)[:, ::2]
    assert reading._content_hash(strided) == reading._content_hash(arrays[0])


@pytest.mark.parametrize(
    "preset", ["folder", "archive", "npz", "table", "nickparvar", "sartaj", "navoneel"]
)
def test_every_preset_without_data_says_what_it_needs(
    data_section: Section, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data\.(root|table)="):
        read_dataset(data_section(preset), 16)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_goes_to_stderr_where_it_is_a_terminal(
    make_tree: MakeTree,
    data_section: Section,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    monkeypatch.setattr(progress, "_DELAY_S", 0)
    read_dataset(data_section("folder", root=make_tree("a/1.png", "b/1.png")), 8)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("reading images" in captured.err) == is_terminal


@pytest.mark.real_data
def test_real_images_are_all_read_and_counted(real_images: Dataset) -> None:
    out = real_images
    assert class_table(out.manifest).to_dict() == {
        "train": {"glioma": 1321, "meningioma": 1339, "no_tumor": 1591, "pituitary": 1457},
        "test": {"glioma": 300, "meningioma": 306, "no_tumor": 405, "pituitary": 300},
        "total": {"glioma": 1621, "meningioma": 1645, "no_tumor": 1996, "pituitary": 1757},
    }
    assert (out.unreadable, out.ignored) == ([], {})
    split, kind = assign_splits(out.manifest, "auto", 0, 0.2, 0.2)
    assert kind == "official"
    assert (split["split"] == "test").sum() == 1311
    assert (split["split"] != "test").sum() == 5708


class Two:
    """A source of two images of 8 x 4 px, all bright where the lesion is and black elsewhere."""

    ignored: Mapping[str, int] = MappingProxyType({})
    items = (Item("a", "glioma"), Item("b", "no_tumor"))

    def __init__(self, shape: tuple[int, int] = (4, 8)) -> None:
        self.shape = shape

    def mask(self, item: Item) -> np.ndarray:
        mask = np.zeros(self.shape, dtype=bool)
        mask[:2, :4] = item.path == "a"
        return mask

    def read(self, item: Item) -> np.ndarray:
        picture = np.zeros((4, 8), dtype=np.uint8)
        picture[:2, :4] = 255 * (item.path == "a")
        return picture


@pytest.fixture
def read_two(monkeypatch: pytest.MonkeyPatch, data_section: Section) -> Callable[..., Dataset]:
    """read_two(source, size_px, fit=…) -> its two images as a data set."""

    def read_source(source: Any, size_px: int, **changes: Any) -> Dataset:
        monkeypatch.setattr("braintumor.data.dataset.build_source", lambda *_: source)
        section = data_section("folder", root="nowhere", **changes)
        return read_dataset(section, size_px)

    return read_source


@pytest.mark.parametrize(
    ("fit", "size_px", "rows", "columns"),
    [("pad", 8, (2, 4), (0, 4)), ("pad", 4, (1, 2), (0, 2)), ("stretch", 8, (0, 4), (0, 4))],
)
def test_a_lesion_mask_lies_where_the_lesion_of_the_pixels_does(
    read_two: Any, fit: str, size_px: int, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    out = read_two(Two(), size_px, fit=fit)
    expected = np.zeros((size_px, size_px), dtype=bool)
    expected[slice(*rows), slice(*columns)] = True
    mask = out.lesion_mask("a")
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(out.pixels[0] >= 128, expected)
    assert out.lesion_mask("b").shape == (size_px, size_px) and not out.lesion_mask("b").any()


def test_a_lesion_mask_of_another_size_than_its_picture_is_refused(read_two: Any) -> None:
    out = read_two(Two(shape=(8, 8)), 8)
    with pytest.raises(DataError, match=r"lesion mask of a is 8 x 8 px, its picture 8 x 4"):
        out.lesion_mask("a")


def test_a_folder_knows_no_lesions_and_phantoms_do(
    make_tree: MakeTree, read: Any, data_section: Section
) -> None:
    assert read(make_tree("a/1.png", "b/1.png")).lesion_mask is None
    options = {"patients": 8, "slices_per_patient": 1, "size_px": 64, "seed": 0, "test_share": 0.0}
    out = read_dataset(data_section("phantom", **options), 64)
    source = phantom.build(**options)  # type: ignore[arg-type]
    masks = {item.path: source.mask(item) for item in source.items}
    assert sum(mask.any() for mask in masks.values()) >= 4
    for path, mask in masks.items():
        np.testing.assert_array_equal(out.lesion_mask(path), mask)
