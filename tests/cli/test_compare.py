"""bt-compare: what it prints, writes and refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import yaml

from braintumor.files import write_rows
from braintumor.records import EpochRecord
from support import Command


def _run(folder: Path, paths: list[str]) -> None:
    """The smallest folder that counts as an evaluated run."""
    out = folder / "eval" / "test"
    out.mkdir(parents=True)
    status = {"status": "completed", "model_name": folder.name, "best_epoch": 1}
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": 0, "of": folder.name}))
    row = dataclasses.asdict(EpochRecord(1, 1, 1e-3, *[0.5] * 7, 9.0, 1.0, True))
    write_rows(folder / "metrics.csv", [row])
    figures = {"accuracy": 1.0, "macro_f1": 1.0, "n": len(paths)}
    (out / "metrics.json").write_text(json.dumps({"split": "test", "all": figures}))
    true = ["no", "yes"] * (len(paths) // 2)
    table = {"path": paths, "true": true, "pred": true}
    table |= {"prob_no": [1 - (t == "yes") for t in true], "prob_yes": [t == "yes" for t in true]}
    pd.DataFrame(table).astype({"prob_yes": float}).to_csv(out / "predictions.csv", index=False)


def test_table_is_printed_and_everything_is_written(bt: Command, tmp_path: Path) -> None:
    for name in ("a", "b"):
        _run(tmp_path / "runs" / name, ["x", "y"])
    done = bt("compare", "runs=[runs/*]", "run_dir=out", "resamples=100", cwd=tmp_path, code=0)
    assert "tie: not distinguishable" in done.stdout
    assert "Ranked by macro F1 on validation" in done.stdout
    assert max(map(len, done.stdout.splitlines()[:-3])) <= 100
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {
        "comparison.csv", "comparison.html", "comparison.md", "comparison.png", "leaderboard.csv",
        "leaderboard.tex", "pairs.csv", "pareto.png", ".braintumor",
    }  # fmt: skip


def test_different_images_are_refused_with_what_to_do(bt: Command, tmp_path: Path) -> None:
    _run(tmp_path / "a", ["x", "y"])
    _run(tmp_path / "b", ["x", "z"])
    done = bt("compare", "runs=[a,b]", "run_dir=out", cwd=tmp_path, code=2)
    assert "different_images=true" in done.stderr
    assert not (tmp_path / "out").exists()
    done = bt(
        "compare", "runs=[a,b]", "run_dir=out", "different_images=true", "resamples=100",
        cwd=tmp_path, code=0,
    )  # fmt: skip
    assert "2 different sets" in done.stdout
    assert "2 different sets" in (tmp_path / "out" / "comparison.html").read_text()


def test_wrong_settings_are_answered(bt: Command, tmp_path: Path) -> None:
    _run(tmp_path / "a", ["x", "y"])
    for wrong, answer in (
        ("by=tests", "test"),
        ("resamples=3", "100 or more"),
        ("runs=[]", "no runs"),
    ):
        done = bt("compare", "runs=[a]", wrong, cwd=tmp_path, code=2)
        assert answer in done.stderr


def test_runs_named_without_their_setting_are_answered_with_all_of_them(
    bt: Command, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        _run(tmp_path / name, ["x", "y"])
    for words in (["a", "b"], ["runs=a", "b"]):
        said = bt("compare", *words, cwd=tmp_path, code=2).stderr
        assert said.endswith("did you mean 'runs=[a,b]'?\n")
    said = bt("predict", "a", "x", cwd=tmp_path, code=2).stderr
    assert said.endswith("did you mean ckpt=a?\n")
