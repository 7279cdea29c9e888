"""Paths as they are typed: what the shell passes on arrives, and what is kept can be pasted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from braintumor.quoting import shell_line
from braintumor.workflows.compose import compose
from support import Command, noise_pictures

NAMES = ["mri", "my mri", "Brain (1)", "a,b", "[x]", "a=b", "ma'am", "día"]
SMALL = [
    "debug=tiny", "data.limit=null", "model=cnn", "model.backbone.widths=[4,4]", "eval.heatmaps=0",
    "train.tensorboard=false",
]  # fmt: skip


def make_images(root: Path) -> None:
    noise_pictures(root, ("glioma", "no_tumor"), count=12, px=16)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_at_home_is_read_by_the_command_and_from_python(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make_images(tmp_path / name)
    words = ["data=folder", f"data.root=~/{name}", "data.image_size=16", f"run_dir=~/out of {name}"]
    bt("data", *words, cwd=tmp_path, HOME=str(tmp_path), code=0)
    assert (tmp_path / f"out of {name}/manifest.csv").is_file()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compose("data", words, {}).settings["data"]["root"] == f"~/{name}"


def test_a_run_is_repeated_by_the_words_it_keeps(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make_images(tmp_path / "my mri, (1)")
    words = [*SMALL, "data=folder", "data.root=~/my mri, (1)", "run_dir=a b"]
    bt("train", *words, cwd=tmp_path, code=0)
    kept = json.loads((tmp_path / "a b/environment.json").read_text())["command"]
    assert kept == ["bt-train", *words]
    overrides = json.loads((tmp_path / "a b/status.json").read_text())["overrides"]
    roots = [
        compose("train", shlex.split(shell_line(pasted)), {}).settings["data"]["root"]
        for pasted in (kept[1:], overrides)
    ]
    assert roots == ["~/my mri, (1)"] * 2
    page = (tmp_path / "a b/eval/test/report.html").read_text()
    assert "'data.root=~/my mri, (1)'" in page.replace("&#39;", "'").replace("&#x27;", "'")


def test_a_sweep_over_folders_parts_them_and_a_comma_of_a_name_stays(
    bt: Command, tmp_path: Path
) -> None:
    for name in ("my mri", "a,b"):
        make_images(tmp_path / name)
    roots = "data.root=~/my mri,~/a,b"
    bt("train", "-m", *SMALL, "data=folder", roots, cwd=tmp_path, HOME=str(tmp_path), code=0)
    jobs = sorted(tmp_path.glob("multirun/*/[01]/status.json"))
    named = [json.loads(job.read_text())["overrides"][-1] for job in jobs]
    assert named == ["data.root='~/my mri'", "data.root='~/a,b'"]


def test_lists_of_paths_are_taken_apart_at_commas(bt: Command, tmp_path: Path) -> None:
    for name, words in {
        "compare": ["runs=[~/a,b c]"],
        "eval": ["ckpt=[~/a,b c]", "on=[phantom]"],
    }.items():
        done = bt(name, *words, cwd=tmp_path, HOME=str(tmp_path), code=2)
        assert f"there is no run folder {'or checkpoint ' * (name == 'eval')}{tmp_path}/a" in (
            done.stderr
        )
    done = bt("eval", "ckpt=[a]", "on=[~/no such (1),b]", cwd=tmp_path, HOME=str(tmp_path))
    assert "~/no such (1)" in done.stderr
