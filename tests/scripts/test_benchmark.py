"""What the benchmark's figures mean, and that its contestants do the same work."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import Command

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module", autouse=True)
def _on_path() -> Iterator[None]:
    sys.path.insert(0, str(SCRIPTS))
    yield
    sys.path.remove(str(SCRIPTS))


def part(name: str) -> Any:
    return importlib.import_module(name)


def answer(contestant: str, what: str = "frozen/none", repeat: int = 0, **more: Any) -> dict:
    """10 images; two epochs trained, 5 s and 2 s, with 1 s of validation each; 9 s in all."""
    epochs = [
        {"train_s": 5.0, "val_s": 1.0, "images": 10, "loss": 1.5},
        {"train_s": 2.0, "val_s": 1.0, "images": 10, "loss": 1.0},
    ]
    return {
        "contestant": contestant, "what": what, "repeat": repeat, "seconds": 9.0, "wall_s": 14.0,
        "before_s": 4.0, "images": 10, "epochs": epochs, "rss_mb": 500.0, "worker_rss_mb": 300.0,
        "cuda_mb": None, "settings": "as they are",
    } | more  # fmt: skip


def test_an_epoch_is_one_after_the_first() -> None:
    (line,) = part("bench.rows").row_of("frozen_epoch", [answer("timm")], epochs=10, heads=12)
    assert line.images_per_s == 5.0  # 10 images in 2 s; the 5 s hold the warm-up
    assert line.times_ours is None  # nothing of ours to compare with


@pytest.mark.parametrize(
    ("row", "what", "seconds", "images"),
    [
        ("frozen_10", "frozen/none", 9 + 8 * 3, 100),  # two epochs of ten measured, 3 s each left
        ("job", "full/none", 14 + 8 * 3, 100),  # with start-up
        ("sweep", "frozen/none", 12 * (14 + 8 * 3), 1200),
        ("evaluation", "eval/none", 9, 10),
    ],
)
def test_epochs_left_out_are_added_by_the_median(
    row: str, what: str, seconds: float, images: int
) -> None:
    (line,) = part("bench.rows").row_of(row, [answer("timm", what)], epochs=10, heads=12)
    assert line.seconds == seconds
    assert line.images_per_s == pytest.approx(images / seconds)


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that is twice as slow in the second round changes no ratio."""
    answers = [
        answer("ours", "eval/none", 0, seconds=1.0),
        answer("timm", "eval/none", 0, seconds=3.0),
        answer("ours", "eval/none", 1, seconds=2.0),
        answer("timm", "eval/none", 1, seconds=6.0),
    ]
    ours, timm = part("bench.rows").row_of("evaluation", answers, epochs=10, heads=12)
    assert ours.times_ours == 1.0
    assert timm.times_ours == pytest.approx(3.0)
    assert timm.spread == pytest.approx((3.0, 3.0))
    assert timm.images_per_s == pytest.approx((10 / 3 + 10 / 6) / 2)


def test_a_contestant_that_sees_fewer_images_is_compared_an_image() -> None:
    answers = [
        answer("ours", "eval/none", seconds=1.0, images=10),
        answer("timm", "eval/none", seconds=1.0, images=5),
    ]
    timm = part("bench.rows").row_of("evaluation", answers, epochs=10, heads=12)[1]
    assert timm.times_ours == 2.0


class Hand:
    """A launcher that takes 10 s a child on a clock of its own."""

    def __init__(self) -> None:
        self.seconds, self.done = 0.0, []

    def clock(self) -> float:
        return self.seconds

    def launch(self, job: Any) -> dict:
        self.seconds += 10
        self.done.append((job.what, job.contestant))
        return {}


def scheduled(tmp_path: Path, rows: list[str], repeats: int, budget_s: float) -> tuple[Hand, list]:
    schedule, hand = part("bench.schedule"), Hand()
    found = schedule.plan(rows, ["none"], ["ours", "timm"], epochs=10, peer_epochs=3)
    job = part("bench.job").Job
    blank = {f.name: "" for f in dataclasses.fields(job)} | {"place": str(tmp_path)}
    _, notes = schedule.run(
        found, job(**blank), repeats, budget_s, hand.launch, lambda *_: None, hand.clock
    )
    return hand, notes


def test_contestants_take_turns(tmp_path: Path) -> None:
    hand, notes = scheduled(tmp_path, ["frozen_epoch"], repeats=2, budget_s=1000)
    assert [name for _, name in hand.done] == ["ours", "timm", "ours", "timm"]
    assert not notes


def test_the_budget_leaves_out_repeats_and_never_rows(tmp_path: Path) -> None:
    rows = ["frozen_10", "full_epoch", "evaluation"]
    hand, notes = scheduled(tmp_path, rows, repeats=3, budget_s=85)
    # round one is 60 s whatever the budget; of round two only one measurement of 20 s fits
    assert len(hand.done) == 8
    assert {what for what, _ in hand.done} == {"frozen/none", "full/none", "eval/none"}
    assert len(notes) == 5
    assert "full/none: repeat 2 left out" in notes[0]


