"""kill -9 in every write and at any moment: what a resume makes is what nobody interrupted."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file

from killing import MODES, Order, as_line

# a head on kept features, then the whole network, then both again on train and val
SETTINGS = [
    "data=folder", "data.root=../mri", "data.image_size=32", "model=cnn_se",
    "model.backbone.widths=[4,8]", "train.batch_size=8", "train.ema_decay=0.9",
    "train.phases=[{epochs: 1, trainable: head}, {epochs: 2, trainable: all}]",
    "train.early_stopping={metric: val_loss, patience: null}",
    "train.refit=true", "train.tensorboard=false",
    "eval.heatmaps=0", "eval.examples=0", "eval.views=1", "run_dir=run",
]  # fmt: skip
# of the first kills one is in each of these, by the end of the path that is written
IN = [
    "/config.yaml", "/manifest.csv", "/status.json", "run/metrics.csv", "run/next.ckpt",
    "run/previous.ckpt", "run/last.ckpt", "run/best.safetensors", "run/selected.safetensors",
    "refit/metrics.csv", "refit/next.ckpt", "refit/previous.ckpt", "refit/last.ckpt",
    "cache/features/.npy", "cache/features/.npz", "/duplicates.csv", "/predictions.csv",
    "/curves.png", "/report.html", "eval/test",
]  # fmt: skip

Ask = Callable[[Order], int]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """The exit code of a command; -9 when it was killed."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killing.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdin and server.stdout

        def answer(order: Order) -> int:
            server.stdin.write(as_line(order))
            server.stdin.flush()
            return int(server.stdout.readline())

        yield answer
        server.stdin.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of two classes in mri/."""
    folder, rng = tmp_path_factory.mktemp("kills"), np.random.default_rng(0)
    for split, count in (("Training", 12), ("Testing", 6)):
        for brightness, name in ((0, "no_tumor"), (90, "glioma")):
            (folder / "mri" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (32, 32))
                pixels[8:20, 8:20] += brightness
                path = folder / "mri" / split / name / f"{i}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def order(folder: Path, **how: Any) -> Order:
    """Go on with the run in the folder or, where it has not begun, begin it."""
    has_begun = (folder / "run" / "status.json").is_file()
    arguments = ["resume=run"] if has_begun else SETTINGS
    return Order(str(folder), arguments, str(folder / "cache"), **how)


def is_completed(folder: Path) -> bool:
    status = folder / "run" / "status.json"
    return status.is_file() and json.loads(status.read_text())["status"] == "completed"


def assert_same(run: Path, expected: Path) -> None:
    for name in ("best.safetensors", "selected.safetensors"):
        one, other = load_file(run / name), load_file(expected / name)
        assert one.keys() == other.keys()
        assert all((one[key] == other[key]).all() for key in one), name
    for name in ("metrics.csv", "refit/metrics.csv"):
        one, other = (
            pd.read_csv(folder / name).drop(columns=["images_per_s", "seconds"])
            for folder in (run, expected)
        )
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    for name in ("predictions.csv", "metrics.json"):
        one, other = (folder / "eval" / "test" / name for folder in (run, expected))
        assert one.read_bytes() == other.read_bytes(), name


def places_of(writes: Path) -> list[int]:
    """For each of IN the number of a write that leads there; the last but one of several."""
    lines = [re.sub("[0-9a-f]{32}", "", line) for line in writes.read_text().splitlines()]
    found = [[i for i, line in enumerate(lines, 1) if line.endswith(end)][-2:] for end in IN]
    assert all(found), [end for end, places in zip(IN, found, strict=True) if not places]
    return [places[0] for places in found]


@pytest.fixture(scope="module")
def whole(ask: Ask, place: Path) -> Path:
    """The folder of a run that nobody killed."""
    folder = place / "whole"
    folder.mkdir()
    assert ask(order(folder)) == 0, (folder / "output.txt").read_text()
    return folder


def plans_of(first: int, number: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Where a run is killed: in the write `first`, then in two others and at any moment."""
    return [
        {"at": first, "mode": MODES[number % 3]},
        {"at": int(rng.integers(1, 12)), "mode": MODES[(number + 1) % 3]},
        {"after_s": float(rng.uniform(0.1, 1.5))},
        {"at": int(rng.integers(1, 6)), "mode": MODES[(number + 2) % 3]},
    ]


