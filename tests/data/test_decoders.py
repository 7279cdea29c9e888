"""Processes that decode give what a thread gives, and are missed by nobody when they are lost."""

from __future__ import annotations

import functools
import importlib
import io
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braintumor.data import decoders
from braintumor.data.decoders import Decoded, Decoders, decode_square
from braintumor.data.reading import read_images
from braintumor.data.sources.folder import build
from braintumor.data.sources.phantom import Phantom
from braintumor.errors import DataError

SIZE = 32


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def raws() -> list[bytes | np.ndarray]:
    """Grey, coloured and deep pictures, of odd sides and one of a megabyte, and an array."""
    rng = np.random.default_rng(0)
    sides = [(40, 50), (64, 64), (33, 90), (32, 32)]
    grey = [rng.integers(0, 256, side, np.uint8) for side in sides]
    colour = [rng.integers(0, 256, (*side, 3), np.uint8) for side in sides]
    large = rng.integers(0, 256, (700, 700, 3), np.uint8)
    deep = rng.integers(0, 4096, (48, 48), np.uint16)
    return [
        *(encoded(pixels, kind) for pixels in (*grey, *colour) for kind in ("PNG", "JPEG")),
        encoded(deep, "PNG"), encoded(large, "BMP"), grey[0],
    ]  # fmt: skip


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "cores", lambda: 3)
    monkeypatch.setattr(decoders, "_FEW", 0)


@pytest.fixture
def begun(many_cores: None) -> Iterator[Decoders]:
    with Decoders(100) as found:
        assert len(found._processes) == 3
        wait_until(lambda: found._free.qsize() == 3)
        yield found


def nobody_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Decoded:
        raise AssertionError("decoded in this process")

    monkeypatch.setattr(decoders, "decode_square", fail)


def assert_same(found: Decoded, expected: Decoded) -> None:
    np.testing.assert_array_equal(found.square, expected.square, strict=True)
    assert found[1:4] == expected[1:4]
    assert found.print and expected.print
    np.testing.assert_array_equal(found.print.thumbnail, expected.print.thumbnail, strict=True)
    assert found.print[::2] == expected.print[::2]


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_processes_give_what_a_thread_gives(
    begun: Decoders, raws: Sequence[bytes | np.ndarray], fit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [decode_square(raw, SIZE, fit) for raw in raws]
    nobody_here(monkeypatch)
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda raw: begun.decode(raw, SIZE, fit, with_print=True), raws * 5)
    for one, other in zip(found, expected * 5, strict=True):
        assert_same(one, other)


def test_a_data_set_is_read_alike(
    tmp_path: Path, raws: Sequence[bytes | np.ndarray], many_cores: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for number in range(300):
        raw = raws[number % 12] if number % 50 else b"damaged"
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(raw) if isinstance(raw, bytes) else b"")
    source = build(root=tmp_path)
    begins = Decoders.__init__

    def begin(self: Decoders, pictures: int) -> None:
        begins(self, pictures)
        wait_until(lambda: self._free.qsize() == 3)

    with monkeypatch.context() as patch:
        nobody_here(patch)
        patch.setattr(Decoders, "__init__", begin)
        patch.setenv("BT_CACHE", str(tmp_path / "cache"))
        by_processes = read_images(source, source.items, SIZE, "pad")
    monkeypatch.setattr(decoders, "cores", lambda: 1)
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "other"))
    by_threads = read_images(source, source.items, SIZE, "pad")
    assert by_processes.decoded == by_threads.decoded == 294
    assert by_processes.facts == by_threads.facts
    assert by_processes.sha256 == by_threads.sha256
    assert by_processes.unreadable == by_threads.unreadable
    np.testing.assert_array_equal(by_processes.pixels, by_threads.pixels, strict=True)
    np.testing.assert_array_equal(
        by_processes.fingerprints.thumbnails, by_threads.fingerprints.thumbnails, strict=True
    )


def test_phantoms_are_drawn_alike(begun: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Phantom(patients=8, slices_per_patient=2, size_px=48, seed=3, test_share=0.25)
    calls = [functools.partial(source.read, item) for item in source.items]
    expected = [decode_square(call, SIZE, "pad") for call in calls]
    nobody_here(monkeypatch)
    for call, other in zip(calls, expected, strict=True):
        assert_same(begun.decode(call, SIZE, "pad", with_print=True), other)
    assert len(pickle.dumps(calls[0])) < 1000  # what is sent for each


def test_a_source_of_the_users_own_is_found(
    many_cores: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_source.py").write_text(
        "import numpy as np\ndef read():\n    return np.eye(40, dtype=np.uint8)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    read = importlib.import_module("own_source").read
    with Decoders(100) as later:
        wait_until(lambda: later._free.qsize() == 3)
        nobody_here(monkeypatch)
        later.decode(read, SIZE, "pad", with_print=True)


def test_a_signal_from_the_terminal_is_not_theirs(begun: Decoders) -> None:
    for process in begun._processes:
        assert os.getpgid(process._process.pid) != os.getpgid(0)


def test_no_print_where_none_is_asked_for(begun: Decoders, raws: Sequence[bytes]) -> None:
    assert begun.decode(raws[0], SIZE, "pad", with_print=False).print is None


@pytest.mark.parametrize("raw", [b"", b"no picture", b"\x89PNG\r\n\x1a\n damaged"])
def test_the_reason_is_the_same(
    begun: Decoders, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError) as expected:
        decode_square(raw, SIZE, "pad")
    nobody_here(monkeypatch)
    for _ in range(4):  # an error ends no process
        with pytest.raises(DataError) as found:
            begun.decode(raw, SIZE, "pad", with_print=True)
        assert str(found.value) == str(expected.value)


def test_without_a_process_the_thread_decodes(begun: Decoders, raws: Sequence[bytes]) -> None:
    for process in begun._processes:
        process._process.kill()
    for raw in raws[:8]:  # more often than there are processes
        assert_same(
            begun.decode(raw, SIZE, "pad", with_print=True), decode_square(raw, SIZE, "pad")
        )


def test_what_has_not_begun_is_not_waited_for(
    many_cores: None, raws: Sequence[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(decoders, "_CHILD", sleeps)
    started = time.perf_counter()
    with Decoders(100) as waiting:
        for raw in raws[:8]:
            waiting.decode(raw, SIZE, "pad", with_print=True)
    assert time.perf_counter() - started < 20


def test_another_error_is_told_by_the_thread(begun: Decoders) -> None:
    with pytest.raises(TypeError):
        begun.decode(encoded(np.eye(4, dtype=np.uint8), "PNG"), "wide", "pad", with_print=False)


def test_few_pictures_or_cores_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, pictures in ((1, 10_000), (16, 100)):
        monkeypatch.setattr(decoders, "cores", lambda there=there: there)
        with Decoders(pictures) as none:
            assert not none._processes


def test_they_end_with_the_block_and_with_us(tmp_path: Path) -> None:
    program = """
from braintumor.data import decoders
decoders.cores = lambda: 3
with decoders.Decoders(10_000) as found:
    print(*(each._process.pid for each in found._processes), flush=True)
    input()
input()
"""
    for after_block in (True, False):
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stdin and process.stdout
        children = [int(pid) for pid in process.stdout.readline().split()]
        assert len(children) == 3
        assert all(map(is_there, children))
        if after_block:
            process.stdin.write("\n")
            process.stdin.flush()
        else:
            process.kill()
        wait_until(lambda: not any(map(is_there, children)))  # noqa: B023
        process.kill()
        process.wait()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("not within 30 s")
