from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from braintumor.data import audit
from braintumor.data.audit import Audit, audit_images, describe_pairs, write_audit
from braintumor.data.audit_summary import summarise
from braintumor.data.dataset import Dataset
from braintumor.data.fingerprint import fingerprint
from braintumor.data.images import Fit
from braintumor.data.reading import Fingerprints
from braintumor.data.sources._look import Choice
from braintumor.data.sources.phantom import Phantom
from braintumor.data.split import assign_splits, refuse_crossing
from braintumor.files import sha256_of
from braintumor.workflows.describe import five_lines


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def heads() -> list[np.ndarray]:
    source = Phantom(8, 1, 128, 1, 0.0)
    return [source.read(item) for item in source.items]


def table_of(pictures: list[np.ndarray], **columns: list) -> tuple[pd.DataFrame, Fingerprints]:
    """Manifest and fingerprints; sha256 is that of the pixels unless it is given."""
    count = len(pictures)
    found = [fingerprint(picture) for picture in pictures]
    manifest = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(count)],
            "label": ["glioma"] * count,
            "split": ["train"] * count,
            "group": [None] * count,
            "patient": [None] * count,
            "sha256": [sha256_of(picture.tobytes()) for picture in pictures],
            "width": [128] * count,
            "height": [128] * count,
            "mode": ["L"] * count,
        }
        | columns
    )
    prints = Fingerprints(
        np.array([f.pixel_sha256 for f in found]),
        np.stack([f.thumbnail for f in found]),
        tuple(f.quality_flags for f in found),
    )
    return manifest, prints


def audited(manifest: pd.DataFrame, prints: Fingerprints) -> tuple[pd.DataFrame, Audit]:
    result = audit_images(manifest, prints)
    return manifest.assign(group=result.group), result


def test_kinds_of_copies(heads: list[np.ndarray]) -> None:
    a, b, c = heads[:3]
    nearly = a.copy()
    nearly[0, 0] ^= 3
    pictures = [a, a, a, nearly, b, b[:, ::-1], c]
    manifest, prints = table_of(pictures, sha256=["x", "x", "y", "z", "u", "v", "w"])
    pairs = audit_images(manifest, prints).pairs
    kinds = {(p.a, p.b): p.kind for p in pairs.itertuples()}
    assert kinds == {
        (0, 1): "same file",
        (0, 2): "same pixels",
        (1, 2): "same pixels",
        (0, 3): "same picture",
        (1, 3): "same picture",
        (2, 3): "same picture",
        (4, 5): "mirror image",
    }


def test_copies_and_patients_join_into_one_group(heads: list[np.ndarray]) -> None:
    a, b, c, d, e = heads[:5]
    manifest, prints = table_of(
        [a, b, b[:, ::-1], c, d, e], patient=["p1", "p1", None, "p2", None, None]
    )
    group = audit_images(manifest, prints).group
    assert group[:3].tolist() == ["p1", "p1", "p1"]  # p1 has a and b, and a mirror of b is alone
    assert group[3] == "p2"
    assert group[4:].isna().all()


def test_a_patient_is_one_however_he_is_written(heads: list[np.ndarray]) -> None:
    names = ["P007", "p7 ", "P7", "P 007", "P-07", "P70"]
    manifest, prints = table_of(heads[:6], patient=names)
    manifest, result = audited(manifest, prints)
    assert result.group.tolist() == ["P007"] * 3 + ["P 007"] * 2 + ["P70"]
    assert summarise(manifest, result)["patients"]["patients"] == 3


def test_a_patient_for_each_image_is_doubted(heads: list[np.ndarray]) -> None:
    """A column that numbers the rows keeps no patient together."""
    manifest, prints = table_of(heads[:4], patient=["1", "2", "3", "4"])
    manifest, result = audited(manifest, prints)
    said = "\n".join(five_lines(summarise(manifest, result), "stretch"))
    assert "each image has a patient of its own; if these are numbers of images" in said


def test_patients_of_several_classes_are_counted(heads: list[np.ndarray]) -> None:
    """As by an expression that finds the number of the slice."""
    patients, labels = ["1", "2", "1", "2", "3", "3"], ["a", "a", "b", "a", "b", "b"]
    manifest, prints = table_of(heads[:6], patient=patients, label=labels)
    said = five_lines(summarise(*audited(manifest, prints)), "stretch")
    assert any(line.startswith("  1 of 3 patients has images of several classes") for line in said)


