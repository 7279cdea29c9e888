"""The leaderboard: from run folders alone, ranked by validation."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.metrics import f1_score

from braintumor.comparison.compare import Comparison, compare
from braintumor.comparison.leaderboard import _common, ranked, runs_table
from braintumor.comparison.read import read_runs
from braintumor.comparison.write import _difference, board_lines, write_comparison
from braintumor.errors import CheckpointError, DataError
from braintumor.quoting import shell_line
from braintumor.report import page
from braintumor.workflows.compare import _table
from chromium import CHROMIUM
from made_up import misnamed_links


def compare_runs(folders, split="test"):
    """A row a run, best validation macro F1 first."""
    return ranked(runs_table(read_runs(folders, split)), "validation")


def _run(
    folder, val_f1=0.9, accuracy="predicted", paths=("a", "b"), status="completed", shas=None,
    seed=7, wrong=(), settings=None, model=None, **more,
):  # fmt: skip
    """A run folder as bt-train leaves it; accuracy None: never evaluated.

    accuracy: where it is a number that is all there is, without predictions.csv.
    wrong: paths that it gets wrong.  settings: beside the seed.  more: keys of metrics.json.
    model: its name, which is that of the folder where none is given, so that it names the run.
    """
    folder.mkdir(parents=True)
    state = {"status": status, "why": None if status == "completed" else "loss is NaN"}
    state |= {"model_name": model or folder.name, "data_name": "phantom", "parameters": 1234}
    state |= {"seconds": 61.5, "best_epoch": 2 if status == "completed" else None, "seed": seed}
    (folder / "status.json").write_text(json.dumps(state))
    # settings of its own, unless told, or all runs were seeds of one configuration
    config = {"seed": seed, "data": {"name": "phantom"}, "of": settings or str(folder)}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    names = ("macro_f1", "accuracy", "balanced_accuracy", "auroc", "loss")
    history = {f"val_{name}": [0.1, val_f1, 0.2] for name in names}
    history |= {"epoch": [1, 2, 3], "is_best": [True, True, False], "images_per_s": [10, 20, 20]}
    history |= dict.fromkeys(("train_loss", "train_accuracy", "lr", "phase", "seconds"), 1)
    if status == "completed":
        pd.DataFrame(history).to_csv(folder / "metrics.csv", index=False)
    if shas:
        table = {"path": paths, "sha256": shas, "group": "", "patient": "", "split": "test"}
        pd.DataFrame(table).to_csv(folder / "manifest.csv", index=False)
    if accuracy is not None:
        out = folder / "eval" / "test"
        out.mkdir(parents=True)
        figures = {"accuracy": accuracy, "macro_f1": accuracy, "auroc": None, "n": len(paths)}
        if accuracy == "predicted":
            table = _predictions(paths, wrong)
            table.to_csv(out / "predictions.csv", index=False)
            figures["accuracy"] = float((table["pred"] == table["true"]).mean())
            labels = sorted({*table["pred"], *table["true"]})
            figures["macro_f1"] = f1_score(
                table["true"], table["pred"], labels=labels, average="macro"
            )
        content = {"split": "test", "all": figures | more.pop("figures", {}), **more}
        (out / "metrics.json").write_text(json.dumps(content))
    return folder


def _predictions(paths, wrong) -> pd.DataFrame:
    """Classes "no" and "yes" in turn."""
    true = [("no", "yes")[i % 2] for i in range(len(paths))]
    other = {"no": "yes", "yes": "no"}
    pred = [other[t] if path in wrong else t for t, path in zip(true, paths, strict=True)]
    yes = [0.9 if name == "yes" else 0.2 for name in pred]
    return pd.DataFrame(
        {
            "path": paths,
            "true": true,
            "pred": pred,
            "prob_no": [1 - p for p in yes],
            "prob_yes": yes,
        }
    )


def _compare(folders, **how) -> Comparison:
    usual = {"split": "test", "by": "validation", "different_images": False}
    return compare(folders, **{**usual, "resamples": 200, "seed": 0, **how})


def test_rank_is_by_validation_and_never_by_test(tmp_path):
    lucky = _run(tmp_path / "lucky", val_f1=0.7, accuracy=0.99)
    better = _run(tmp_path / "better", val_f1=0.8, accuracy=0.6)
    assert list(compare_runs([lucky, better])["run"]) == ["better", "lucky"]
    found = _compare([lucky, better])
    assert list(found.board["run"]) == list(found.runs["run"]) == ["better", "lucky"]
    assert found.notes[0].startswith("Ranked by macro F1 on validation")


def test_rank_by_test_is_said(tmp_path):
    lucky = _run(tmp_path / "lucky", val_f1=0.7, accuracy=0.99)
    better = _run(tmp_path / "better", val_f1=0.8, accuracy=0.6)
    found = _compare([lucky, better], by="test")
    assert list(found.board["run"]) == ["lucky", "better"]
    assert "as by=test asked" in found.notes[0]


def test_row_holds_what_the_folder_says(tmp_path):
    row = compare_runs([_run(tmp_path / "r", model="cnn_se")]).iloc[0]
    assert (row["model"], row["data"], row["seed"], row["split"]) == (
        "cnn_se",
        "phantom",
        7,
        "test",
    )
    assert (row["n"], row["accuracy"], row["parameters"], row["seconds"]) == (2, 1.0, 1234, 61.5)
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
    assert row["accuracy"] == 1.0
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
    assert table["folder"][0] == str(sweep / "0")
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
    assert sorted(table["run"]) == ["r (x/r)", "r (y/r)"]


def test_a_run_that_has_several_names_counts_once_and_is_said_to(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.chdir(_run(tmp_path / "x" / "r").parent)
    _run(tmp_path / "x" / "s")
    Path("link").symlink_to("r")
    said = [f"{Path('r')} is named 2 times and counts once"]
    for other in (Path("link"), Path("r").resolve(), Path("../x/r")):
        caplog.clear()
        assert sorted(compare_runs([Path("r"), Path("s"), other])["run"]) == ["r", "s"]
        assert caplog.messages == said
    caplog.clear()
    assert len(compare_runs([Path.cwd(), Path("s"), Path("s/status.json")])) == 2
    assert caplog.messages[-1].endswith("/x/s is named 3 times and counts once")


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


def test_different_test_images_are_refused_unless_told(tmp_path):
    runs = [_run(tmp_path / "r"), _run(tmp_path / "s", paths=("a", "c", "d"))]
    with pytest.raises(DataError, match=r"2 different sets .*different_images=true"):
        _compare(runs)
    found = _compare(runs, different_images=True)
    assert "2 different sets of images" in found.notes[1]
    assert "r: 2 images; s: 3 images" in found.notes[1]
    assert found.pairs.empty
    assert list(found.runs["image_set"]) == [1, 2]


def test_other_true_classes_are_other_questions(tmp_path):
    runs = [_run(tmp_path / "r", paths=("a", "b")), _run(tmp_path / "s", paths=("b", "a"))]
    with pytest.raises(DataError, match="true classes"):
        _compare(runs)


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ((("a", "b"), ("1", "2")), (("a", "b"), ("1", "3")), False),  # same names, other content
        ((("a", "b"), ("1", "2")), (("x", "y"), ("1", "2")), True),  # other names, same content
        ((("a", "b"), None), (("a", "b"), ("1", "2")), True),  # content unknown: names decide
    ],
)
def test_content_decides_what_the_same_images_are(tmp_path, first, second, is_same):
    runs = [
        _run(tmp_path / name, paths=paths, shas=shas)
        for name, (paths, shas) in (("r", first), ("s", second))
    ]
    found = _compare(runs, different_images=True)
    assert (len(set(found.runs["image_set"])) == 1) == is_same
    assert len(found.pairs) == is_same


def test_seeds_are_one_row_with_mean_and_spread(tmp_path):
    for seed, accuracy in ((0, 0.7), (1, 0.8), (2, 0.9)):
        folder = tmp_path / "many" / f"seed_{seed}"
        _run(folder, accuracy=accuracy, seed=seed, settings="one", model="cnn")
    other = _run(tmp_path / "other", val_f1=0.5)
    found = _compare([tmp_path / "many", other])
    assert list(found.board["run"]) == ["cnn", "other"]
    assert set(found.runs["run"]) == {"cnn seed=0", "cnn seed=1", "cnn seed=2", "other"}
    row = found.board.iloc[0]
    assert (row["runs"], row["completed"], row["seeds"]) == (3, 3, "0, 1, 2")
    assert (row["accuracy"], row["accuracy_std"]) == pytest.approx((0.8, 0.1))
    assert np.isnan(found.board["accuracy_std"][1])
    assert list(found.runs["configuration"]) == ["cnn"] * 3 + ["other"]
    assert row["images_per_s"] == pytest.approx(3 / (1 / 10 + 1 / 20 + 1 / 20))


def test_a_seed_without_predictions_has_no_set_of_images(tmp_path):
    runs = [
        _run(tmp_path / "m" / name, seed=n, settings="m", model="m") for n, name in enumerate("xy")
    ]
    (runs[0] / "eval" / "test" / "predictions.csv").unlink()
    found = _compare([*runs, _run(tmp_path / "n", paths=("c", "d"))], different_images=True)
    sets = dict(zip(found.runs["run"], found.runs["image_set"], strict=True))
    assert pd.isna(sets["m seed=0"])
    assert (sets["m seed=1"], sets["n"]) == (1, 2)
    assert any(note.startswith("m seed=0: there is no predictions.csv") for note in found.notes)


def test_a_seed_that_is_there_twice_is_told(tmp_path):
    runs = [_run(tmp_path / name, settings="one") for name in ("a", "b")]
    assert any("seed 7" in note for note in _compare(runs).notes)


def test_intervals_are_read_and_missing_ones_stay_missing(tmp_path):
    new = _run(tmp_path / "new", figures={"accuracy_ci": [0.7, 0.9], "auroc_ci": None})
    board = _compare([new, _run(tmp_path / "old", val_f1=0.1)]).board
    assert list(board.loc[0, ["accuracy_low", "accuracy_high"]]) == [0.7, 0.9]
    assert board.loc[1, ["accuracy_low", "accuracy_high"]].isna().all()
    assert np.isnan(board["auroc_low"][0])


def test_a_tie_is_called_a_tie_and_a_difference_is_not(tmp_path):
    paths = tuple(f"{i:03d}" for i in range(100))
    best = _run(tmp_path / "best", 0.9, paths=paths, wrong=paths[:4])
    same = _run(tmp_path / "same", 0.8, paths=paths, wrong=paths[1:6])
    worse = _run(tmp_path / "worse", 0.7, paths=paths, wrong=paths[:40])
    found = _compare([best, same, worse])
    assert found.board["against_first"].isna()[0]
    assert found.board["against_first"][1].startswith("tie")
    assert "less accurate" in found.board["against_first"][2]
    pair = found.pairs.set_index(["first", "second"]).loc[("best", "worse")]
    assert pair["accuracy"] == pytest.approx(0.36)
    assert 0 < pair["accuracy_low"] < 0.36 < pair["accuracy_high"]
    assert pair["verdict"].startswith("best is more accurate")
    assert pair["mcnemar_p"] == pytest.approx(2**-36, abs=1e-12)  # 36 against 0: mid-p
    assert (found.pairs["mcnemar_holm"] >= found.pairs["mcnemar_p"]).all()


def test_images_that_a_run_knows_are_tested_apart(tmp_path):
    paths = tuple(f"{i:03d}" for i in range(20))
    runs = [_run(tmp_path / name, paths=paths, wrong=("001", "002")) for name in ("a", "b")]
    for run, known in zip(runs, (5, 8), strict=True):
        path = run / "eval" / "test" / "predictions.csv"
        table = pd.read_csv(path, dtype={"path": "str"})
        table["in_training"] = ["true" if i < known else "false" for i in range(20)]
        table.to_csv(path, index=False)
    found = _compare(runs)
    assert dict(zip(found.pairs["images"], found.pairs["n"], strict=True)) == {
        "all": 20,
        "clean": 12,
    }
    assert any("b 40.0\u00a0%" in note for note in found.notes)


def test_pooled_folds_are_ranked_by_the_mean_of_their_validation(tmp_path):
    runs = []
    for name, figures in (("first", (0.9, 0.7)), ("second", (0.9, 0.8))):
        runs.append(_run(tmp_path / name))
        for fold, val_f1 in enumerate(figures):
            _run(tmp_path / name / f"fold_{fold}", val_f1=val_f1)
        (tmp_path / name / "metrics.csv").unlink()
        status = json.loads((tmp_path / name / "status.json").read_text())
        status |= {"best_epoch": None, "parts": ["fold_0", "fold_1"]}
        (tmp_path / name / "status.json").write_text(json.dumps(status))
    board = _compare(runs).board
    assert board["run"].tolist() == ["second", "first"]
    assert board["val_macro_f1"].tolist() == pytest.approx([0.85, 0.8])


def test_groups_of_any_manifest_join_images(tmp_path):
    paths = ("a", "b", "c", "d")
    runs = [_run(tmp_path / name, paths=paths, shas=paths) for name in ("r", "s")]
    for run, groups in zip(runs, (["x", "x", "", ""], ["", "y", "y", ""]), strict=True):
        table = pd.read_csv(run / "manifest.csv").assign(group=groups)
        table.to_csv(run / "manifest.csv", index=False)
    assert _compare(runs).pairs["groups"].tolist() == [2]  # abc and d


def test_patients_that_no_manifest_names_are_not_counted(tmp_path):
    paths = ("a", "b", "c", "d")
    for name, patients in (("all", "ppqq"), ("some", "ppq "), ("none", "    ")):
        run = _run(tmp_path / name, paths=paths, shas=paths)
        named = [patient.strip() for patient in patients]
        pd.read_csv(run / "manifest.csv").assign(patient=named).to_csv(run / "manifest.csv")
    notes = " ".join(_compare([tmp_path / name for name in ("all", "some", "none")]).notes)
    assert "patients are known for 3 of 4 images only (some)" in notes
    assert "patients are not known (none)" in notes
    assert "p too small" not in " ".join(_compare([tmp_path / "all"]).notes)


def test_pooled_folds_take_groups_from_their_parts(tmp_path):
    paths = ("a", "b", "c", "d")
    for name in ("m", "n"):
        folds = _run(tmp_path / name, paths=paths)
        status = json.loads((folds / "status.json").read_text()) | {"parts": ["fold_0"]}
        (folds / "status.json").write_text(json.dumps(status))
        part = _run(folds / "fold_0", accuracy=None, shas=paths, paths=paths)
        table = pd.read_csv(part / "manifest.csv").assign(group=["x", "x", "y", ""])
        table.to_csv(part / "manifest.csv", index=False)
    assert _compare([tmp_path / "m", tmp_path / "n"]).pairs["groups"].tolist() == [3]


def test_seeds_with_test_splits_of_their_own_are_compared_seed_by_seed(tmp_path):
    for name in ("m", "n"):
        for seed, paths in ((0, ("a", "b")), (1, ("c", "d"))):
            _run(tmp_path / name / f"seed_{seed}", paths=paths, seed=seed, settings=name)
    found = _compare([tmp_path / "m", tmp_path / "n"])
    assert found.pairs["n"].tolist() == [4]


@pytest.mark.parametrize(
    "name", ["a|<b>", "<img src=x onerror=alert(1)>", "$\\frac$ 日本語", "w" * 200]
)
def test_comparison_is_written_and_names_do_no_harm(tmp_path, name):
    runs = [_run(tmp_path / name, val_f1=0.9), _run(tmp_path / "c", val_f1=0.8)]
    out = tmp_path / "out"
    write_comparison(out, _compare(runs))
    told, other = pd.read_csv(out / "comparison.csv")["run"]
    assert (told, other) == (name if len(name) <= 60 else "w" * 29 + "…" + "w" * 30, "c")
    assert list(pd.read_csv(out / "leaderboard.csv")["n"]) == [2, 2]
    assert list(pd.read_csv(out / "pairs.csv")["second"]) == ["c"]
    text = (out / "comparison.md").read_text()
    assert "<img" not in text
    assert "Ranked by" in text
    page = (out / "comparison.html").read_text()
    assert page.count("<img") == 2  # the two pictures
    assert "<script" not in page
    assert "default-src 'none'" in page
    for picture in ("comparison.png", "pareto.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def _no_pictures(monkeypatch):
    """A line in the place of each picture, which take most of the time."""
    line = io.BytesIO()
    Image.new("RGB", (1500, 1)).save(line, "PNG")
    monkeypatch.setattr(page, "to_png", lambda *_, **__: line.getvalue())


@pytest.mark.usefixtures("_no_pictures")
def test_the_policy_of_the_page_allows_its_own_style(tmp_path):
    write_comparison(tmp_path / "out", _compare([_run(tmp_path / "r")]))
    page = (tmp_path / "out" / "comparison.html").read_text()
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page


@pytest.mark.usefixtures("_no_pictures")
def test_the_page_says_when_test_ranked(tmp_path):
    runs = [_run(tmp_path / "r"), _run(tmp_path / "s")]
    write_comparison(tmp_path / "out", _compare(runs, by="test"))
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "by=test" in page
    assert misnamed_links(page) == []
    assert "by=test" in (tmp_path / "out" / "comparison.md").read_text()


_PUSHED = (
    "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
    ".map(e => e.ariaLabel)"
)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.usefixtures("_no_pictures")
def test_axe_finds_nothing_on_the_page_and_no_table_is_cut(tmp_path, browser):
    paths = tuple(f"{i}.jpg" for i in range(20))
    known = {"clean": {"accuracy": 0.5, "n": 1}, "floor": {"name": "f", "accuracy": 0.7}}
    shown = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")
    figures = {"balanced_accuracy": 1.0, "auroc": 1.0} | {f"{k}_ci": [0.7, 0.9] for k in shown}
    runs = [
        _run(tmp_path / "mobilenetv2_035_mhsa", paths=paths, figures=figures, **known),
        _run(tmp_path / "b", val_f1=0.8, paths=paths, wrong=paths[:15]),
        _run(tmp_path / "c", status="failed", accuracy=None),
    ]
    write_comparison(tmp_path / "out", _compare(runs))
    for width, is_dark in ((1280, False), (390, True)):
        browser.resize(width, 844, dark=is_dark)
        browser.open(tmp_path / "out" / "comparison.html")
        assert browser.audit() == ""
        assert browser.run(_PUSHED) == []


def test_all_jobs_failed_is_still_a_table(tmp_path):
    _run(tmp_path / "s" / "0", status="failed", accuracy=None)
    write_comparison(tmp_path / "out", _compare([tmp_path / "s"]))
    for name in ("comparison.md", "comparison.html"):
        assert "failed" in (tmp_path / "out" / name).read_text()


@pytest.mark.slow
def test_comparing_and_reporting_never_import_torch():
    code = (
        "import sys, braintumor.comparison.write, braintumor.report.write; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_runs_with_and_without_overrides_are_compared(tmp_path):
    """pandas 3 reads None among texts as NaN."""
    runs = [_run(tmp_path / name) for name in ("plain", "fast")]
    state = json.loads((runs[1] / "status.json").read_text())
    (runs[1] / "status.json").write_text(json.dumps(state | {"overrides": ["optimizer.lr=1e-2"]}))
    board = _compare(runs).board.set_index("run")
    assert board.loc["fast lr=1e-2", "overrides"] == "optimizer.lr=1e-2"
    assert pd.isna(board.loc["plain lr=default", "overrides"])


def test_a_sweep_shows_what_it_varied_and_nothing_else(tmp_path):
    for job, rate in (("0", "optimizer.lr=1e-3"), ("1", "optimizer.lr=1e-4")):
        run = _run(tmp_path / job)
        state = json.loads((run / "status.json").read_text())
        state["overrides"] = ["model=cnn_se", rate]
        (run / "status.json").write_text(json.dumps(state))
    table = compare_runs([tmp_path])
    assert sorted(table["overrides"]) == ["optimizer.lr=1e-3", "optimizer.lr=1e-4"]


def test_overrides_are_told_apart_as_a_shell_does(tmp_path):
    """A value with a space in it is one word."""
    shared = ["data.root='my mri'", "train.note='a b'"]
    assert _common([shell_line([*shared, "seed=1"]), shell_line([*shared, "seed=2"])]) == (
        shell_line(shared)
    )
    assert _common([shell_line(["data.root='my mri'"]), shell_line(["data.root='my ct'"])]) == ""


def test_an_undefined_interval_is_a_dash():
    nan = float("nan")
    row = {"auroc": 0.0125, "auroc_low": nan, "auroc_high": nan}
    assert _difference(row, "auroc") == "+0.0125"
    assert _difference(row | {"auroc_low": -0.01, "auroc_high": nan}, "auroc") == (
        "+0.0125 (-0.0100 to –)"
    )
    assert _difference(row | {"auroc": nan}, "auroc") == "–"


_WHY = "No overall figure can be quoted: all 2 images are known to the model from its training."


@pytest.mark.parametrize(
    ("quote", "headline"),
    [
        ({"images": "all"}, r"On test its accuracy is 100\.0\s%, n = 2\."),
        (None, r"On test its accuracy is 100\.0\s%, n = 2\."),  # of an earlier version
        (
            {"images": "clean"},
            r"On test its accuracy over images without a copy in training is 50\.0\s%, n = 1\.",
        ),
        ({"images": None, "why": _WHY}, r"No accuracy on test can be quoted; why stands below\."),
    ],
)
@pytest.mark.usefixtures("_no_pictures")
def test_the_headline_quotes_what_the_report_of_the_run_quotes(tmp_path, quote, headline):
    found = _compare([_run(tmp_path / "r", clean={"accuracy": 0.5, "n": 1}, quote=quote)])
    write_comparison(tmp_path / "out", found)
    text = (tmp_path / "out" / "comparison.html").read_text()
    said = re.search(r'class="headline">(.*?)</p>', text, re.S)
    assert re.search(headline, " ".join(said[1].split())), said[1]
    is_none = bool(quote) and quote["images"] is None
    for name in ("comparison.html", "comparison.md"):
        assert (_WHY in (tmp_path / "out" / name).read_text()) == is_none
    caption = (tmp_path / "out" / "leaderboard.tex").read_text()
    assert ("Reports of all runs quote no accuracy" in caption) == is_none


def test_of_several_seeds_the_most_careful_report_is_followed(tmp_path):
    quotes = ({"images": "all"}, {"images": None, "why": _WHY}, {"images": "clean"})
    runs = [
        _run(tmp_path / str(seed), seed=seed, settings="one", model="m", quote=quote)
        for seed, quote in enumerate(quotes)
    ]
    assert _compare(runs).board["quoted"].tolist() == ["none"]
    assert _compare(runs[::2]).board["quoted"].tolist() == ["clean"]


def test_the_table_of_a_console_has_100_columns(tmp_path):
    """Long names go over several lines, and intervals stand under their figures."""
    ends = {"accuracy_ci": [0.81234, 0.95678]}
    for name, seeds in (("w" * 60, 2), ("efficientnetb0 image_size=224 lr=0.001", 1)):
        for seed in range(seeds):
            _run(
                tmp_path / f"{name[:9]}{seed}", seed=seed, settings=name, model=name, figures=ends,
                accuracy=0.8 + seed / 10, clean={"accuracy": 0.5, "n": 1, **ends},
            )  # fmt: skip
    lines = [*_table(board_lines(_compare([*tmp_path.iterdir()])))]
    assert max(map(len, lines)) <= 100
    assert "accuracy" in lines[0] and "without copies" in lines[1]
    place = next(i for i, line in enumerate(lines) if "0.8500 ± 0.0707" in line)
    assert "(0.8123–0.9568)" in lines[place + 1]
    assert "2 runs, seeds 0, 1" in lines[place + 2]
