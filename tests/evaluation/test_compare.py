"""The leaderboard: from run folders alone, ranked by validation."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from braintumor.errors import CheckpointError
from braintumor.evaluation.compare import RANKING, as_markdown, compare_runs, write_comparison


def _run(folder, val_f1=0.9, accuracy=0.8, paths=("a", "b"), status="completed", shas=None):
    """A run folder as bt-train leaves it; accuracy None: never evaluated."""
    folder.mkdir(parents=True)
    state = {"status": status, "why": None if status == "completed" else "loss is NaN"}
    state |= {"model_name": "cnn_se", "data_name": "phantom", "parameters": 1234}
    state |= {"seconds": 61.5, "best_epoch": 2 if status == "completed" else None, "seed": 7}
    (folder / "status.json").write_text(json.dumps(state))
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": 7, "data": {"name": "phantom"}}))
    names = ("macro_f1", "accuracy", "balanced_accuracy", "auroc", "loss")
    history = {f"val_{name}": [0.1, val_f1, 0.2] for name in names}
    history |= {"epoch": [1, 2, 3], "is_best": [True, True, False]}
    if status == "completed":
        pd.DataFrame(history).to_csv(folder / "metrics.csv", index=False)
    if shas:
        table = {"path": paths, "sha256": shas}
        pd.DataFrame(table).to_csv(folder / "manifest.csv", index=False)
    if accuracy is not None:
        figures = {"accuracy": accuracy, "macro_f1": accuracy, "auroc": None, "n": len(paths)}
        out = folder / "eval" / "test"
        out.mkdir(parents=True)
        (out / "metrics.json").write_text(json.dumps({"split": "test", "all": figures}))
        pd.DataFrame({"path": paths}).to_csv(out / "predictions.csv", index=False)
    return folder


def test_rank_is_by_validation_and_never_by_test(tmp_path):
    lucky = _run(tmp_path / "lucky", val_f1=0.7, accuracy=0.99)
    better = _run(tmp_path / "better", val_f1=0.8, accuracy=0.6)
    table = compare_runs([lucky, better])
    assert list(table["run"]) == ["better", "lucky"]
    assert table.attrs["notes"] == [RANKING]


def test_row_holds_what_the_folder_says(tmp_path):
    row = compare_runs([_run(tmp_path / "r")]).iloc[0]
    assert (row["model"], row["data"], row["seed"], row["split"]) == (
        "cnn_se",
        "phantom",
        7,
        "test",
    )
    assert (row["n"], row["accuracy"], row["parameters"], row["seconds"]) == (2, 0.8, 1234, 61.5)
    assert (row["best_epoch"], row["val_macro_f1"]) == (2, 0.9)  # epoch 2, neither first nor last
    assert np.isnan(row["auroc"])


def test_row_holds_clean_figures_and_the_floor_where_they_are_known(tmp_path):
    run, other = _run(tmp_path / "r"), _run(tmp_path / "old")
    path = run / "eval" / "test" / "metrics.json"
    known = {"clean": {"accuracy": 0.5, "n": 1}, "floor": {"name": "f", "accuracy": 0.7}}
    path.write_text(json.dumps(json.loads(path.read_text()) | known))
    table = compare_runs([run, other]).set_index("run")
    row = table.loc["r"]
    assert (row["clean_accuracy"], row["clean_n"], row["floor_accuracy"]) == (0.5, 1, 0.7)
    assert table.loc["old", ["clean_accuracy", "clean_n", "floor_accuracy"]].isna().all()


def test_missing_pieces_are_blank(tmp_path):
    run = _run(tmp_path / "r")
    for name in ("status.json", "metrics.csv", "config.yaml"):
        (run / name).unlink()
    row = compare_runs([run]).iloc[0]
    assert row["accuracy"] == 0.8
    assert row[["model", "seed", "val_macro_f1", "parameters"]].isna().all()


def test_best_epoch_is_read_from_the_history_when_status_lacks_it(tmp_path):
    run = _run(tmp_path / "r")
    (run / "status.json").write_text('{"status": "completed"}')
    assert compare_runs([run]).iloc[0]["best_epoch"] == 2


def test_sweep_stands_for_its_jobs_and_failed_ones_keep_their_row(tmp_path):
    sweep = tmp_path / "2025-01-01_12-00"
    for number in (0, 2, 10):
        _run(sweep / str(number), val_f1=0.5)
    _run(sweep / "1", status="failed", accuracy=None)
    table = compare_runs([sweep])
    assert [name.split("/")[-1] for name in table["run"]] == ["0", "2", "10", "1"]
    assert table["run"][0] == "2025-01-01_12-00/0"
    assert list(table["status"]) == ["completed"] * 3 + ["failed"]
    assert table["why"][3] == "loss is NaN"


def test_folds_stand_for_themselves_and_their_run_for_what_is_pooled(tmp_path):
    folds = _run(tmp_path / "folds", accuracy=None)
    status = json.loads((folds / "status.json").read_text())
    (folds / "status.json").write_text(json.dumps(status | {"parts": ["fold_0", "fold_1"]}))
    _run(folds / "fold_0", val_f1=0.9)
    _run(folds / "fold_1", val_f1=0.8)
    assert list(compare_runs([folds])["run"]) == ["fold_0", "fold_1"]
    (folds / "eval").mkdir()
    (folds / "fold_0" / "eval" / "test").rename(folds / "eval" / "pooled")
    assert list(compare_runs([folds], split="pooled")["run"]) == ["folds"]


def test_the_same_run_twice_is_one_row_and_equal_names_are_told_apart(tmp_path):
    first, second = _run(tmp_path / "x" / "r"), _run(tmp_path / "y" / "r")
    table = compare_runs([first, second, first])
    assert sorted(table["run"]) == ["x/r", "y/r"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nowhere", "there is no run folder .*nowhere"),
        (lambda folder: folder, "no run folder .* and no sweep"),
        (lambda folder: _run(folder / "r", accuracy=None), "no evaluation on test .*bt-eval"),
    ],
)
def test_what_is_no_evaluated_run_is_named_with_what_to_do(tmp_path, make, words):
    with pytest.raises(CheckpointError, match=words):
        compare_runs([make(tmp_path)])
    with pytest.raises(CheckpointError, match="no run to compare"):
        compare_runs([])


@pytest.mark.parametrize("name", ["status.json", "config.yaml", "metrics.csv"])
def test_damaged_file_is_named(tmp_path, name):
    run = _run(tmp_path / "r")
    (run / name).write_bytes(b'\xff{"a: [')
    with pytest.raises(CheckpointError, match=name):
        compare_runs([run])


def test_different_test_images_are_told(tmp_path, caplog):
    runs = [_run(tmp_path / "r"), _run(tmp_path / "s", paths=("a", "c", "d"))]
    with caplog.at_level(logging.WARNING):
        table = compare_runs(runs)
    assert "2 different sets of images" in caplog.text
    assert "r: 2 images; s: 3 images" in table.attrs["notes"][1]
    assert "different sets" in as_markdown(table)


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ((("a", "b"), ("1", "2")), (("a", "b"), ("1", "3")), False),  # same names, other content
        ((("a", "b"), ("1", "2")), (("x", "y"), ("2", "1")), True),  # other names, same content
        ((("b", "a"), None), (("a", "b"), ("1", "2")), True),  # content unknown: names decide
    ],
)
def test_content_decides_what_the_same_images_are(tmp_path, first, second, is_same):
    runs = [
        _run(tmp_path / name, paths=paths, shas=shas)
        for name, (paths, shas) in (("r", first), ("s", second))
    ]
    assert (len(compare_runs(runs).attrs["notes"]) == 1) == is_same


def test_comparison_is_written_as_table_text_and_picture(tmp_path):
    table = compare_runs([_run(tmp_path / "a|<b>", val_f1=0.9), _run(tmp_path / "c", val_f1=0.8)])
    write_comparison(tmp_path / "out", table)
    read = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert list(read["run"]) == ["a|<b>", "c"]
    assert list(read["n"]) == [2, 2]
    text = (tmp_path / "out" / "comparison.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert "a\\|&lt;b&gt;" in rows[2]
    assert "auroc" not in rows[0].split("val_")[0]  # nobody has one
    assert RANKING in text
    assert (tmp_path / "out" / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_all_jobs_failed_is_still_a_table(tmp_path):
    _run(tmp_path / "s" / "0", status="failed", accuracy=None)
    table = compare_runs([tmp_path / "s"])
    write_comparison(tmp_path / "out", table)
    assert "failed" in (tmp_path / "out" / "comparison.md").read_text()


@pytest.mark.slow
def test_comparing_and_reporting_never_import_torch():
    code = (
        "import sys, braintumor.evaluation.compare, braintumor.evaluation.evidence; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_sweep_shows_what_it_varied_and_nothing_else(tmp_path):
    for job, rate in (("0", "optimizer.lr=1e-3"), ("1", "optimizer.lr=1e-4")):
        run = _run(tmp_path / job)
        state = json.loads((run / "status.json").read_text())
        state["overrides"] = ["model=cnn_se", rate]
        (run / "status.json").write_text(json.dumps(state))
    table = compare_runs([tmp_path])
    assert sorted(table["overrides"]) == ["optimizer.lr=1e-3", "optimizer.lr=1e-4"]
