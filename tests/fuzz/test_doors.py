"""Every door through which a stranger's file comes in: whatever it holds, a sentence and no more.

`make test` tries some hundred files at each door; `make soak` those of SOAK_FILES, on a disk of
memory where there is one, and counts them in the file that BT_FUZZ_RECORD names.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import json
import logging
import os
import random
import re
import resource
import signal
import struct
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from braintumor import cache
from braintumor.cache_folder import mark_cache
from braintumor.comparison.read import read_runs
from braintumor.data.images import decode
from braintumor.data.sources import archive, npz, table
from braintumor.errors import BraintumorError
from braintumor.models.classifier import build_model
from braintumor.runs.checkpoint import load_classifier, load_outliers, save_best
from braintumor.runs.folder import RunFolder, read_config
from braintumor.workflows.arguments import check_settings
from braintumor.workflows.compose import compose
from made_card import MODEL, card

HANG_S = 5
MOST_MB = 1024  # of the process, in which torch and the other libraries are 800
SOAK_FILES = {
    "image": 50_000, "npz": 40_000, "zip": 30_000, "tar": 12_000, "table": 30_000,
    "checkpoint": 12_000, "config": 12_000, "status": 20_000, "comparison": 12_000,
    "cache": 12_000,
}  # fmt: skip
ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2**31, 10**30, 1e308, -1e-308, float("nan"), float("inf"), "",
    "x", "x" * 5000, "\x1b[2J", "../../etc", "=1+1", "\0", [], {}, [[]], {"a": {}}, [None], [-1, 1],
    {"name": "cnn"}, {"name": "no"}, "${oc.env:HOME}",
]  # fmt: skip

Make = Callable[[random.Random], bytes]
Read = Callable[[Path], object]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Bits, bytes, runs and lengths changed, or cut, or said twice."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1) if data else 0
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + rng.randrange(9)] = rng.randbytes(rng.randrange(9))
        elif kind == 2:
            del data[at : at + rng.randrange(64)]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randrange(64)]
        elif kind == 4:
            word = rng.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"-1", b"9" * 40))
            data[at : at + len(word)] = word
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


def changed(value: Any, rng: random.Random) -> Any:
    """Values of a nested mapping taken away, put elsewhere, or made odd."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        node = value
        while isinstance(node, dict | list) and node:
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
                node = node[key]
                continue
            if rng.random() < 0.15:
                del node[key]
            elif rng.random() < 0.1 and isinstance(node, dict):
                node[rng.choice(["", "_target_", "x", "name"])] = node[key]
            else:
                node[key] = copy.deepcopy(rng.choice(ODD))
            break
    return value


def image(rng: random.Random) -> bytes:
    buffer, mode = io.BytesIO(), rng.choice(("L", "RGB", "P", "I;16", "RGBA"))
    kind = "PNG" if mode in ("I;16", "RGBA", "P") else rng.choice(("PNG", "JPEG", "TIFF", "BMP"))
    kind = rng.choice((kind, "GIF", "WEBP")) if mode == "RGB" else kind
    Image.new(mode, (rng.randrange(1, 40), 9)).save(buffer, kind)
    return mutated(buffer.getvalue(), rng)


