"""The folder eval/<split>/: complete, recomputable, replaced as a whole."""

from __future__ import annotations

import dataclasses
import io
import json
import time

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from PIL import Image

from braintumor.records import Predictions
from braintumor.report import page
from braintumor.report import write as evidence
from braintumor.report.write import write
from braintumor.statistics.decisions import DecisionSettings, decide, fit_decisions
from made_up import evaluation_of

FILES = {
    "metrics.json", "classification_report.txt", "confusion_matrix.csv", "confusion_matrix.png",
    "predictions.csv", "roc.png", "pr.png", "calibration.png", "examples.png", "cam",
    "report.html", "errors.csv", ".braintumor",
}  # fmt: skip


@pytest.fixture
def blank_pictures(monkeypatch):
    """A white dot for every chart, where a test is about everything else; gives the charts."""
    buffer, drawn = io.BytesIO(), []
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    for module in (page, evidence):
        monkeypatch.setattr(
            module, "to_png", lambda figure, *_, **__: drawn.append(figure) or buffer.getvalue()
        )
    return drawn


def _write(folder, p, images=None, heatmaps=None, history=None, pictures=None, **more):
    about = {"model_name": "m", "data_name": "d", "history": history, "pictures": pictures or {}}
    known = [more.pop(name, None) for name in ("contaminated", "floors", "occluded")]
    evaluation = evaluation_of(p, *known, images=images, heatmaps=heatmaps, about=about, **more)
    write(evaluation, folder)
    return evaluation.to_dict()


def test_folder_holds_the_files_of_the_contract(tmp_path, make_predictions, images, history):
    heat = {i: np.full((24, 24), 0.5, np.float32) for i in (3, 40)}
    Image.new("RGB", (60, 40)).save(tmp_path / "balance.png")
    folder = tmp_path / "eval" / "test"
    given = {"Class balance": tmp_path / "balance.png"}
    _write(folder, make_predictions(), images, heat, history, pictures=given)
    assert {entry.name for entry in folder.iterdir()} == FILES
    assert {entry.name for entry in (folder / "cam").iterdir()} == {"00003.png", "00040.png"}
    assert [entry.name for entry in folder.parent.iterdir()] == ["test"]  # nothing temporary
    html = (folder / "report.html").read_text()
    assert "Class balance" in html
    assert "Loss and accuracy over the epochs" in html
    assert html.count("The same slice with the heat map") == 2


@pytest.mark.usefixtures("blank_pictures")
def test_metrics_file_is_what_is_returned_with_null_for_undefined(tmp_path):
    labels = np.array([0, 0, 1])
    p = Predictions(("a", "b", "c"), ("x", "y", "z"), labels, np.eye(3)[labels])
    returned = _write(tmp_path / "e", p)
    stored = json.loads((tmp_path / "e" / "metrics.json").read_text())
    keys = ["split", "n", "all", "clean", "contaminated", "patients", "floor", "shortcuts"]
    keys += ["calibration", "decisions", "explanations", "quote", "classes_joined"]
    assert list(stored) == keys
    assert (stored["split"], stored["n"]) == ("test", 3)
    unknown = {"images": 3, "known": 0, "patients": 0, "compared_with_training": False}
    assert stored.pop("patients") == unknown
    quote = stored.pop("quote")
    assert (quote["images"], quote["n"], quote["why"]) == ("all", 3, None)
    assert [stored[key] for key in list(stored)[3:]] == [None] * 8  # nothing of it was given
    assert stored["all"]["per_class"]["c"]["recall"] is None
    assert np.isnan(returned["all"]["per_class"]["c"]["recall"])
    assert stored["all"]["accuracy"] == returned["all"]["accuracy"] == 1


