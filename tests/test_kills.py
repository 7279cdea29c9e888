"""kill -9 in every write and at any moment: what a resume makes is what nobody interrupted."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from killing import MODES, Ask, Order

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


def order(folder: Path, settings: list[str] = SETTINGS, **how: Any) -> Order:
    """Go on with the run in the folder or, where it has not begun, begin it."""
    has_begun = (folder / "run" / "status.json").is_file()
    arguments = ["resume=run"] if has_begun else settings
    return Order(str(folder), arguments, str(folder / "cache"), **how)


def is_completed(folder: Path) -> bool:
    status = folder / "run" / "status.json"
    return status.is_file() and json.loads(status.read_text())["status"] == "completed"


# what a soak adds to SETTINGS, one after the other
VARIANTS: dict[str, list[str]] = {
    "two phases, refit, EMA, kept features": [],
    "mixup": ["augment.mixup=0.2"],
    "no refit, SGD, plateau": ["train.refit=false", "optimizer=sgd", "scheduler=plateau"],
    "two folds": ["train.refit=false", "split=stratified", "folds=2"],
    "dropout, oversampling": ["model.head.dropout=0.3", "train.imbalance=oversample"],
}
SOAK_KILLS = 60  # of each variant


@pytest.mark.soak
@pytest.mark.parametrize("variant", VARIANTS)
def test_three_hundred_kills_change_nothing(ask: Ask, kill_place: Path, variant: str) -> None:
    """A third in a write, a third at any moment, a third of signals that ask to end."""
    settings = [*SETTINGS, *VARIANTS[variant]]
    name = variant.replace(", ", "_").replace(" ", "_")
    whole, kills, number, rng = (
        kill_place / f"whole_{name}",
        Counter[str](),
        0,
        np.random.default_rng(1),
    )
    whole.mkdir()
    began = time.perf_counter()
    assert ask(order(whole, settings)) == 0, (whole / "output.txt").read_text()
    took_s = time.perf_counter() - began
    writes = len((whole / "writes.txt").read_text().splitlines())
    while kills.total() < SOAK_KILLS:
        folder, number, code = kill_place / f"{name}_{number}", number + 1, -1
        folder.mkdir()
        for try_ in range(20):
            plans: list[dict[str, Any]] = [
                {"at": int(rng.integers(1, writes if try_ == 0 else 12)), "mode": MODES[try_ % 3]},
                {"after_s": float(rng.uniform(0, took_s))},
                {
                    "after_s": float(rng.uniform(0, took_s)),
                    "signal": int(rng.choice([signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])),
                },
            ]
            plan = {} if try_ > 8 else plans[int(rng.integers(3)) if try_ else 0]
            code = ask(order(folder, settings, **plan))
            said = (folder / "output.txt").read_text()
            assert code in (0, 130, -9, *map(int, (-15, -10, -1))), said
            assert "Traceback" not in said
            how = "signal" if "signal" in plan else "in a write" if "at" in plan else "at random"
            kills[how] += code != 0
            if is_completed(folder):
                break
        assert code == 0
        parts = [""] if "folds=2" not in settings else ["fold_0", "fold_1"]
        for part in parts:
            assert_same(folder / "run" / part, whole / "run" / part)
        shutil.rmtree(folder)
        print(f"{variant}: {number} runs, {dict(kills)}, all equal", flush=True)


def assert_same(run: Path, expected: Path) -> None:
    is_refit = (expected / "refit").is_dir()
    for name in ("best.safetensors", *(["selected.safetensors"] if is_refit else [])):
        one, other = load_file(run / name), load_file(expected / name)
        assert one.keys() == other.keys()
        assert all((one[key] == other[key]).all() for key in one), name
    for name in ("metrics.csv", *(["refit/metrics.csv"] if is_refit else [])):
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
def whole(ask: Ask, kill_place: Path) -> Path:
    """The folder of a run that nobody killed."""
    folder = kill_place / "whole"
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
def test_a_dozen_kills_change_nothing(ask: Ask, kill_place: Path, whole: Path) -> None:
    """Three runs, each begun by a kill in a write of another part of the work.

    Before, while and after the training; torn, before and after the rename, and at any moment.
    Which of the writes it is, another day has its own: the seed is the date.
    """
    seed = datetime.date.today().toordinal()
    rng, places = np.random.default_rng(seed), np.sort(places_of(whole / "writes.txt"))
    parts = np.array_split(places, 3)
    kills = sum(
        kills_of(ask, kill_place / f"dozen{k}", plans_of(int(rng.choice(part)), k, rng), whole)
        for k, part in enumerate(parts)
    )
    assert kills >= 8, f"too many came after the end; the seed was {seed}"


@pytest.mark.soak
def test_sixty_kills_change_nothing(ask: Ask, kill_place: Path, whole: Path) -> None:
    """A kill in each kind of write, each followed by three more."""
    rng = np.random.default_rng(0)
    kills = sum(
        kills_of(ask, kill_place / f"killed{number}", plans_of(first, number, rng), whole)
        for number, first in enumerate(places_of(whole / "writes.txt"))
    )
    assert kills >= 60, "too many of them came after the end"


def test_a_sweep_of_two_jobs_that_is_killed_again_and_again(ask: Ask, kill_place: Path) -> None:
    """The same command goes on each time; what is complete is left alone."""
    words = ["-m", *(w for w in SETTINGS if w != "run_dir=run"), "train.refit=false"]
    words = [w.replace("{epochs: 2, trainable: all}", "{epochs: 1, trainable: all}") for w in words]
    words = [*words, "seed=0,1", "hydra.sweep.dir=sw", "hydra/launcher=basic"]
    folders, rng = [kill_place / "sweep", kill_place / "sweep_killed"], np.random.default_rng(0)
    for folder in folders:
        folder.mkdir()

    def begin(folder: Path, at: int | None = None) -> int:
        return ask(Order(str(folder), words, str(kill_place / "sweep_cache"), at=at, mode="before"))

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
