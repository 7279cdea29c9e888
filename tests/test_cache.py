"""Entries of the cache come back as they were written, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from braintumor.cache import entry_path, read_entry, write_entry
from braintumor.cache_folder import KINDS

ROWS = np.random.default_rng(0).normal(size=(150, 4, 3)).astype(np.float32)
NAMES = {"name": np.array([f"{i}.png" for i in range(150)])}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))


def test_what_was_written_part_by_part_comes_back() -> None:
    path = entry_path("features", 1, "key")
    assert write_entry(path, NAMES, np.split(ROWS, [60, 61]), 150)
    entry = read_entry(path, NAMES)
    assert entry and entry.is_whole() and not entry.is_damaged
    np.testing.assert_array_equal(entry.rows, ROWS, strict=True)
    np.testing.assert_array_equal(entry.columns["name"], NAMES["name"])
    assert not entry.rows.flags.writeable


def test_the_key_is_all_that_an_entry_depends_on() -> None:
    parts = [(1, "ab", b"x"), (2, "ab", b"x"), (1, "a", "b", b"x"), (1, "ab", b"y"), (1, "ab")]
    paths = {entry_path("copies", *some) for some in parts}
    assert len(paths) == len(parts)
    assert entry_path("copies", 1, "ab", b"x") in paths


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_row_is_known_and_the_others_are_of_use(kind: str) -> None:
    path = entry_path(kind, 1)
    write_entry(path, {}, [ROWS], 150)
    array = path.with_suffix(".npy")
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    entry = read_entry(path, ())
    assert entry and not entry.is_whole()
    assert [entry.is_intact(row) for row in (0, 148, 149)] == [True, True, False]
    entry.discard()
    assert read_entry(path, ()) is None
    assert not array.exists()


def test_an_array_that_was_cut_is_not_read() -> None:
    """What is mapped beyond the end of a file ends the process that touches it."""
    path = entry_path("features", 1)
    write_entry(path, {}, [ROWS], 150)
    array = path.with_suffix(".npy")
    os.truncate(array, array.stat().st_size - 1)
    assert read_entry(path, ()) is None
    assert not array.exists()


def test_what_is_mapped_stays_whole_when_the_entry_is_written_anew() -> None:
    """Files of the cache are replaced, never changed."""
    path = entry_path("features", 1)
    write_entry(path, {}, [ROWS], 150)
    entry = read_entry(path, ())
    write_entry(path, {}, [ROWS[:1]], 1)
    assert entry
    np.testing.assert_array_equal(entry.rows, ROWS, strict=True)


def test_another_byte_order_is_damage() -> None:
    """One bit of the header, under which every row keeps its checksum."""
    path = entry_path("features", 1)
    write_entry(path, {}, [ROWS], 150)
    array = path.with_suffix(".npy")
    array.write_bytes(array.read_bytes().replace(b"<f4", b">f4"))
    assert read_entry(path, ()) is None


def test_a_damaged_file_in_a_folder_of_somebody_else_stays(tmp_path: Path) -> None:
    path = entry_path("copies", 1)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged, or not ours")
    assert read_entry(path, NAMES) is None
    assert path.read_bytes() == b"damaged, or not ours"
