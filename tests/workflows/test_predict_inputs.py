"""What bt-predict takes: several inputs, archives, patterns, links; what it passes over is said."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import braintumor as bt
from braintumor.errors import DataError
from braintumor.runs.checkpoint import Card, read_card
from braintumor.workflows.pictures import PictureBatches
from support import Command


@pytest.fixture(scope="module")
def card(trained: Path) -> Card:
    return read_card(trained / "best.safetensors")


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """scans/a.png and scans/b/c.jpg, of shapes of their own, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("a.png", "b/c.jpg")):
        draw(tmp_path / "scans" / name, 40 + i)
    return tmp_path / "scans"


def draw(path: Path, height: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, 50), 90, np.uint8)).save(path)


def names_in(given: Any, card: Card) -> list[str]:
    """Of the pictures there, all of which can be read."""
    read = PictureBatches(given, card, 9)
    assert len(read) == sum(map(len, read))
    return read.names


def pack(root: Path, archive: Path) -> Path:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(root.rglob("*")):
                file.write(path, path.relative_to(root.parent))
    else:
        kind: Any = {".gz": "w:gz", ".txz": "w:xz", ".tbz2": "w:bz2"}.get(archive.suffix, "w")
        with tarfile.open(archive, kind) as file:
            file.add(root, root.name)
    return archive


@pytest.mark.parametrize("name", ["s.zip", "s.tar", "s.tar.gz", "s.txz", "s.tbz2", "S.ZIP"])
def test_an_archive_is_read_as_its_folder(card: Card, scans: Path, name: str) -> None:
    packed = pack(scans, scans.parent / name) if name != "S.ZIP" else None
    if packed is None:
        packed = pack(scans, scans.parent / "s.zip").rename(scans.parent / name)
    found, unpacked = (PictureBatches(given, card, 9) for given in (packed, scans))
    np.testing.assert_array_equal(next(iter(found)), next(iter(unpacked)))
    assert found.names == [f"scans/{name}" for name in unpacked.names]
    assert found.sizes == [(40, 50), (41, 50)]
    assert found.originals[0]().shape == (40, 50)


def test_an_archive_that_leads_out_of_itself_is_refused(card: Card, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as file:
        file.writestr("../x.png", b"x")
    with pytest.raises(DataError, match="leads out of the archive"):
        names_in(tmp_path / "bad.zip", card)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("scans/*.png", ["a.png"]),
        ("scans/*", ["a.png", "b/c.jpg"]),
        ("scans/**/*.jpg", ["b/c.jpg"]),
        ("scans/**", ["a.png", "b/c.jpg"]),  # what a pattern names twice is read once
        ("s*/[ab].png", ["scans/a.png"]),
        ("*.zip", ["s.zip/scans/a.png", "s.zip/scans/b/c.jpg"]),
    ],
)
def test_a_pattern_stands_for_what_it_names(
    card: Card, scans: Path, pattern: str, names: list[str]
) -> None:
    pack(scans, scans.parent / "s.zip")
    assert names_in(pattern, card) == names


def test_several_are_named_as_they_were_given(card: Card, scans: Path) -> None:
    pack(scans / "b", scans.parent / "s.zip")
    found = names_in(["scans/a.png", "scans/b", "s.zip", "scans/*.png"], card)
    assert found == ["scans/a.png", "scans/b/c.jpg", "s.zip/b/c.jpg", "scans/a.png"]


