"""Bombs: files that ask for far more than they hold, tried for real with little memory and time."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from braintumor import limits
from braintumor.config import typed
from braintumor.data.dataset import DataSettings
from braintumor.data.images import decode
from braintumor.data.sources import archive, build_source, npz
from braintumor.errors import BraintumorError
from braintumor.evaluation.predict import EvalSettings
from braintumor.files import read_yaml
from braintumor.runs.folder import RunFolder, read_config
from braintumor.workflows.compose import compose
from braintumor.workflows.train import list_trials
from limited import MIB, run_limited


def packed_tar(path: Path, pack: Callable[..., Any], header: bytes, zeros: int) -> Path:
    """A header and so many zeros, in little memory."""
    with pack(path, "wb") as file:
        file.write(header)
        for _ in range(zeros // MIB):
            file.write(bytes(MIB))
    return path


def pax(folder: Path) -> Path:
    entry = tarfile.TarInfo("a/1.png")
    entry.type, entry.size = tarfile.XHDTYPE, 100 * MIB
    return packed_tar(folder / "a.tar.gz", gzip.open, entry.tobuf(), 101 * MIB)


def long_name(folder: Path) -> Path:
    entry = tarfile.TarInfo("a/1.png")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 100 * MIB
    return packed_tar(folder / "a.tar.gz", gzip.open, entry.tobuf(), 101 * MIB)


def big_tar(folder: Path) -> Path:
    path = folder / "a.tar.xz"
    with lzma.open(path, "wb", preset=0) as file:
        for number in range(2):
            entry = tarfile.TarInfo(f"yes/{number}.png")
            entry.size = 10 * MIB
            file.write(entry.tobuf())
            for _ in range(10):
                file.write(bytes(MIB))
    return path


def deep_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/" * 30_000 + "1.png", b"x")
    return folder / "a.zip"


def many_folders(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as file:
        for number in range(9_000):
            file.writestr(f"{number}/" + "a/" * 30 + "1.png", b"")
    return folder / "a.zip"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pax, "header of"), (long_name, "header of"), (big_tar, "unpacks to more than"),
        (deep_zip, "characters"), (many_folders, "folders"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_an_archive_bomb_is_refused(
    make: Callable[[Path], Path], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(limits, "SMALL_BYTES", 16 * MIB)  # a bomb of 256 takes long to make
    path = make(tmp_path)
    outcome = run_limited(lambda: archive.build(path), 80 * MIB)
    assert outcome.is_refused, outcome
    assert reason in outcome.answer


def test_unpacking_leaves_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        entry = tarfile.TarInfo("yes/1.png")
        entry.size = 9
        file.addfile(entry, io.BytesIO(b"x" * 9))
    monkeypatch.setattr(limits, "SPARE_SHARE", 1.0)
    outcome = run_limited(lambda: archive.build(tmp_path / "a.tar"))
    assert "TMPDIR" in outcome.answer, outcome


def png(side: int, depth: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    rows = zlib.compressobj()
    line = bytes(1 + side * depth // 8)
    body = b"".join(rows.compress(line) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, depth, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def test_a_deep_picture_takes_little_memory_whatever_its_size() -> None:
    outcome = run_limited(lambda: decode(png(8000, 16)))
    assert "over the cap of 25,000,000 pixels" in outcome.answer, outcome
    largest = png(5000, 16)
    outcome = run_limited(lambda: decode(largest), 300 * MIB)
    assert outcome.answer == "accepted", outcome


def saved_npz(path: Path, **headers: tuple[str, str]) -> Path:
    """Arrays of zeros whose headers say another dtype and shape."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, (dtype, shape) in headers.items():
            said = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}"
            text = said.encode().ljust(117) + b"\n"
            file.writestr(
                f"{name}.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(64)
            )
    return path


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("|u1", "(100000, 1000, 1000)"), ("<U0", "(1000000000000,)"), ("|u1", "(-1, 8, 8)"),
        ("|u1", "(8, 8"), ("|u1", "(((((((("), ("|O", "(2,)"), ("<f16", "(1,)"), ("|V0", "(9,)"),
    ],
)  # fmt: skip
def test_an_array_that_is_more_than_its_file_is_refused(
    dtype: str, shape: str, tmp_path: Path
) -> None:
    path = saved_npz(tmp_path / "a.npz", X=(dtype, shape), Y=(dtype, shape))
    outcome = run_limited(lambda: npz.build(path))
    assert outcome.is_refused, outcome