def array(rng: random.Random) -> bytes:
    """An .npz of whole members, of which some are changed and some have another header."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in ("X", "Y"):
            held = io.BytesIO()
            np.save(held, np.zeros((6, 4, 4) if name == "X" else 6, rng.choice(("u1", "i4", "f4"))))
            content = held.getvalue()
            if rng.random() < 0.5:
                shape = rng.choice(("(-6,)", "(6", "(10**9,)", "(6,4,4,4)", "((6,),)", "(1e9,)"))
                dtype = rng.choice(("'|u1'", "'<U0'", "'|O'", "'<c16'", "[('a','u1')]", "'x'", "'"))
                said = f"{{'descr': {dtype}, 'fortran_order': {rng.choice((0, True))}, 'shape': "
                text = (said + shape + "}\n").encode()
                content = content[:8] + struct.pack("<H", len(text)) + text + bytes(96)
            file.writestr(f"{name}.npy", mutated(content, rng) if rng.random() < 0.7 else content)
    return buffer.getvalue() if rng.random() < 0.8 else mutated(buffer.getvalue(), rng)


def packed(rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as file:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name in ("no/1.png", "yes/1.png", rng.choice(["", "/", "\\", ".", "a/", "ü.png"])):
            name = mutated(name.encode(), rng).decode("utf-8", "replace")
            file.writestr(name.split("\0")[0] or "?", b"x")
    content = buffer.getvalue()
    if rng.random() < 0.1:
        content = without_name(content)
    return content if rng.random() < 0.5 else mutated(content, rng)


def without_name(content: bytes) -> bytes:
    """The zip file, whose last member has the empty name in the list of members."""
    at = content.rindex(b"PK\1\2")
    (length,) = struct.unpack_from("<H", content, at + 28)
    end = bytearray(content[content.rindex(b"PK\5\6") :])
    end[12:16] = struct.pack("<I", struct.unpack_from("<I", end, 12)[0] - length)
    entry = bytearray(content[at : at + 46])
    entry[28:30] = bytes(2)
    return content[:at] + bytes(entry) + content[at + 46 + length : -len(end)] + bytes(end)


def tarred(rng: random.Random) -> bytes:
    import tarfile  # the name of a door otherwise

    buffer = io.BytesIO()
    kind = rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=buffer, mode="w:" + rng.choice(("", "gz", "xz")), format=kind) as f:
        for name in ("no/1.png", "yes/" + "ü" * rng.choice((1, 120)) + ".png"):
            entry = tarfile.TarInfo(name)
            entry.size = 9
            f.addfile(entry, io.BytesIO(b"x" * 9))
    return mutated(buffer.getvalue(), rng)


def rows(rng: random.Random) -> bytes:
    text = "path,label,split,patient\nno/1.png,no,train,1\nyes/1.png,yes,test,2\n"
    return mutated(text.encode(), rng)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sealed") / "best.safetensors"
    save_best(path, build_model(MODEL, 3, 32).state_dict(), card())
    use_checkpoint(path)  # the first brings much of torch
    return path.read_bytes()


def reseal(content: bytes) -> bytes:
    """The same under a checksum that is right, as somebody would make it who means harm."""
    key = b'"braintumor_sha256":"'
    at = content.find(key) + len(key)
    if at < len(key):
        return content
    blank = content[:at] + b"braintumor-sha256".ljust(64, b".") + content[at + 64 :]
    return content[:at] + hashlib.sha256(blank).hexdigest().encode() + content[at + 64 :]


def checkpoint(sealed: bytes) -> Make:
    size = int.from_bytes(sealed[:8], "little")
    header, values = json.loads(sealed[8 : 8 + size]), sealed[8 + size :]
    metadata = header["__metadata__"]
    said = json.loads(metadata["braintumor_card"])

    def make(rng: random.Random) -> bytes:
        if rng.random() < 0.2:
            return reseal(mutated(sealed, rng))
        if rng.random() < 0.8:
            own = {"braintumor_card": json.dumps(changed(said, rng))}
            new = header | {"__metadata__": metadata | own}
        else:
            new = changed(header, rng)
        text = json.dumps(new, separators=(",", ":")).encode()
        return reseal(len(text).to_bytes(8, "little") + text + values)

    return make


def use_checkpoint(path: Path) -> None:
    load_classifier(path, torch.device("cpu"))
    load_outliers(path)


def settings(rng: random.Random) -> bytes:
    whole = dataclasses.asdict(compose("train", (), {}))["settings"] if not _SETTINGS else None
    _SETTINGS.update(whole or {})
    text = yaml.dump(changed(_SETTINGS, rng), Dumper=_Dumper).encode()
    return text if rng.random() < 0.7 else mutated(text, rng)


_SETTINGS: dict[str, Any] = {}
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times faster


def use_config(path: Path) -> None:
    run = RunFolder(path.parent)
    run.config = path
    check_settings("train", read_config(run))


def status(rng: random.Random) -> bytes:
    whole = {"status": "completed", "why": None, "parts": ["a"], "overrides": ["x=1"], "seed": 1}
    text = json.dumps(changed(whole, rng)).encode()
    return text if rng.random() < 0.7 else mutated(text, rng)


def use_status(path: Path) -> None:
    run = RunFolder(path.parent)
    run.status = path
    run.read_status()


def use_comparison(path: Path) -> None:
    run = RunFolder(path.parent / "run")
    run.evaluation("test").mkdir(parents=True, exist_ok=True)
    content = path.read_bytes()
    for file in (run.status, run.config, run.evaluation("test") / "metrics.json"):
        file.write_bytes(content)
    read_runs([run.path], "test")


def entry(rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    count = rng.choice((3, 3, 2, 4))
    checksum = np.zeros(count, rng.choice(("u4", "i8", "f8", "U3")))
    np.savez(buffer, content=np.zeros(3, "S4"), checksum=checksum, layout="|u1 (3, 8)")
    return buffer.getvalue() if rng.random() < 0.4 else mutated(buffer.getvalue(), rng)


def use_entry(path: Path) -> None:
    mark_cache()
    own = cache.entry_path("features", "fuzz")
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_bytes(path.read_bytes())
    np.save(own.with_suffix(".npy"), np.zeros((3, 8), np.uint8))
    if found := cache.read_entry(own, ("content",)):
        found.is_whole()


DOORS: dict[str, tuple[Make, str, Read]] = {
    "image": (image, "a.png", lambda path: decode(path.read_bytes())),
    "npz": (array, "a.npz", npz.build),
    "zip": (packed, "a.zip", archive.build),
    "tar": (tarred, "a.tar", archive.build),
    "table": (rows, "a.csv", lambda path: table.build(path, None)),
    "checkpoint": (image, "best.safetensors", use_checkpoint),
    "config": (settings, "config.yaml", use_config),
    "status": (status, "status.json", use_status),
    "comparison": (status, "any.json", use_comparison),
    "cache": (entry, "any.npz", use_entry),
}


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"over {seconds} s")

    # seconds of this process, or ten times as long where it waits: for a pipe, or for its turn
    signals = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}
    before = {number: signal.signal(number, stop) for number in signals.values()}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)
    try:
        yield
    finally:
        for timer, number in signals.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def knock(door: str, sealed: bytes, folder: Path, *, most: int, most_s: float) -> tuple[int, list]:
    """How many files were tried, and what was no sentence of ours, with the number of the file."""
    make, name, read = DOORS[door]
    if door == "checkpoint":
        make = checkpoint(sealed)
    for label in ("no", "yes"):
        (folder / label).mkdir()
        Image.new("L", (8, 8)).save(folder / label / "1.png")
    bugs, began, number = [], time.perf_counter(), 0
    while number < most and time.perf_counter() - began < most_s:
        (folder / name).write_bytes(make(random.Random(f"{door} {number}")))
        try:
            with no_longer_than(HANG_S):
                read(folder / name)
        except BraintumorError:
            pass
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            bugs.append((number, f"{type(error).__name__}: {error} ({where.name})"))
        number += 1
    return number, bugs


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)  # of damaged files of the cache, one each
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("door", DOORS)
def test_a_damaged_or_hostile_file_gets_a_sentence(
    door: str, sealed: bytes, tmp_path: Path
) -> None:
    tried, bugs = knock(door, sealed, tmp_path, most=300, most_s=4)
    assert tried > 20
    assert not bugs, bugs[:5]


@pytest.mark.soak
@pytest.mark.parametrize("door", DOORS)
def test_many_damaged_or_hostile_files(door: str, sealed: bytes) -> None:
    memory = Path("/dev/shm")  # a file there is made in a hundredth of the time
    began = time.process_time()
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        tried, bugs = knock(door, sealed, Path(name), most=SOAK_FILES[door], most_s=1e9)
    hangs = sum("TimeoutError" in why for _, why in bugs)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took_s = time.process_time() - began
    if record := os.environ.get("BT_FUZZ_RECORD"):
        counts = f"{tried:,} | {len(bugs) - hangs} | {hangs} | {peak_mb:.0f} | {took_s:.0f}"
        with Path(record).open("a", encoding="utf-8") as file:
            file.write(f"| {door} | {counts} |\n")
    kinds = Counter(re.sub(r"\d+", "N", why)[:200] for _, why in bugs)
    assert not bugs, (kinds.most_common(20), bugs[:5])
    assert peak_mb < MOST_MB
