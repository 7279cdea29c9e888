from __future__ import annotations

import io
import re
import shlex
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from braintumor import limits
from braintumor.data.sources import archive, folder
from braintumor.errors import DataError

NAMES = ("set/Training/no/1.png", "set/Training/yes/1.png", "set/Testing/no/1.png")

Make = Callable[[Path, Mapping[str, bytes]], Path]


def make_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def make_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:" + path.suffix[1:].replace("tar", "")) as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.size = len(content)
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            file.addfile(entry, io.BytesIO(content))
    return path


FORMATS = pytest.mark.parametrize(
    ("make", "name"),
    [(make_zip, "a.zip"), (make_tar, "a.tar"), (make_tar, "a.tar.gz"), (make_tar, "a.tar.xz")],
)


@FORMATS
def test_archive_equals_the_folder_it_was_made_of(
    make: Make, name: str, tmp_path: Path, make_tree: Callable[..., Path]
) -> None:
    root = make_tree(*NAMES, "set/Training/no/Thumbs.db")
    members = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
    unpacked, packed = folder.build(root), archive.build(make(tmp_path / name, members))
    assert packed.items == unpacked.items
    assert packed.ignored == unpacked.ignored == {"Thumbs.db": 1}
    assert [packed.read(i) for i in packed.items] == [unpacked.read(i) for i in unpacked.items]


def test_folder_source_takes_an_archive_as_root(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", dict.fromkeys(NAMES, b"x"))
    assert len(folder.build(path).items) == 3


@FORMATS
@pytest.mark.parametrize(
    "hostile", ["../out.png", "no/../../out.png", "/etc/out.png", "C:/out.png", "..\\out.png"]
)
def test_member_that_leads_out_is_refused(
    make: Make, name: str, hostile: str, tmp_path: Path
) -> None:
    path = make(tmp_path / name, {**dict.fromkeys(NAMES, b"x"), hostile: b"x"})
    with pytest.raises(DataError, match="leads out of the archive"):
        archive.build(path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", dict.fromkeys(NAMES, b"x"))
    with tarfile.open(path, "a") as file:
        entry = tarfile.TarInfo("set/Training/no/2.png")
        entry.type, entry.linkname = kind, "/etc/passwd"
        file.addfile(entry)
    with pytest.raises(DataError, match="link or device"):
        archive.build(path)


def test_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", dict.fromkeys(NAMES, b"x"))
    with zipfile.ZipFile(path, "a") as file:
        entry = zipfile.ZipInfo("set/Training/no/2.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="link or device"):
        archive.build(path)


@FORMATS
@pytest.mark.parametrize(
    ("cap", "value", "reason"),
    [
        ("MEMBERS", 2, "more than 2 members"),
        ("FILE_BYTES", 99, "unpacks to 100 bytes"),
        ("UNPACKED_BYTES", 299, "more than 299 bytes"),
    ],
)
def test_bombs_are_refused(
    make: Make,
    name: str,
    cap: str,
    value: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make(tmp_path / name, dict.fromkeys(NAMES, b"x" * 100))
    archive.build(path)
    monkeypatch.setattr(limits, cap, value)
    with pytest.raises(DataError, match=reason):
        archive.build(path)


def test_names_of_windows_are_read_and_their_folders_are_no_files(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("set\\", "set\\no\\", "set\\no\\1.png", "set\\yes\\1.PNG"):
            file.writestr(name, b"x")
    source = archive.build(path)
    assert [item.path for item in source.items] == ["set/no/1.png", "set/yes/1.PNG"]
    assert source.ignored == {}


@FORMATS
def test_truncated_archive_is_refused(make: Make, name: str, tmp_path: Path) -> None:
    path = make(tmp_path / name, dict.fromkeys(NAMES, b"x" * 5_000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="damaged"):
        archive.build(path)


def test_web_page_called_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("<!DOCTYPE html><html>404</html>")
    with pytest.raises(DataError, match="is no zip or tar file: it is a web page"):
        archive.build(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("content", "what"), [(b"Rar!\x1a\7\1\0" + b"x" * 99, "a RAR archive"), (b"%PDF-1.4 ", "a PDF")]
)
def test_an_intact_file_of_another_kind_is_named_and_not_called_damaged(
    tmp_path: Path, content: bytes, what: str
) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=f"is {what}") as caught:
        archive.build(tmp_path / "a.zip")
    assert "damaged" not in str(caught.value)


def test_damaged_member_is_that_image_s_trouble_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in NAMES:
            file.writestr(name, b"content of " + name.encode())
    path.write_bytes(path.read_bytes().replace(b"content of " + NAMES[1].encode(), b"y" * 33, 1))
    source = archive.build(path)
    bad = next(item for item in source.items if item.path == NAMES[1])
    with pytest.raises(DataError, match="cannot be unpacked"):
        source.read(bad)
    assert all(source.read(item) for item in source.items if item is not bad)


def test_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", dict.fromkeys(NAMES, b"x"))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr(NAMES[0], b"other")
    with pytest.raises(DataError, match="there twice"):
        archive.build(path)


@FORMATS
def test_empty_class_folder_in_an_archive_is_refused(make: Make, name: str, tmp_path: Path) -> None:
    path = make(tmp_path / name, {"no/1.png": b"x", "yes/1.png": b"x", "glioma/": b""})
    with pytest.raises(DataError, match="class folder glioma"):
        archive.build(path)


def test_a_tar_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "temporary"
    inside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(inside))
    source = archive.build(make_tar(tmp_path / "a.tar", dict.fromkeys(NAMES, b"x")))
    assert source.read(source.items[0]) == b"x"
    assert not list(inside.iterdir())  # the copy has no name, so a kill leaves nothing
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "temporary"]


def test_an_archive_of_archives_is_told_to_be_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it prints is done, twice, and leads to the images."""
    monkeypatch.chdir(tmp_path)
    inner = {
        f"{name}.zip": make_zip(tmp_path / name, {f"{name}/{c}/1.png": b"x" for c in ("no", "yes")})
        for name in ("Training", "Testing")
    }
    make_zip(tmp_path / "a set.zip", {name: path.read_bytes() for name, path in inner.items()})
    root = Path("a set.zip")
    for _ in range(2):
        with pytest.raises(DataError, match="holds no image, but archives") as told:
            folder.build(root)
        for line in re.findall(r"python3 -m zipfile -e [^;\n]+", str(told.value)):
            zipfile.main(shlex.split(line)[3:])  # type: ignore[attr-defined]
        (root,) = map(Path, re.findall(r"data\.root=([^; ]+)", str(told.value))[:1])
    assert {item.split for item in folder.build(root).items} == {"train", "test"}