def test_linked_folders_are_followed_and_a_loop_once(
    card: Card, scans: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw(scans.parent / "elsewhere" / "d.png")
    (scans / "more").symlink_to(scans.parent / "elsewhere")
    (scans / "b" / "loop").symlink_to("..")
    (scans / "again").symlink_to("b")
    assert names_in(scans, card) == ["a.png", "b/c.jpg", "more/d.png"]
    assert "1 linked folder (again is b)" in caplog.text


def test_noise_is_passed_over_by_name_and_number(
    card: Card, scans: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (
        ".ipynb_checkpoints/a-checkpoint.png", "@eaDir/a.png/THUMB.png", "__MACOSX/._a.png",
        ".hidden.png", "b/._c.jpg", "b/.thumbs/c.png",
    ):  # fmt: skip
        draw(scans / name)
    for i in range(6):
        (scans / f"{i}.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (scans / "notes.txt").write_text("x")
    assert names_in(scans, card) == ["a.png", "b/c.jpg"]
    (said,) = [record.message for record in caplog.records if "passed over" in record.message]
    for part in (
        "6 DICOM files (*.dcm)", "1 file (*.txt)", "1 file (.ipynb_checkpoints)",
        "1 file (@eaDir)", "1 file (__MACOSX)", "1 file (._*)", "1 file (.hidden.png)",
    ):  # fmt: skip
        assert part in said


def test_an_input_without_pictures_says_what_lies_there(card: Card, scans: Path) -> None:
    for i in range(6):
        (scans.parent / "dcm" / "s").mkdir(parents=True, exist_ok=True)
        (scans.parent / "dcm" / "s" / f"{i}.dcm").write_bytes(b"x")
    for name in ("nothing", "packed"):
        (scans.parent / name).mkdir()
    pack(scans, scans.parent / "packed" / "d.zip")
    for given, said in (
        ("dcm", r"dcm holds no pictures \(it holds 6 DICOM files \(\*.dcm\)\)"),
        (["scans", "dcm"], r"it holds 6 DICOM files \(\*.dcm\)"),
        ("dcm/*/*", r"it holds 6 DICOM files \(\*.dcm\)"),
        (str(pack(scans.parent / "dcm", scans.parent / "d.zip")), "it holds 6 DICOM files"),
        ("packed", r"holds no pictures, but archives; give them: input=packed/d\.zip$"),
        ("nothing", "it is empty"),
        ("scans/*.gif", "nothing is named like"),
        ("nowhere", "there is no file or folder nowhere"),
    ):
        with pytest.raises(DataError, match=said):
            names_in(given, card)


def test_the_command_takes_a_list_and_names_all_that_is_left_out(
    bt: Command, trained: Path, scans: Path
) -> None:
    cwd = scans.parent
    pack(scans, cwd / "s.zip")
    (scans / "bad, worse.png").write_text("no picture")
    (scans / "cut.png").symlink_to("nowhere.png")
    words = [f"ckpt={trained}", "input=[scans/a.png,scans,s.zip,scans/*.png]", "run_dir=p"]
    refused = bt("predict", *words, cwd=cwd, code=2)
    assert "4 of 10 pictures cannot be read, so none is answered; mend or" in refused.stderr
    assert "bad, worse.png: it is a text file" in refused.stderr
    assert not (cwd / "p").exists()
    done = bt("predict", *words, "skip_unreadable=true", cwd=cwd, code=0)
    table = pd.read_csv(cwd / "p" / "predictions.csv")
    assert len(table) == 6
    assert "left out: 4 of 10 pictures cannot be read" in done.stdout
    assert "scans/bad, worse.png: it is a text file" in done.stdout
    left_out = pd.read_csv(cwd / "p" / "unreadable.csv")
    assert left_out["path"].tolist() == ["scans/bad, worse.png", "scans/cut.png"] * 2
    assert left_out["reason"].str.len().gt(0).all()
    page = (cwd / "p" / "predictions.html").read_text()
    assert "page: p/predictions.html" in done.stdout
    assert page.count('class="answer"') == 6
    assert "scans/bad, worse.png" in page
    sizes = {Image.open(cwd / "p" / name).size for name in table["overlay"]}
    assert sizes == {(50, 40), (50, 41)}
    bt("predict", f"ckpt={trained}", "input=s.zip", "run_dir=p", "overwrite=true", cwd=cwd, code=0)
    assert not (cwd / "p" / "unreadable.csv").exists()


def test_python_takes_the_same(trained: Path, scans: Path) -> None:
    table = bt.predict(ckpt=trained, input=["scans/a.png", scans / "b"], run_dir="p", overlays=0)
    assert table["path"].tolist() == ["scans/a.png", str(scans / "b" / "c.jpg")]
    assert table["overlay"].tolist() == ["", ""]
    assert not (Path("p") / "cam").exists()
    assert 'class="heat"' not in (Path("p") / "predictions.html").read_text()
    shutil.rmtree("p")