def kills_of(ask: Ask, folder: Path, plans: list[dict[str, Any]], whole: Path) -> int:
    """Kill a run and go on with it until it ends, as the whole one did; how often it died."""
    folder.mkdir()
    kills = 0
    for plan in [*plans, {}]:
        code = None if is_completed(folder) else ask(order(folder, **plan))
        assert code in (None, -9, 0), (folder / "output.txt").read_text()
        kills += code == -9
    assert is_completed(folder)
    assert "Traceback" not in (folder / "output.txt").read_text()
    assert_same(folder / "run", whole / "run")
    return kills


@pytest.mark.slow
def test_a_dozen_kills_change_nothing(ask: Ask, place: Path, whole: Path) -> None:
    """Three runs, each begun by a kill in a write of another part of the work.

    Before, while and after the training; torn, before and after the rename, and at any moment.
    Which of the writes it is, another day has its own: the seed is the date.
    """
    seed = datetime.date.today().toordinal()
    rng, places = np.random.default_rng(seed), np.sort(places_of(whole / "writes.txt"))
    parts = np.array_split(places, 3)
    kills = sum(
        kills_of(ask, place / f"dozen{k}", plans_of(int(rng.choice(part)), k, rng), whole)
        for k, part in enumerate(parts)
    )
    assert kills >= 8, f"too many came after the end; the seed was {seed}"


@pytest.mark.soak
def test_sixty_kills_change_nothing(ask: Ask, place: Path, whole: Path) -> None:
    """A kill in each kind of write, each followed by three more."""
    rng = np.random.default_rng(0)
    kills = sum(
        kills_of(ask, place / f"killed{number}", plans_of(first, number, rng), whole)
        for number, first in enumerate(places_of(whole / "writes.txt"))
    )
    assert kills >= 60, "too many of them came after the end"


def test_a_sweep_of_two_jobs_that_is_killed_again_and_again(ask: Ask, place: Path) -> None:
    """The same command goes on each time; what is complete is left alone."""
    words = ["-m", *(w for w in SETTINGS if w != "run_dir=run"), "train.refit=false"]
    words = [w.replace("{epochs: 2, trainable: all}", "{epochs: 1, trainable: all}") for w in words]
    words = [*words, "seed=0,1", "hydra.sweep.dir=sw", "hydra/launcher=basic"]
    folders, rng = [place / "sweep", place / "sweep_killed"], np.random.default_rng(0)
    for folder in folders:
        folder.mkdir()

    def begin(folder: Path, at: int | None = None) -> int:
        return ask(Order(str(folder), words, str(place / "sweep_cache"), at=at, mode="before"))

    assert begin(folders[0]) == 0, (folders[0] / "output.txt").read_text()
    ended: dict[Path, int] = {}
    kills = [begin(folders[1], int(at)) for at in rng.integers(8, 16, 2)]
    assert kills == [-9, -9]
    for status in (folders[1] / "sw").glob("*/status.json"):
        if json.loads(status.read_text())["status"] == "completed":
            ended[status] = status.stat().st_mtime_ns
    assert begin(folders[1]) == 0, (folders[1] / "output.txt").read_text()
    assert all(status.stat().st_mtime_ns == before for status, before in ended.items())
    for number in range(2):
        one, other = (folder / "sw" / str(number) for folder in folders)
        assert load_file(one / "best.safetensors").keys()
        for name in ("predictions.csv", "metrics.json"):
            assert (one / "eval/test" / name).read_bytes() == (
                other / "eval/test" / name
            ).read_bytes()
        tables = [pd.read_csv(run / "metrics.csv").iloc[:, :10] for run in (one, other)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