def folder_of(root: Path, others: Mapping[str, Callable[[Path], object]]) -> Path:
    for label in ("no", "yes"):
        (root / label).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / label / "a.png")
    for name, make in others.items():
        make(root / "no" / name)
    return root


def test_what_never_ends_is_no_image(tmp_path: Path) -> None:
    def sparse(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(60 << 30)

    others: dict[str, Callable[[Path], object]] = {
        "sparse.png": sparse,
        "pipe.png": os.mkfifo,
        "kernel.png": lambda path: path.symlink_to("/proc/kmsg"),
        "zero.png": lambda path: path.symlink_to("/dev/zero"),
    }
    root = folder_of(tmp_path / "mri", others)
    source = build_source("folder", {"root": str(root)})
    bad = [item for item in source.items if not item.path.endswith("a.png")]
    assert len(bad) == 4

    def read_all() -> None:
        for item in bad:
            try:
                decode(source.read(item))  # type: ignore[arg-type]
            except (BraintumorError, OSError):
                continue
            raise AssertionError(item.path)

    assert run_limited(read_all).answer == "accepted"
    for name in ("pipe.npy", "kernel.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / "x.npz")
    assert run_limited(lambda: npz.build(tmp_path / "x.npz")).is_refused


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 64))


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "a: &a [*a]",
        "a: &a {b: 1}\nc: {<<: [*a, *a]}",
        "[" * 100_000,
        "a: " + "{a: " * 400,
        "a: " + "9" * 10_000,
        "a: 2001-99-99",
        "? [a, b]\n: 1",
        "- 1",
        "a: !!python/object/apply:os.system [true]",
        "x: " + "y" * 2 * MIB,
        "\x00",
    ],
    ids=range(12),
)
def test_a_config_bomb_is_refused(text: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.config.write_text(text)
    outcome = run_limited(lambda: read_config(run))
    assert outcome.is_refused, outcome


def test_settings_have_caps() -> None:
    data = dict(compose("train", (), {}).settings["data"])
    known = set(DataSettings.__dataclass_fields__)
    data = {k: v for k, v in data.items() if k in known}
    shown = dict(compose("train", (), {}).settings["eval"])
    typed(DataSettings, data, "data")
    typed(EvalSettings, shown, "eval")
    folds = {"seed": 0, "seeds": None, "folds": 10**30, "fold": None}
    for work in (
        lambda: typed(DataSettings, data | {"image_size": 20_000}, "data"),
        lambda: typed(EvalSettings, shown | {"views": 10**6}, "eval"),
        lambda: list_trials(folds),
    ):
        outcome = run_limited(work)
        assert outcome.is_refused, outcome


def test_yaml_that_people_write_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [1, {b: null}]\nc: 0.5  # why\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": [1, {"b": None}], "c": 0.5}


def test_a_name_steers_no_terminal(tmp_path: Path) -> None:
    root = tmp_path / "mri"
    for label in ("no", "yes"):
        (root / label).mkdir(parents=True)
    for name in (b"\x1b[2J.png", b"\xff.png"):
        (root / "no" / os.fsdecode(name)).write_text("no picture")
    for number in range(8):
        label = ("no", "yes")[number % 2]
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(root / label / f"{number}.png")
    code = "from braintumor.cli.data import main; import sys; sys.argv[0] = 'bt-data'; main()"
    words = ["data=folder", f"data.root={root}", "run_dir=out"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"\\x1b[2J.png" in done.stderr
    assert b"\\udcff.png" in done.stderr
    assert b"\x1b[2J" not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves_ends_no_work(tmp_path: Path) -> None:
    code = (
        "from braintumor.workflows.console import log, log_to_console\n"
        "log_to_console()\n"
        "for i in range(20000): log.info('line %d', i)\n"
        "open('done', 'w').close()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
    assert said == b""
    assert (tmp_path / "done").exists()