@pytest.mark.usefixtures("blank_pictures")
def test_figures_can_be_recomputed_from_predictions_csv(tmp_path, make_predictions):
    p = make_predictions(skill=1.0)
    found = _write(tmp_path / "e", p)["all"]
    table = pd.read_csv(tmp_path / "e" / "predictions.csv")
    assert list(table.columns) == ["path", "true", "pred", *(f"prob_{c}" for c in p.classes)]
    assert tuple(table["path"]) == p.paths
    assert sk.accuracy_score(table["true"], table["pred"]) == pytest.approx(found["accuracy"])
    probs = table[[f"prob_{c}" for c in p.classes]].to_numpy()
    assert sk.roc_auc_score(np.eye(4)[p.labels], probs) == pytest.approx(found["auroc"])
    matrix = pd.read_csv(tmp_path / "e" / "confusion_matrix.csv", index_col="true")
    assert list(matrix.columns) == list(matrix.index) == list(p.classes)
    assert matrix.loc["glioma"].sum() == (p.labels == 0).sum()
    assert matrix.to_numpy().trace() == (p.labels == p.predicted).sum()


@pytest.mark.usefixtures("blank_pictures")
def test_clean_block_is_that_of_an_evaluation_of_the_clean_images_alone(
    tmp_path, make_predictions, floors
):
    p = make_predictions(skill=1.0)
    contaminated = np.arange(120) % 3 == 0
    blanked = {"rim blanked": make_predictions(seed=1)}
    found = _write(tmp_path / "e", p, contaminated=contaminated, floors=floors, occluded=blanked)
    left = Predictions(
        p.classes,
        tuple(path for path, seen in zip(p.paths, contaminated, strict=True) if not seen),
        p.labels[~contaminated],
        p.logits[~contaminated],
    )
    assert found["clean"] == _write(tmp_path / "alone", left)["all"]
    assert (found["contaminated"], found["clean"]["n"]) == (40, 80)
    best = {"name": "eight intensity statistics", "accuracy": 0.8, "clean_accuracy": 0.7}
    assert found["floor"].items() >= best.items()
    is_right = blanked["rim blanked"].predicted == blanked["rim blanked"].labels
    assert found["shortcuts"]["rim blanked"] == {
        "accuracy": pytest.approx(is_right.mean()),
        "clean_accuracy": pytest.approx(is_right[~contaminated].mean()),
    }
    table = pd.read_csv(tmp_path / "e" / "predictions.csv")
    assert table.columns[-1] == "in_training"
    assert table["in_training"].tolist() == contaminated.tolist()
    assert {"floors.csv", "floors.png"} <= {entry.name for entry in (tmp_path / "e").iterdir()}
    assert not (tmp_path / "alone" / "floors.png").exists()


def test_decisions_and_calibration_are_measured_on_images_without_a_copy(
    tmp_path, make_predictions, blank_pictures
):
    settings = DecisionSettings(
        sensitivity=0.9, prevalence=None, coverage=0.9, risk=0.2, reject=0.02
    )
    decisions = fit_decisions(make_predictions(300, seed=5), None, None, settings)
    p = dataclasses.replace(make_predictions(), temperature=decisions.temperature)
    is_known, scores = np.arange(120) % 3 == 0, np.linspace(0, 1, 120)
    decisions = dataclasses.replace(decisions, outlier_threshold=0.5)
    groups, decided = np.arange(120) // 2, decide(p, decisions, scores)
    how = {"decisions": decisions, "groups": groups, "decided": decided}
    found = _write(tmp_path / "e", p, contaminated=is_known, **how)
    left = p.subset(~is_known)
    how_left = {"decided": decide(left, decisions, scores[~is_known]), "groups": groups[~is_known]}
    alone = _write(tmp_path / "alone", left, **(how | how_left))
    titles = [drawn.axes[0].get_title(loc="left") for drawn in blank_pictures if drawn.axes]
    assert "Calibration of the top probability (n = 80)" in titles
    assert "Calibration of the top probability (n = 120)" not in titles
    assert found["decisions"] == alone["decisions"]
    assert found["calibration"] == alone["calibration"]
    assert found["decisions"]["foreign"]["n"] == 80
    page = (tmp_path / "e" / "report.html").read_text()
    assert page.count("40 of the images evaluated here are known from training or validation") == 2
    everything = _write(tmp_path / "known", p, contaminated=np.ones(120, bool), **how)
    assert everything["decisions"]["foreign"]["n"] == 120


