"""What anybody runs first: `bt-train` and `bt-data` without words, and a command in a notebook."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from braintumor.workflows.compose import compose
from braintumor.workflows.words import Typed, for_hydra
from support import Command


@pytest.mark.parametrize("words", [(), ("run_dir=x",), ("device=cpu", "overwrite=true")])
def test_training_without_words_is_the_demo(words: tuple[str, ...]) -> None:
    bare, demo = (compose("train", [*given, *words], {}) for given in ([], ["experiment=demo"]))
    assert bare.settings == demo.settings
    assert bare.own_pictures == 'bt.train("data=folder", "data.root=FOLDER")'
    assert not demo.own_pictures


@pytest.mark.parametrize(
    "word",
    ["data=phantom", "model=cnn", "experiment=cnn_vs_mobilenet", "seed=3", "resume=x", "--cfg=job"],
)
def test_where_something_is_named_nothing_is_added(word: str) -> None:
    assert for_hydra(Typed("train", (word,))) == [word]


def test_it_says_first_what_it_trains_on_and_last_what_to_do_next(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the demo's recipe, but for its size
    short = ["debug=tiny", "data.patients=24", "data.limit=null", "train.tensorboard=false"]
    named = Typed.names_nothing.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(
        Typed, "names_nothing", property(lambda t: named(Typed(t.command, t.words[len(short) :])))
    )
    done = bt("train", *short, "run_dir=run", cwd=tmp_path, code=0)
    first, second, *_, report, last = done.stdout.splitlines()
    own = "bt-train data=folder data.root=FOLDER"
    assert "generated slices" in first
    assert own in second
    assert report == "report: run/eval/test/report.html"
    assert "next: open the report" in last
    assert own in last
    assert "experiment=demo" in json.loads((tmp_path / "run/status.json").read_text())["overrides"]
    assert json.loads((tmp_path / "run/environment.json").read_text())["command"][0] == "bt-train"


def test_of_other_libraries_nothing_is_printed_but_warnings(
    bt_process: Command, tmp_path: Path
) -> None:
    words = ["data=phantom", "data.patients=24", "data.image_size=32", "run_dir=run"]
    fresh = tmp_path / "matplotlib"  # which then says that it has listed the fonts
    done = bt_process("data", *words, cwd=tmp_path, code=0, MPLCONFIGDIR=str(fresh))
    assert any(fresh.iterdir())
    assert "HYDRA" not in done.stdout
    assert "font" not in done.stdout + done.stderr


def test_data_without_words_says_what_to_type(bt: Command, tmp_path: Path) -> None:
    small = ["data.patients=24", "data.image_size=32"]
    done = bt("data", *small, cwd=tmp_path, code=0)
    assert done.stdout.startswith("these are generated slices")
    assert "bt-data data=folder data.root=FOLDER" in done.stdout.splitlines()[0]
    assert "generated" not in bt("data", "data=phantom", *small, cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("name", "function"),
    [("train", "bt.train"), ("data", "bt.read_data"), ("eval", "bt.evaluate"),
     ("predict", "bt.predict"), ("compare", "bt.compare")],
)  # fmt: skip
@pytest.mark.parametrize("kernel", ["ipykernel_launcher.py", "colab_kernel_launcher.py"])
def test_a_notebook_is_told_of_the_functions(
    name: str, function: str, kernel: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", [f"/venv/{kernel}", "-f", "/run/kernel-1.json"])
    importlib.import_module(f"braintumor.cli.{name}").main()
    said = capsys.readouterr().err
    assert f"import braintumor as bt; {function}(" in said
    assert len(said.splitlines()) == 1
    assert "usage" not in said
