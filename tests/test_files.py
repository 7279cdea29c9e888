"""Atomic writes and natural order."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest

from braintumor.errors import MachineError
from braintumor.files import natural_key, write_atomic, write_json


def test_image10_comes_after_image2() -> None:
    names = ["Image10.png", "Image2.png", "image1.png", "b/Image1.png", "a.png"]
    expected = ["a.png", "b/Image1.png", "image1.png", "Image2.png", "Image10.png"]
    assert sorted(names, key=natural_key) == expected


def test_natural_order_is_total_over_odd_names() -> None:
    names = ["1", "a1", "", "²", "1a", "a", "A", "10", "é"]
    shuffled = names[4:] + names[:4]
    assert sorted(names, key=natural_key) == sorted(shuffled, key=natural_key)


def test_a_full_disk_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.safetensors"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="disk is full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["best.safetensors"]


def test_written_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write_atomic(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_has_null_where_a_figure_is_undefined(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": math.nan, "b": [1.5, math.inf], "c": {"d": 2}})
    written = json.loads((tmp_path / "a.json").read_text())
    assert written == {"a": None, "b": [1.5, None], "c": {"d": 2}}
