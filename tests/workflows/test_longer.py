"""resume= with more epochs: the last phase becomes longer, and nothing else changes."""

from __future__ import annotations

import html
import logging
import re
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from support import QUICK, Command, train

pytestmark = pytest.mark.usefixtures("no_drawings")

LONG = [
    *QUICK, "train.max_epochs=null", "train.early_stopping.patience=null", "scheduler=constant",
]  # fmt: skip


def rows(run: Path) -> list[list[str]]:
    """metrics.csv without times."""
    lines = (run / "metrics.csv").read_text().splitlines()
    header = lines[0].split(",")
    kept = [i for i, name in enumerate(header) if name not in ("seconds", "images_per_s")]
    return [[line.split(",")[i] for i in kept] for line in lines]


@pytest.fixture(scope="module")
def short(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("longer")
    cap = "train.max_epochs=2"
    bt("train", *LONG, cap, "train.epochs=5", "run_dir=run", cwd=folder, code=0)
    return folder / "run"


def test_under_a_constant_rate_it_is_the_longer_run(
    bt: Command, short: Path, tmp_path: Path
) -> None:
    shutil.copytree(short, tmp_path / "run")
    capped = bt("train", "resume=run", "train.epochs=4", cwd=tmp_path, code=2)
    assert "for more epochs add train.epochs=N train.max_epochs=null" in capped.stderr
    words = ("resume=run", "train.epochs=4", "train.max_epochs=null")
    done = bt("train", *words, cwd=tmp_path, code=0)
    assert "longer: the last phase now takes 4 epochs, and scheduler=constant" in done.stdout
    assert "epoch 3 begins with a rate of 1.5e-03, where epoch 2 ended with 1.5e-03" in done.stdout
    bt("train", *LONG, "train.epochs=4", "run_dir=whole", cwd=tmp_path, code=0)
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    one, other = (load_file(tmp_path / n / "best.safetensors") for n in ("run", "whole"))
    assert all((one[name] == other[name]).all() for name in one)
    known = "The model was trained for more epochs after its figures on test were known."
    assert known in " ".join(done.stdout.split())
    page = html.unescape((tmp_path / "run/eval/test/report.html").read_text())
    assert known in page
    commands = re.search(
        r'one after the other</h3>\s*<pre class="command"[^>]*>(.*?)</pre>', page, re.S
    )
    assert commands
    first, then = commands[1].splitlines()
    assert first.startswith("bt-train ") and "train.max_epochs=2" in first.split()
    assert then == "bt-train resume=run train.epochs=4 train.max_epochs=null"
    again = bt("train", "resume=run", cwd=tmp_path, code=2)
    assert "for more epochs add train.epochs=N" in again.stderr


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["train.epochs=1"], "the run has 2 epochs of all, where this asks for 1 epoch of all"),
        (["train.epochs=2"], "is complete"),
        (["train.epochs=5", "train.max_epochs=2"], "is complete"),
        (["train.epochs=5", "optimizer.lr=1"], "optimizer.lr=1 would be ignored"),
        (["train.epochs=5", "train.phases=[{epochs:5,trainable:head}]"], "of head"),
        (
            ["train.epochs=null", "train.max_epochs=null", "train.phases=[{epochs:2},{epochs:2}]"],
            "only make the last",
        ),
    ],
)
def test_anything_else_is_refused(
    bt: Command, short: Path, tmp_path: Path, words: list[str], answer: str
) -> None:
    before = (short / "config.yaml").read_bytes()
    done = bt("train", f"resume={short}", *words, cwd=tmp_path, code=2)
    assert answer in done.stderr
    assert (short / "config.yaml").read_bytes() == before


def test_an_epoch_is_told_of_once_its_files_are_there(tmp_path: Path) -> None:
    """As whoever reads the line and kills the run, or looks into its folder, expects."""
    told: list[tuple[str, int, bool]] = []

    class Look(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (line := record.getMessage()).startswith("epoch "):
                written = (run / "metrics.csv").read_text().splitlines()[1:]
                told.append((line.split()[1], len(written), (run / "last.ckpt").is_file()))

    run, log, look = tmp_path / "run", logging.getLogger("braintumor"), Look()
    log.addHandler(look)
    try:
        train(*LONG, "train.epochs=3", f"run_dir={run}")
    finally:
        log.removeHandler(look)
    assert told == [("1/3", 1, True), ("2/3", 2, True), ("3/3", 3, True)]