def test_outlines_among_pictures_are_odd(heads: list[np.ndarray]) -> None:
    outline = ((heads[1] > 60) * 255).astype(np.uint8)
    manifest, prints = table_of([heads[0], outline, outline // 255])
    said = five_lines(summarise(*audited(manifest, prints)), "stretch")
    assert said[-1] == "  odd pictures: 1 blank, 1 of two grey levels, as outlines are"


def test_groups_without_a_patient_bear_the_first_path(heads: list[np.ndarray]) -> None:
    manifest, prints = table_of([heads[0], heads[1], heads[1]])
    group = audit_images(manifest, prints).group
    assert group[1] == group[2] == "1.png"
    assert pd.isna(group[0])


def test_blank_pictures_are_no_copies_of_each_other(heads: list[np.ndarray]) -> None:
    black = np.zeros((128, 128), np.uint8)
    manifest, prints = table_of([black, black, black + 1, heads[0]])
    result = audit_images(manifest, prints)
    assert result.pairs.empty
    assert result.group.isna().all()


def test_nothing_but_blank_pictures_is_no_copy_either() -> None:
    manifest, prints = table_of([np.zeros((64, 64), np.uint8)] * 3)
    assert audit_images(manifest, prints).pairs.empty


def test_file_names_that_are_no_utf8_can_be_reported(
    heads: list[np.ndarray], tmp_path: Path
) -> None:
    manifest, prints = table_of(
        [heads[0], heads[0]], path=["a\udcff.png", "b\r.png"], label=["glioma", "no_tumor"]
    )
    manifest, result = audited(manifest, prints)
    write_audit(tmp_path, manifest, result, summarise(manifest, result))
    table = pd.read_csv(tmp_path / "duplicates.csv", encoding_errors="surrogateescape")
    assert table.loc[0, ["path_a", "path_b"]].tolist() == ["a\udcff.png", "b\r.png"]


def test_many_identical_images_make_one_group_and_few_pairs(heads: list[np.ndarray]) -> None:
    manifest, prints = table_of([heads[0]] * 150)
    result = audit_images(manifest, prints)
    assert len(result.pairs) == 149
    assert (result.group == result.group[0]).all()


def test_cache_gives_the_same_answer(
    heads: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_WORTH_KEEPING_S", 0)
    manifest, prints = table_of([*heads, heads[2][:, ::-1]])
    first, second = audit_images(manifest, prints), audit_images(manifest, prints)
    assert (first.is_cached, second.is_cached) == (False, True)
    pd.testing.assert_frame_equal(first.pairs, second.pairs)
    assert (first.phashes == second.phashes).all()


def test_other_content_is_not_taken_from_the_cache(
    heads: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_WORTH_KEEPING_S", 0)
    audit_images(*table_of(heads[:4]))
    assert not audit_images(*table_of(heads[:3])).is_cached


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_damaged_cache_is_searched_again(
    heads: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    monkeypatch.setattr(audit, "_WORTH_KEEPING_S", 0)
    manifest, prints = table_of([heads[0], heads[0][:, ::-1]])
    audit_images(manifest, prints)
    (file,) = (tmp_path / "cache" / "copies").glob("*.npz")
    content = bytearray(file.read_bytes())
    for place in range(60, len(content), 7) if size < 0 else ():
        content[place] ^= 0x55
    file.write_bytes(content if size < 0 else content[:size])
    result = audit_images(manifest, prints)
    assert not result.is_cached
    assert len(result.pairs) == 1


def test_a_cache_that_cannot_be_written_does_not_stop_the_audit(
    heads: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(audit, "_WORTH_KEEPING_S", 0)
    assert len(audit_images(*table_of([heads[0], heads[0]])).pairs) == 1


def test_report_counts_leaks_conflicts_and_oddities(
    heads: list[np.ndarray], tmp_path: Path
) -> None:
    a, b, c, d = heads[:4]
    black = np.zeros((128, 128), np.uint8)
    manifest, prints = table_of(
        [a, b, c, black, a, b[:, ::-1], d],
        split=["train", "val", "train", "train", "test", "test", "test"],
        label=["glioma", "no_tumor", "glioma", "glioma", "glioma", "glioma", "no_tumor"],
    )
    manifest, result = audited(manifest, prints)
    content = summarise(manifest, result)
    write_audit(tmp_path, manifest, result, content)
    assert content["images"], content["pictures"] == (7, 5)
    assert content["test"] == {
        "images": 3,
        "seen": 2,
        "share": 0.666667,
        "byte_identical": 1,
        "clean_by_class": {"glioma": 0, "no_tumor": 1},
    }
    assert content["label_conflicts"]["pairs"] == 1
    assert content["oddities"]["blank"]["first"] == ["3.png"]
    table = pd.read_csv(tmp_path / "duplicates.csv")
    assert table["path_b"].tolist() == ["5.png", "4.png"]  # the contradiction first
    lines = five_lines(summarise(manifest, result), "pad")
    assert len(lines) == 6
    assert "2 of 3 test images (66.7\N{NO-BREAK SPACE}%) have a copy in train or val" in lines[2]
    assert lines[3].startswith("  patients are not known: images of one patient may be in train")
    assert "1.png is no_tumor but 5.png is glioma" in lines[4]


@pytest.mark.parametrize(
    ("seen", "images", "share"),
    [(2_999, 3_000, "99.96"), (29_999, 30_000, "99.99"), (1, 30_000, "0.003"), (3, 3, "100.0")],
)
def test_a_share_of_copies_reads_as_all_only_where_it_is_all(
    heads: list[np.ndarray], seen: int, images: int, share: str
) -> None:
    content = summarise(*audited(*table_of(heads[:2], split=["train", "test"])))
    content["test"] |= {"seen": seen, "images": images, "share": 1.0}
    (line,) = [line for line in five_lines(content, "pad") if "LEAK" in line]
    assert f" {seen:,} of {images:,} test images ({share}\N{NO-BREAK SPACE}%) ha" in line


@pytest.mark.parametrize(
    ("patients", "side", "unknown"),
    [
        ("pqrr", "no test image has a copy or its patient in train or val", None),
        ("pqr ", "no test image has a copy or its patient", "known for 3 of 4 images only: of the"),
        ("    ", "no test image has a copy in train or val", "patients are not known: images of"),
        (
            "pqpr",
            "1 of 2 test images (50.0\N{NO-BREAK SPACE}%) has a copy or its patient in train",
            None,
        ),
    ],
)
def test_no_patient_is_claimed_that_the_data_do_not_name(
    heads: list[np.ndarray], patients: str, side: str, unknown: str | None
) -> None:
    named = [name.strip() or None for name in patients]
    table = table_of(heads[:4], split=["train", "val", "test", "test"], patient=named)
    manifest, result = audited(*table)
    content = summarise(manifest, result)
    known = sum(name is not None for name in named)
    assert content["patients"] == {
        "images": 4, "known": known, "patients": len({*named} - {None}),
    }  # fmt: skip
    lines = five_lines(content, "pad")
    assert lines[0].endswith("4 images, no copies")
    assert side in lines[1]
    assert [unknown in line for line in lines[2:]] == [True] if unknown else len(lines) == 2


@pytest.mark.parametrize(
    ("names", "is_told"),
    [
        (["a/pt01_1.png", "a/pt01_2.png", "b/PT02_1.png", "b/pt03.png"], True),
        (["a/patient_1/1.png", "a/patient_1/2.png", "b/patient_2/1.png", "b/patient_3/1"], True),
        (["a/TCGA_CS_4941_1.tif", "a/TCGA_CS_4941_2.tif", "b/TCGA_DU_5849_1.tif",
          "b/TCGA_DU_5849_2.tif"], True),
        (["a/0001/1.png", "a/0001/2.png", "b/0002/1.png", "b/0003/1.png"], True),
        (["a/K1/T2/1.png", "a/K1/T2/2.png", "b/L2/T1/1.png", "b/L3/T1/1.png"], True),
        (["a/p1.png", "a/p2.png", "b/p1.png", "b/p2.png"], False),  # numbers of pictures
        (["a/Te-gl_0010.jpg", "a/Te-gl_0011.jpg", "b/Te-no_0010.jpg", "b/Te-no_0011.jpg"], False),
    ],
)  # fmt: skip
def test_patients_that_paths_seem_to_tell_are_offered(
    heads: list[np.ndarray], names: list[str], is_told: bool
) -> None:
    """As a setting that finds them when pasted; nothing where patients are known."""
    manifest, result = audited(*table_of(heads[:4], path=names))
    offers = [x for x in five_lines(summarise(manifest, result), "pad") if "seem to tell" in x]
    assert len(offers) == is_told
    if is_told:
        (word,) = shlex.split(offers[0].partition("say so: ")[2])
        value = OverridesParser.create().parse_override(word).value()
        found = Choice.given(None, None, value).patients(names)
        assert found[0] == found[1] != found[2]
    named = manifest.assign(patient=list("pqrs"))
    assert not any("seem to tell" in x for x in five_lines(summarise(named, result), "pad"))


def test_augmented_copies_are_told_by_their_names(heads: list[np.ndarray]) -> None:
    """Of files, not of the folder that all may lie in: turned ones are found in no other way."""
    names = ["Augmented/a/1.png", "Augmented/a/1_aug_0.png", "Augmented/b/augmented-2.png"]
    manifest, result = audited(*table_of(heads[:3], path=names))
    said = [x for x in five_lines(summarise(manifest, result), "pad") if "augmented" in x]
    assert [line.split(" are")[0] for line in said] == ["  2 pictures"]


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["CTscan/a.png", "CTscan/b.png", "MRIScans/c.png"], "2 CT, 1 MR; a model may"),
        (["Tomografi/a.png", "MR/b.png", "MR/c.png"], "1 CT, 2 MR; a model may"),
        (["CT/a.png", "CT/b.png", "MRI/c.png"], "2 CT, 1 MR; a model may"),
        (["ct (1).png", "x/b.png", "x/c.png"], "1 CT; a model may"),
        (["brain ct/a.png", "brain ct/b.png", "brain ct/c.png"], None),  # all the same
        (["mri/a.png", "flair/b.png", "x/c.png"], None),
        (["octave/a.png", "affect/b.png", "direct/c.png"], None),
    ],
)
def test_other_kinds_of_scan_are_found_by_their_names(
    heads: list[np.ndarray], paths: list[str], said: str | None
) -> None:
    manifest, result = audited(*table_of(heads[:3], path=paths))
    lines = [line for line in five_lines(summarise(manifest, result), "pad") if "kind of" in line]
    assert [said in line for line in lines] == ([True] if said else [])


@pytest.mark.parametrize(("fit", "is_said"), [("stretch", True), ("pad", False)])
def test_pictures_that_a_square_would_squeeze_are_found(
    heads: list[np.ndarray], fit: Fit, is_said: bool
) -> None:
    manifest, prints = table_of(heads[:3])
    manifest[["width", "height"]] = [[200, 200], [210, 200], [200, 300]]
    content = summarise(*audited(manifest, prints))
    assert content["not_square"] == {"images": 1, "largest_ratio": 1.5}
    lines = [line for line in five_lines(content, fit) if "not square (sides up to 1.5" in line]
    assert len(lines) == is_said


def test_label_conflicts_are_pairs_with_two_labels(heads: list[np.ndarray]) -> None:
    manifest, prints = table_of(
        [heads[0], heads[0], heads[1], heads[1]], label=["glioma", "glioma", "glioma", "no_tumor"]
    )
    manifest, result = audited(manifest, prints)
    conflicts = summarise(manifest, result)["label_conflicts"]
    assert conflicts == {"pairs": 1, "first": [{"2.png": "glioma", "3.png": "no_tumor"}]}
    table = describe_pairs(manifest, result.pairs)
    assert table["same_label"].tolist() == [False, True]
    assert table["path_a"].tolist() == ["2.png", "0.png"]


@pytest.mark.real_data
@pytest.mark.slow
def test_copies_in_the_real_data_are_those_that_are_known(real_images: Dataset) -> None:
    """216 byte-identical and 992 same pictures were counted apart from this code."""
    data = real_images
    result = audit_images(data.manifest, data.fingerprints)
    manifest = data.manifest.assign(group=result.group)
    official, _ = assign_splits(manifest, "official", 0, 0.2, 0.2)
    content = summarise(official, result)
    assert content["test"]["byte_identical"] == 216
    assert content["test"]["seen"] == pytest.approx(992, rel=0.01)
    assert content["pictures"] == pytest.approx(3644, rel=0.03)
    grouped, _ = assign_splits(manifest, "grouped", 0, 0.2, 0.2)
    refuse_crossing(grouped)
    parts = grouped["split"].to_numpy()
    assert (parts[result.pairs["a"]] == parts[result.pairs["b"]]).all()
