"""What an earlier run decoded is taken from the cache, and never makes a difference."""

from __future__ import annotations

import dataclasses
import errno
import logging
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braintumor.cache_folder import KINDS, mark_cache
from braintumor.data import decoded, decoders, reading
from braintumor.data.dataset import Dataset
from braintumor.data.reading import Reading, read_images
from braintumor.data.sources import Item
from braintumor.data.sources.phantom import Phantom
from braintumor.errors import MachineError

NAMES = [f"{label}/{number}.png" for label in "ab" for number in range(1, 6)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of decoded pictures, of these tests alone; small sets are kept too."""
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(reading, "_WORTH_KEEPING_S", 0.0)
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """Messages of the toolkit, from warnings on."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("braintumor").addHandler(handler)
    yield messages
    logging.getLogger("braintumor").removeHandler(handler)


@pytest.fixture
def plainly(read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Dataset]:
    """The same, read as if there had never been a cache."""

    def read_folder(*arguments: Any, **changes: Any) -> Dataset:
        with monkeypatch.context() as patch:
            patch.setenv("BT_CACHE", str(tmp_path / "never"))
            patch.setattr(reading, "_WORTH_KEEPING_S", float("inf"))
            return read(*arguments, **changes)

    return read_folder


@dataclass
class Calls:
    """How often a picture was decoded and fingerprinted."""

    decoded: list[int] = field(default_factory=list)
    fingerprinted: list[int] = field(default_factory=list)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    counted = Calls()
    decode, fingerprint = decoders.decode, decoders.fingerprint
    monkeypatch.setattr(decoders, "decode", lambda x: counted.decoded.append(1) or decode(x))
    monkeypatch.setattr(
        decoders, "fingerprint", lambda x: counted.fingerprinted.append(1) or fingerprint(x)
    )
    return counted


def assert_same(one: Dataset, other: Dataset) -> None:
    pd.testing.assert_frame_equal(one.manifest, other.manifest)
    np.testing.assert_array_equal(one.pixels, other.pixels, strict=True)
    np.testing.assert_array_equal(
        one.fingerprints.thumbnails, other.fingerprints.thumbnails, strict=True
    )
    np.testing.assert_array_equal(
        one.fingerprints.pixel_sha256, other.fingerprints.pixel_sha256, strict=True
    )
    assert one.fingerprints.quality_flags == other.fingerprints.quality_flags
    assert one.unreadable == other.unreadable
    for pixels in (one.pixels, other.pixels):
        assert not pixels.flags.writeable


def limit_decoded(monkeypatch: pytest.MonkeyPatch, max_bytes: int) -> None:
    limited = dataclasses.replace(KINDS["decoded"], max_bytes=max_bytes)
    monkeypatch.setitem(KINDS, "decoded", limited)


def is_mapped(array: np.ndarray) -> bool:
    return isinstance(array.base, np.memmap)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_cache_makes_no_difference(
    make_tree: Any, image_bytes: Any, read: Any, plainly: Any, calls: Calls, mode: str, fit: str
) -> None:
    root = make_tree(*NAMES)
    (root / NAMES[3]).write_bytes(image_bytes("colour", mode=mode))
    expected = plainly(root, fit=fit)
    first = read(root, fit=fit)
    calls.decoded.clear()
    second = read(root, fit=fit)
    assert calls.decoded == []
    assert expected.pixels.ndim == {"L": 3, "RGB": 4}[mode]
    for found in (first, second):
        assert_same(found, expected)
        assert is_mapped(found.pixels)
        assert is_mapped(found.fingerprints.thumbnails)


def test_row_i_of_the_map_is_row_i_of_the_manifest(make_tree: Any, read: Any) -> None:
    root = make_tree(*NAMES)
    read(root)
    out = read(root)
    for row, path in enumerate(out.manifest["path"]):
        picture = Image.open(root / path).resize((16, 16), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(out.pixels[row], np.asarray(picture))


def test_a_changed_file_is_noticed_and_alone_decoded_again(
    make_tree: Any, image_bytes: Any, read: Any, plainly: Any, calls: Calls
) -> None:
    root = make_tree(*NAMES)
    read(root)
    path = root / NAMES[4]
    before = path.stat()
    path.write_bytes(image_bytes("another"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # times say nothing
    calls.decoded.clear()
    changed = read(root)
    assert len(calls.decoded) == 1
    assert changed.reading.endswith("1 of 10 decoded anew")
    assert is_mapped(changed.pixels)  # kept as a whole
    assert read(root).reading.endswith("decoded by an earlier run")
    assert_same(changed, plainly(root))


def test_a_part_of_a_known_set_is_neither_decoded_nor_written(
    make_tree: Any, image_bytes: Any, read: Any, plainly: Any, calls: Calls, cache: Path
) -> None:
    root = make_tree(*NAMES)
    (root / NAMES[5]).write_bytes(image_bytes("colour", mode="RGB"))
    read(root)
    calls.decoded.clear()
    files = sorted(cache.iterdir())
    part = read(root, limit=3)  # without the one in colour, and three more
    assert calls.decoded == []
    assert sorted(cache.iterdir()) == files
    assert part.pixels.shape == (6, 16, 16)
    assert_same(part, plainly(root, limit=3))


def test_a_larger_set_decodes_what_is_new(
    make_tree: Any, image_bytes: Any, read: Any, plainly: Any, calls: Calls
) -> None:
    root = make_tree(*NAMES)
    read(root, limit=3)
    (root / NAMES[5]).write_bytes(image_bytes("colour", mode="RGB"))
    calls.decoded.clear()
    whole = read(root)
    assert len(calls.decoded) == 4
    assert_same(whole, plainly(root))
    assert_same(read(root), plainly(root))


@dataclass
class Arrays:
    """A source that holds pictures in memory."""

    pictures: dict[str, np.ndarray]
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def items(self) -> list[Item]:
        return [Item(path, "a") for path in self.pictures]

    def read(self, item: Item) -> np.ndarray:
        return self.pictures[item.path]


def read_arrays(pictures: dict[str, np.ndarray]) -> Reading:
    source = Arrays(pictures)
    return read_images(source, source.items, 8, "stretch")


def arrays(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {str(i): rng.integers(0, 256, (12, 9), dtype=np.uint8) for i in range(count)}


def test_another_order_gives_the_rows_in_that_order(calls: Calls) -> None:
    pictures = arrays(6)
    straight = read_arrays(pictures)
    calls.decoded.clear()
    turned = read_arrays(dict(reversed(pictures.items())))
    assert calls.decoded == []
    np.testing.assert_array_equal(turned.pixels, straight.pixels[::-1])
    np.testing.assert_array_equal(
        turned.fingerprints.thumbnails, straight.fingerprints.thumbnails[::-1]
    )
    assert turned.sha256 == straight.sha256[::-1]


def test_two_known_sets_make_a_third(calls: Calls, cache: Path) -> None:
    pictures = arrays(6)
    names = list(pictures)
    for half in (names[:3], names[3:]):
        read_arrays({name: pictures[name] for name in half})
    calls.decoded.clear()
    both = read_arrays(pictures)
    assert (calls.decoded, both.decoded) == ([], 0)
    assert len(list(cache.glob("8px*.npy"))) == 2
    for row, name in enumerate(names):
        alone = Image.fromarray(pictures[name]).resize((8, 8), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(both.pixels[row], np.asarray(alone))


def test_images_that_occur_twice_are_still_mapped(calls: Calls) -> None:
    pictures = arrays(4)
    pictures |= {"again": pictures["1"].copy()}
    first = read_arrays(pictures)
    calls.decoded.clear()
    second = read_arrays(pictures)
    assert calls.decoded == []
    assert is_mapped(second.pixels)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(second.pixels[4], second.pixels[1])


def test_another_size_reuses_the_fingerprints(
    make_tree: Any, read: Any, plainly: Any, calls: Calls
) -> None:
    root = make_tree(*NAMES)
    read(root, 16)
    calls.fingerprinted.clear()
    larger = read(root, 24)
    assert calls.fingerprinted == []
    assert_same(larger, plainly(root, 24))
    calls.decoded.clear()
    assert_same(read(root, 16), plainly(root, 16))
    padded = read(root, 16, fit="pad")
    assert_same(padded, plainly(root, 16, fit="pad"))
    assert not np.array_equal(padded.pixels, read(root, 16).pixels)


def test_unreadable_images_are_reported_on_every_run(
    make_tree: Any, read: Any, plainly: Any, calls: Calls
) -> None:
    root = make_tree(*NAMES, "a/9.jpg")
    (root / NAMES[2]).write_bytes(b"")
    expected = plainly(root, skip_unreadable=True)
    assert len(expected.unreadable) == 2
    assert_same(read(root, skip_unreadable=True), expected)
    calls.decoded.clear()
    again = read(root, skip_unreadable=True)
    assert_same(again, expected)
    assert len(calls.decoded) == 2  # tried again
    assert is_mapped(again.pixels)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


WIDTH = np.array([12, 12]).tobytes()  # of the first two images, in the index

DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "pixels cut short": ("16px*.npy", lambda path: os.truncate(path, 1000)),
    "pixels empty": ("16px*.npy", lambda path: os.truncate(path, 0)),
    "pixels gone": ("16px*.npy", Path.unlink),
    "pixels flipped": ("16px*.npy", lambda path: flip(path, 128 + 700)),
    "pixels of another shape": ("16px*.npy", lambda p: np.save(p, np.zeros((9, 16, 16), "u1"))),
    "pixels of another type": ("16px*.npy", lambda p: np.save(p, np.zeros((10, 16, 16), "f4"))),
    "index cut short": ("16px*.npz", lambda path: os.truncate(path, 300)),
    "index empty": ("16px*.npz", lambda path: os.truncate(path, 0)),
    "index flipped": ("16px*.npz", lambda path: flip(path, 400)),
    "thumbnails flipped": ("prints*.npy", lambda path: flip(path, -1)),
    "a width flipped": ("prints*.npz", lambda p: flip(p, p.read_bytes().index(WIDTH))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_said_once_and_mended(
    make_tree: Any, read: Any, plainly: Any, cache: Path, warnings: list[str], damage: str
) -> None:
    root = make_tree(*NAMES)
    read(root)
    pattern, harm = DAMAGES[damage]
    (path,) = cache.glob(pattern)
    whole = path.read_bytes()
    harm(path)
    assert not path.exists() or path.read_bytes() != whole
    expected = plainly(root)
    assert_same(read(root), expected)
    assert len(warnings) == 1, warnings
    assert "is damaged" in warnings[0]
    mended = read(root)
    assert_same(mended, expected)
    assert len(warnings) == 1
    assert mended.reading.endswith("decoded by an earlier run")
    assert path.read_bytes() == whole


def test_one_damaged_picture_costs_the_decoding_of_one(
    make_tree: Any, read: Any, cache: Path, calls: Calls
) -> None:
    root = make_tree(*NAMES)
    read(root)
    (path,) = cache.glob("16px*.npy")
    flip(path, -5)
    calls.decoded.clear()
    read(root)
    assert len(calls.decoded) == 1


def test_damage_in_the_second_of_two_equal_images_is_found(cache: Path) -> None:
    pictures = arrays(4)
    pictures |= {"again": pictures["1"].copy()}
    whole = read_arrays(pictures).pixels.copy()
    (path,) = cache.glob("8px*.npy")
    flip(path, -1)
    np.testing.assert_array_equal(read_arrays(pictures).pixels, whole)


def test_a_file_in_the_way_does_not_stop_the_run(
    make_tree: Any,
    read: Any,
    plainly: Any,
    tmp_path: Path,
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "file"))
    root = make_tree(*NAMES)
    assert_same(read(root), plainly(root))
    assert len(warnings) == 1
    assert "not kept for the next run" in warnings[0]


def test_a_full_disk_does_not_stop_the_run(
    make_tree: Any,
    read: Any,
    plainly: Any,
    cache: Path,
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    root = make_tree(*NAMES)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert_same(read(root), plainly(root))
    assert len(warnings) == 1
    assert list(cache.iterdir()) == []


def test_what_is_quick_to_decode_is_not_kept(
    make_tree: Any, read: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_WORTH_KEEPING_S", 2.0)
    out = read(make_tree(*NAMES))
    assert not cache.exists()
    assert not out.pixels.flags.writeable


def test_several_that_decode_the_same_set_at_once_all_end_well(
    make_tree: Any, read: Any, plainly: Any, cache: Path, warnings: list[str]
) -> None:
    root = make_tree(*NAMES)
    expected, found = plainly(root), []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        found.append(read(root))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for one in found:
        assert_same(one, expected)
    assert warnings == []
    assert len(list(cache.iterdir())) == 4  # two entries of two files, nothing part-written


def test_what_was_not_used_for_longest_makes_room(
    make_tree: Any, read: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_tree(*NAMES)
    for age, size in enumerate((16, 24, 32)):
        read(root, size)
        for path in cache.glob(f"{size}px*"):
            os.utime(path, (1000 - age, 1000 - age))
    read(root, 32)  # used again
    (cache / "notes.txt").write_text("not ours")
    os.utime(cache / "notes.txt", (0, 0))
    used = sum(path.stat().st_size for path in cache.iterdir())
    limit_decoded(monkeypatch, used)
    out = read(root, 8)
    left = {path.name.split("px")[0] for path in cache.glob("*px*")}
    assert left == {"8", "16", "32"}
    assert (cache / "notes.txt").exists()
    assert is_mapped(out.pixels)


def test_more_than_the_cache_may_hold_is_not_kept_and_removes_nothing(
    make_tree: Any, read: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    root = make_tree(*NAMES)
    read(root, 16)
    files = sorted(cache.iterdir())
    limit_decoded(monkeypatch, 10 * 64 * 64 - 1)
    assert not is_mapped(read(root, 64).pixels)
    assert sorted(cache.iterdir()) == files
    assert len(warnings) == 1
    assert "BT_CACHE" in warnings[0]


def test_what_a_killed_process_left_is_removed_after_a_day(
    make_tree: Any, read: Any, cache: Path
) -> None:
    mark_cache()
    cache.mkdir(parents=True)
    old, young = (cache / f".{name * 32}.npy.abc" for name in "ab")
    for path in (old, young):
        path.write_bytes(b"torn")
    os.utime(old, (0, 0))
    read(make_tree(*NAMES))
    assert (old.exists(), young.exists()) == (False, True)


def test_another_decoder_does_not_find_it(
    make_tree: Any, read: Any, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_tree(*NAMES)
    read(root)
    calls.decoded.clear()
    monkeypatch.setattr(decoded, "pillow_version", "0.0")
    read(root)
    assert len(calls.decoded) == len(NAMES)


def test_a_set_larger_than_memory_is_decoded_on_disk(
    make_tree: Any, plainly: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_tree(*NAMES)
    in_memory = plainly(root)
    monkeypatch.setattr(decoded, "memory_bytes", lambda: 1000)
    on_disk = plainly(root)
    assert isinstance(_root_of(on_disk.pixels), mmap.mmap)
    assert not isinstance(_root_of(in_memory.pixels), mmap.mmap)
    assert_same(on_disk, in_memory)


def test_neither_memory_nor_disk_is_said_with_what_to_do(
    make_tree: Any, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(decoded, "memory_bytes", lambda: 1000)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(MachineError, match=r"neither in memory nor in .*BT_CACHE"):
        read(make_tree(*NAMES))


def _root_of(array: np.ndarray) -> Any:
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def test_what_is_generated_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Phantom(8, 2, 48, 0, 0.25)
    made: list[str] = []
    draw = Phantom.read

    def read(self: Phantom, item: Item) -> np.ndarray:
        made.append(item.path)
        return draw(self, item)

    monkeypatch.setattr(Phantom, "read", read)
    first = read_images(source, source.items, 48, "stretch")
    assert len(made) == 16
    again = read_images(source, source.items, 48, "stretch")
    assert len(made) == 16
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.pixels, [draw(source, item) for item in source.items])
    read_images(other := Phantom(8, 2, 48, 1, 0.25), other.items, 48, "stretch")
    assert len(made) == 32  # of another seed
