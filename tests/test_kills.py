"""kill -9 in every write and at any moment: what a resume makes is what nobody interrupted."""

from __future__ import annotations

import json
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
    "train.early_stopping.patience=null", "train.refit=true", "train.tensorboard=false",
    "eval.heatmaps=1", "eval.examples=0", "eval.views=1", "run_dir=run",
]  # fmt: skip
CHAINS = 20
KILLS_EACH = 3

Ask = Callable[[Order], dict[str, Any]]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """How a command ended: {"code": -9 when killed, "renames": how many writes it made}."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killing.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdin and server.stdout

        def answer(order: Order) -> dict[str, Any]:
            server.stdin.write(as_line(order))
            server.stdin.flush()
            found: dict[str, Any] = json.loads(server.stdout.readline())
            return found

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


@pytest.mark.slow
def test_sixty_kills_change_nothing(ask: Ask, place: Path) -> None:
    """Each chain begins anew, is killed in a write, on resume in another, then at any moment."""
    whole = place / "whole"
    whole.mkdir()
    renames = ask(order(whole))["renames"]
    assert is_completed(whole), (whole / "output.txt").read_text()
    rng, kills = np.random.default_rng(0), 0
    for chain in range(CHAINS):
        folder = place / f"chain{chain}"
        folder.mkdir()
        first = 1 + chain * renames // CHAINS + int(rng.integers(0, renames // CHAINS))
        plans: list[dict[str, Any]] = [
            {"at": first, "mode": MODES[chain % 3]},
            {"at": int(rng.integers(1, 30)), "mode": MODES[(chain + 1) % 3]},
            {"after_s": float(rng.uniform(0.1, 2.0))},
        ]
        for plan in plans:
            if not is_completed(folder):
                found = ask(order(folder, **plan))
                assert found["code"] in (-9, 0), (folder / "output.txt").read_text()
                kills += found["code"] == -9
        if not is_completed(folder):
            ended = ask(order(folder))
            assert ended["code"] == 0, (folder / "output.txt").read_text()
        assert "Traceback" not in (folder / "output.txt").read_text()
        assert_same(folder / "run", whole / "run")
    assert kills >= CHAINS * KILLS_EACH - 6  # a late first kill leaves less to be killed in
