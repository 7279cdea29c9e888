"""bt-data cache=size and cache=clear: what is kept for later runs, and nothing else."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from braintumor.cache_folder import KINDS, make_room
from support import Command

KEPT = {
    "decoded/64px-stretch-0123abcd-" + "0a" * 16 + ".npy": 300_000,
    "decoded/64px-stretch-0123abcd-" + "0a" * 16 + ".npz": 100_000,
    "decoded/.64px-stretch-0123abcd-" + "0a" * 16 + ".npy.x_1abc": 500_000,  # part-written
    "copies/" + "1b" * 16 + ".npz": 1_200_000,
    "features/" + "2c" * 16 + ".npy": 2_000_000,
}
FOREIGN = [
    "notes.txt",
    "decoded/notes.txt",
    "decoded/scan.npy",
    "copies/deep/" + "1b" * 16 + ".npz",
    "mine/" + "2c" * 16 + ".npy",
]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder with files of this toolkit and of others."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / ".braintumor").touch()
    for name, size in {**KEPT, **dict.fromkeys(FOREIGN, 10)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    return folder


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_size_tells_files_and_bytes_of_each_part(bt: Command, cache: Path, tmp_path: Path) -> None:
    done = bt("data", "cache=size", cwd=tmp_path, BT_CACHE=str(cache), code=0)
    head, *lines = done.stdout.splitlines()
    assert str(cache) in head
    assert [line.split()[:5] for line in lines] == [
        ["decoded", "3", "files", "0.9", "MB"],
        ["copies", "1", "files", "1.2", "MB"],
        ["features", "1", "files", "2.0", "MB"],
        ["shapes", "0", "files", "0.0", "MB"],
        ["floors", "0", "files", "0.0", "MB"],
    ]
    assert all((cache / name).is_file() for name in [*KEPT, *FOREIGN])
    assert names_in(tmp_path) == ["cache"]  # no run folder: nothing was explored


def test_clear_removes_what_is_its_own_and_nothing_else(
    bt: Command, cache: Path, tmp_path: Path
) -> None:
    done = bt("data", "cache=clear", cwd=tmp_path, BT_CACHE=str(cache), code=0)
    assert "4.1 MB" in done.stdout.splitlines()[-1]
    left = sorted(p.relative_to(cache).as_posix() for p in cache.rglob("*") if p.is_file())
    assert left == sorted([".braintumor", *FOREIGN])
    assert not (cache / "features").exists()  # it was empty then
    assert names_in(tmp_path) == ["cache"]
    again = bt("data", "cache=clear", cwd=tmp_path, BT_CACHE=str(cache), code=0)
    assert "0.0 MB" in again.stdout.splitlines()[-1]


def test_without_a_cache_there_is_nothing_to_clear(bt: Command, tmp_path: Path) -> None:
    bt("data", "cache=clear", cwd=tmp_path, BT_CACHE=str(tmp_path / "none"), code=0)
    assert names_in(tmp_path) == []


def test_clearing_leaves_the_data_set_itself(bt: Command, cache: Path, tmp_path: Path) -> None:
    """A data set inside the cache folder, even under a name that the cache uses."""
    image = cache / "decoded" / "glioma" / ("3d" * 16 + ".png")
    image.parent.mkdir(parents=True)
    image.write_bytes(b"an image")
    bt("data", "cache=clear", cwd=tmp_path, BT_CACHE=str(cache))
    assert image.read_bytes() == b"an image"


@pytest.mark.parametrize("name", KEPT)
def test_a_folder_that_is_no_cache_of_ours_loses_nothing(
    bt: Command, tmp_path: Path, name: str
) -> None:
    """Named as ours are, in a folder that BT_CACHE names; neither cleared nor made room in."""
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own work")
    os.utime(mine, (0, 0))
    where = {"BT_CACHE": str(tmp_path / "mine")}
    bt(
        "data", "data.patients=12", "data.image_size=48", "run_dir=run", cwd=tmp_path, **where,
        code=0,
    )  # fmt: skip
    done = bt("data", "cache=clear", cwd=tmp_path, **where, code=2)
    assert ".braintumor" in done.stderr and "nothing was removed" in done.stderr
    assert mine.read_bytes() == b"my own work"


def test_room_is_made_in_a_marked_cache_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 MB of features lie there, and no more than 2.5 may."""
    monkeypatch.setenv("BT_CACHE", str(cache))
    limited = dataclasses.replace(KINDS["features"], max_bytes=2_500_000)
    monkeypatch.setitem(KINDS, "features", limited)
    features = cache / "features"
    (cache / ".braintumor").unlink()
    make_room("features", 1_000_000)
    assert len(names_in(features)) == 1
    (cache / ".braintumor").touch()
    make_room("features", 1_000_000)
    assert names_in(features) == []


def test_another_word_is_refused(bt: Command, cache: Path, tmp_path: Path) -> None:
    done = bt("data", "cache=empty", cwd=tmp_path, BT_CACHE=str(cache), code=2)
    assert "`cache=empty` is not one of the choices; Known: clear, size" in done.stderr
    assert all((cache / name).is_file() for name in KEPT)


def test_what_a_run_keeps_is_shown_and_can_be_cleared(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("braintumor.data.reading._WORTH_KEEPING_S", 0.0)
    monkeypatch.setattr(
        "braintumor.workflows.explore.draw_data", lambda data, folder: None
    )  # no pictures
    phantoms = ["data.patients=12", "data.slices_per_patient=2", "data.image_size=48"]
    kept = {"BT_CACHE": str(tmp_path / "cache")}
    done = bt("data", *phantoms, "run_dir=run", cwd=tmp_path, **kept, code=0)
    assert "kept for later runs: 0.2 MB" in done.stdout  # 24 images: 2,304 + 4,096 bytes each
    cleared = bt("data", "cache=clear", cwd=tmp_path, **kept)
    assert "  decoded      4 files" in cleared.stdout
    assert names_in(tmp_path / "cache") == []