def test_only_ours_trains_all_epochs() -> None:
    plan = part("bench.schedule").plan
    (frozen,) = plan(["frozen_10"], ["se"], ["ours", "again", "timm"], 10, 3)
    assert frozen.epochs == {"ours": 10, "again": 10, "timm": 3}
    sweep = plan(["sweep"], ["none"], ["ours", "timm"], 10, 3)
    assert [m.what for m in sweep] == ["frozen/none", "sweep/none"]  # the peers' part, and ours


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Ours, torchvision and timm on a few phantoms, in this process: imports happen once."""
    out = tmp_path_factory.mktemp("record") / "speed.json"
    child = part("bench.child")

    def launch(job: Any) -> dict:
        return child.measure(job) | {"wall_s": 1.0}

    code = part("benchmark").main(
        ["--quick", "--out", str(out), "--model", "cnn", "--attentions", "none", "--device", "cpu",
         "--rows", "frozen_epoch", "frozen_10", "evaluation", "ceiling",
         "--contestants", "ours", "torchvision", "timm", "--limit", "6", "--px", "48",
         "--epochs", "2", "--workers", "0", "--batch", "8",
         "--options", "train.tensorboard=false", "eval.examples=1"],
        launch,
    )  # fmt: skip
    assert code == 0
    return json.loads(out.read_text()) | {"markdown": out.with_suffix(".md").read_text()}


@pytest.mark.slow
def test_every_row_has_every_contestant(record: dict) -> None:
    found = {(line["row"], line["contestant"]) for line in record["lines"]}
    rows = ("frozen_epoch", "frozen_10", "evaluation")
    assert found == {(row, name) for row in rows for name in ("ours", "torchvision", "timm")}
    assert all(line["images_per_s"] > 0 for line in record["lines"])
    assert all(work["images_per_s"] > 0 for work in record["ceiling"]["works"].values())


@pytest.mark.slow
def test_all_contestants_work_on_the_same_images(record: dict) -> None:
    seen = {a["contestant"]: a["images"] for a in record["answers"] if a["what"] == "frozen/none"}
    train = record["images"]["train"]
    assert seen["ours"] == seen["torchvision"] == train
    assert seen["timm"] == train // 8 * 8  # it leaves out a last batch that is not full
    tested = [a["images"] for a in record["answers"] if a["what"] == "eval/none"]
    assert tested == 3 * [record["images"]["test"]]


def test_the_settings_of_ours_are_known_to_bt_train(bt: Command, tmp_path: Path) -> None:
    """Those that the sweep varies, too; or a benchmark would end after its first hour."""
    ours = part("bench.ours")
    blank = {f.name: "" for f in dataclasses.fields(part("bench.job").Job)}
    told = {
        "kind": "frozen", "model": "mobilenet", "attention": "mhsa", "root": "a b='c'", "px": 64,
        "weights": "none", "device": "cpu", "epochs": 3, "batch_size": 8, "lr": 1e-3,
    }  # fmt: skip
    job = part("bench.job").Job(**blank | told)
    heads = [varied.split(",")[0] for varied in ours.HEADS[12]]
    done = bt("train", *ours.training_options(job), *heads, "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "phases:\n  - epochs: 3\n    trainable: head\n" in done.stdout
    assert "root: a b='c'\n" in done.stdout


@pytest.mark.slow
def test_the_record_names_no_folder_of_the_machine(record: dict) -> None:
    text = record["markdown"] + json.dumps({k: v for k, v in record.items() if k != "answers"})
    assert "/tmp" not in text
    assert str(Path.home()) not in text


@pytest.mark.slow
def test_what_is_not_installed_is_named_with_its_command(
    record: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, rows = part("bench.table"), part("bench.rows")
    lines = {"evaluation": rows.row_of("evaluation", record["answers"], 2, 2)}
    text = table.to_markdown(record | {"absent": ["fastai"]}, lines)
    assert "| fastai | *not installed: `pip install fastai`* |" in text
    monkeypatch.setitem(sys.modules, "fastai", None)  # as find_spec has it for what is not there
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not part("bench.machine").is_installed("fastai")
    assert part("bench.machine").is_installed("ours")


def test_a_child_that_fails_is_told_and_does_not_end_the_others(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('no such weights')")
    job = part("bench.job").Job
    blank = {f.name: "" for f in dataclasses.fields(job)} | {"place": str(tmp_path), "options": []}
    told = part("bench.schedule").launch_child(script)(job(**blank))
    assert told["failed"] == "exit code 1: no such weights"
    lines = part("bench.rows").row_of(
        "evaluation", [answer("ours", "eval/none"), told | {"what": "eval/none"}], 10, 12
    )
    assert [line.contestant for line in lines] == ["ours"]