@pytest.mark.usefixtures("blank_pictures")
def test_clean_is_null_when_every_image_is_known(tmp_path, make_predictions):
    found = _write(tmp_path / "e", make_predictions(), contaminated=np.ones(120, bool))
    assert (found["clean"], found["contaminated"]) == (None, 120)


@pytest.mark.usefixtures("blank_pictures")
def test_rerun_leaves_nothing_of_the_former_run_but_what_is_not_ours(
    tmp_path, make_predictions, images
):
    folder = tmp_path / "e"
    _write(folder, make_predictions(), images, {7: np.ones((24, 24), np.float32)})
    (folder / "notes.txt").write_text("mine")
    _write(folder, make_predictions(seed=1), images, {8: np.ones((24, 24), np.float32)})
    assert [entry.name for entry in (folder / "cam").iterdir()] == ["00008.png"]
    _write(folder, make_predictions())
    left = {entry.name for entry in folder.iterdir()}
    assert left == FILES - {"cam", "examples.png"} | {"notes.txt"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["e"]


@pytest.mark.usefixtures("blank_pictures")
def test_failure_in_the_middle_keeps_the_former_evaluation(tmp_path, make_predictions, monkeypatch):
    folder = tmp_path / "e"
    _write(folder, make_predictions())
    before = (folder / "metrics.json").read_bytes()
    monkeypatch.setattr(evidence, "render", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _write(folder, make_predictions(seed=1))
    assert (folder / "metrics.json").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["e"]


@pytest.mark.usefixtures("blank_pictures")
def test_hostile_names_are_written_and_name_no_file(tmp_path, images):
    classes = ("$\\frac$", "../../etc", "日本語")
    labels = np.arange(120) % 3
    paths = tuple(f"<img src=x onerror=alert({i})>\udce9{'y' * 300}.jpg" for i in range(120))
    p = Predictions(classes, paths, labels, np.eye(3)[(labels + 1) % 3])
    _write(tmp_path / "e", p, images, {0: np.ones((24, 24), np.float32)})
    assert {entry.name for entry in (tmp_path / "e").iterdir()} == FILES
    assert "<img src=x" not in (tmp_path / "e" / "report.html").read_text()


@pytest.mark.usefixtures("blank_pictures")
def test_no_examples_without_images_or_errors(tmp_path, make_predictions, images):
    _write(tmp_path / "e", make_predictions(skill=100.0), images)
    html = (tmp_path / "e" / "report.html").read_text()
    assert "Right answers, from sure to unsure" in html
    assert "Wrong answers" not in html


def test_1300_images_give_a_small_report_in_seconds(tmp_path, make_predictions, history):
    p = make_predictions(n=1311)
    images = np.random.default_rng(0).integers(0, 256, (1311, 128, 128), dtype=np.uint8)
    heat = {i: images[i] / np.float32(255) for i in range(0, 1311, 82)}
    start = time.perf_counter()
    _write(tmp_path / "e", p, images, heat, history)
    assert time.perf_counter() - start < 30  # 3 s on two idle cores; a slow machine is no fault
    assert len(heat) == 16
    assert (tmp_path / "e" / "report.html").stat().st_size < 5e6


@pytest.mark.usefixtures("blank_pictures")
def test_intervals_count_groups_and_not_images(tmp_path, make_predictions):
    """Every picture ten times, as one group each: as wide as if each stood there once."""
    once = make_predictions(100)
    tenfold = Predictions(
        once.classes, once.paths * 10, np.tile(once.labels, 10), np.tile(once.logits, (10, 1))
    )
    alone = _write(tmp_path / "alone", once)
    naive = _write(tmp_path / "naive", tenfold)
    grouped = _write(tmp_path / "grouped", tenfold, groups=np.tile(np.arange(100), 10))
    for name in ("accuracy", "macro_f1", "auroc"):
        width = [np.ptp(found["all"][f"{name}_ci"]) for found in (alone, naive, grouped)]
        assert width[1] < 0.5 * width[0], name
        assert width[2] == pytest.approx(width[0], rel=0.15), name
