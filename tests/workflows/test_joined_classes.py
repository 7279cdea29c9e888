"""A model of several classes on data of yes and no, and the other way round."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from PIL import Image

from braintumor.data.sources.phantom import build
from braintumor.evaluation.common_classes import BINARY, heat_targets, in_classes, in_two
from braintumor.evaluation.evaluate import as_fitted
from braintumor.evaluation.record import measure
from braintumor.records import Predictions
from braintumor.runs.checkpoint import read_card
from braintumor.statistics.decisions import Decided, Decisions
from support import TINY, Command

pytestmark = pytest.mark.usefixtures("no_drawings")

FAST = ["eval.heatmaps=2", "eval.examples=2"]


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of another seed as files: four/<class> and two/<yes|no>, the same slices."""
    root = tmp_path_factory.mktemp("slices")
    source = build(patients=8, slices_per_patient=3, size_px=64, seed=5, test_share=0.0)
    for i, item in enumerate(source.items):
        for kind in (f"four/{item.label}", "two/no" if item.label == "no_tumor" else "two/yes"):
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(source.read(item))).save(root / kind / f"{i}.png")
    return root


def test_a_model_of_four_classes_is_judged_on_yes_and_no(
    bt: Command, trained: Path, slices: Path, tmp_path: Path
) -> None:
    words = [f"ckpt={trained}", "data=folder", *FAST]
    own = bt("eval", *words, f"data.root={slices / 'four'}", "run_dir=own", cwd=tmp_path, code=0)
    assert "joined" not in own.stdout
    two = bt("eval", *words, f"data.root={slices / 'two'}", "run_dir=two", cwd=tmp_path, code=0)
    assert "glioma, meningioma, pituitary count as tumor" in two.stdout
    by_name = {folder: _by_slice(tmp_path / folder) for folder in ("own", "two")}
    table = by_name["two"]
    assert [name for name in table if name.startswith("prob_")] == ["prob_no_tumor", "prob_tumor"]
    np.testing.assert_allclose(table["prob_tumor"], 1 - by_name["own"]["prob_no_tumor"], atol=1e-5)
    pd.testing.assert_series_equal(table["is_tumor"], by_name["own"]["is_tumor"])
    assert set(table["pred"]) <= {"no_tumor", "tumor"}
    metrics = json.loads((tmp_path / "two/metrics.json").read_text())
    is_tumor = table["true"].eq("tumor")
    auroc = sk.roc_auc_score(is_tumor, table["prob_tumor"])
    assert metrics["all"]["per_class"]["tumor"]["auroc"] == pytest.approx(auroc)
    assert metrics["all"]["auroc_ci"][0] <= auroc <= metrics["all"]["auroc_ci"][1]
    fitted = read_card(trained / "best.safetensors").decisions
    call = metrics["decisions"]["tumor_call"]
    assert call["threshold"] == fitted["threshold"]
    called = table["prob_tumor"] >= fitted["threshold"]
    clean = ~table["in_training"]
    assert call["sensitivity"] == pytest.approx(called[is_tumor & clean].mean())
    assert f"called tumor from {fitted['threshold']:.3g} on: sensitivity" in two.stdout
    assert metrics["decisions"]["fitted_on"]["temperature"] == fitted["temperature"]
    kept = metrics["decisions"]["abstention"]["kept"]
    assert [row["share"] for row in kept] == [1.0, 0.95, 0.9, 0.8]
    assert kept[0]["accuracy"] == pytest.approx(metrics["clean"]["accuracy"])
    report = (tmp_path / "two/report.html").read_text()
    assert metrics["classes_joined"] in report
    probs, truth = table["prob_tumor"][clean], is_tumor[clean]
    brier = 2 * ((probs - truth) ** 2).mean()
    assert metrics["calibration"]["after"]["brier"] == pytest.approx(brier, abs=1e-4)
    assert metrics["calibration"]["temperature"] == fitted["temperature"]
    assert 'id="calibration"' in report
    assert "Every image is answered" not in report


def test_four_classes_are_joined_where_binary_is_asked_for(
    bt: Command, trained: Path, slices: Path, tmp_path: Path
) -> None:
    words = [f"data.root={slices / 'four'}", "data.binary=true", *FAST, "run_dir=b"]
    done = bt("eval", f"ckpt={trained}", "data=folder", *words, cwd=tmp_path, code=0)
    assert "count as tumor" in done.stdout
    assert set(pd.read_csv(tmp_path / "b/predictions.csv")["true"]) == {"no_tumor", "tumor"}


def test_a_binary_model_is_judged_on_four_classes_and_says_so(
    bt: Command, slices: Path, tmp_path: Path
) -> None:
    bt("train", *TINY, "model=cnn", "data.binary=true", *FAST, "run_dir=run", cwd=tmp_path, code=0)
    root = f"data.root={slices / 'four'}"
    done = bt("eval", "ckpt=run", "data=folder", root, *FAST, "run_dir=four", cwd=tmp_path, code=0)
    assert "the classes of the data are joined: glioma, meningioma, pituitary" in done.stdout
    assert set(pd.read_csv(tmp_path / "four/predictions.csv")["true"]) == {"no_tumor", "tumor"}
    assert "classes of the data are joined" in (tmp_path / "four/report.html").read_text()
    bt("eval", "ckpt=run", f"on=[{slices}/four,{slices}/two]", "run_dir=m", cwd=tmp_path, code=0)
    table = pd.read_csv(tmp_path / "m/matrix.csv").set_index("data")
    assert table.loc["four", "n"] == table.loc["two", "n"] == 24
    assert table.loc["four", "accuracy"] == table.loc["two", "accuracy"]
    assert "labels of the data joined" in table.loc["four", "note"]


def test_classes_that_cannot_be_joined_are_still_refused(
    bt: Command, trained: Path, slices: Path, tmp_path: Path
) -> None:
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed/glioma").symlink_to(slices / "four/glioma")
    (tmp_path / "mixed/tumor").symlink_to(slices / "two/yes")
    words = ["eval", f"ckpt={trained}", "data=folder", "data.root=mixed"]
    said = bt(*words, cwd=tmp_path, code=2).stderr
    assert "the model does not know tumor; it knows glioma" in said
    advised = re.search(r"add (data.binary=true), .* or '(data.classes=.*?)', ", said)
    for number, word in enumerate(advised.groups()):
        bt(*words, word, *FAST, f"run_dir={number}", cwd=tmp_path, code=0)
    pictures = sorted((tmp_path / "mixed").glob("*/*"))
    rows = [f"{picture},{picture.parent.name}\n" for picture in pictures]
    (tmp_path / "list.csv").write_text("".join(["path,label\n", *rows]))
    table = ["eval", f"ckpt={trained}", "data=table", "data.table=list.csv"]
    said = bt(*table, cwd=tmp_path, code=2).stderr
    assert "add data.binary=true, " in said and "data.classes" not in said  # a table has none
    (tmp_path / "mixed/tumor").rename(tmp_path / "mixed/1")
    (tmp_path / "mixed/glioma").rename(tmp_path / "mixed/0")
    done = bt("eval", f"ckpt={trained}", "data=folder", "data.root=mixed", cwd=tmp_path, code=2)
    assert "in its own order, such as 'data.class_names=[glioma,menin" in done.stderr


def test_a_heat_map_is_of_the_class_that_speaks_for_the_joined_answer() -> None:
    """.3 + .1 + .2 of tumor against .4: the map is of the glioma, not of no_tumor."""
    logits = np.log(np.array([[0.3, 0.1, 0.4, 0.2], [0.1, 0.1, 0.7, 0.1]], np.float32))
    names = ("glioma", "meningioma", "no_tumor", "pituitary")
    own = Predictions(names, ("x", "y"), np.zeros(2, np.int64), logits)
    two = in_classes(own, ["tumor", "no_tumor"], ("no_tumor", "tumor"))
    assert heat_targets(own, two).tolist() == [0, 2]
    assert heat_targets(own, own).tolist() == [2, 2]


def test_what_validation_promised_of_the_classes_holds_of_two() -> None:
    """Sets are joined; answers of less than half of the probability promise none."""
    names = ("glioma", "meningioma", "no_tumor", "pituitary")
    sets = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]], bool)
    decided = Decided(np.zeros(4), None, sets, None, None, None, np.array([1, 1, 0, 1], bool))
    for confidence, is_kept in ((0.8, True), (0.5, True), (0.4, False), (None, False)):
        fitted = Decisions(9, 9, 2.0, 0.98, 0.5, 0.95, 0.7, 0.01, None, None, 0.02, confidence)
        decisions, two = in_two(fitted, decided, names)
        assert two.sets is not None
        assert two.sets.astype(int).tolist() == [[0, 1], [1, 0], [1, 1], [0, 0]]
        assert (two.is_answered is not None) == is_kept
        assert (decisions.temperature, decisions.confidence) == (1.0, None)


def test_temperature_and_confidence_are_told_as_they_were_fitted() -> None:
    """On the classes of the model; what the temperature changed is seen in the joined answers."""
    names, rng = ("glioma", "meningioma", "no_tumor", "pituitary"), np.random.default_rng(0)
    paths, labels = tuple(map(str, range(40))), rng.integers(0, 4, 40)
    logits = rng.normal(0, 3, (40, 4)).astype(np.float32)
    own = Predictions(names, paths, labels, logits, temperature=3.0)
    true = ["no_tumor" if label == 2 else "tumor" for label in labels]
    joined, plain = (
        in_classes(dataclasses.replace(own, temperature=t), true, BINARY) for t in (3.0, 1.0)
    )
    decided = Decided(np.zeros(40), None, None, None, None, None, np.ones(40, bool))
    fitted = Decisions(9, 9, 3.0, 0.98, 0.5, 0.95, None, 0.01, None, None, 0.02, 0.8)
    decisions, two = in_two(fitted, decided, names)
    found = measure(joined, "test", decisions=decisions, decided=two)
    told = as_fitted(found, own, plain, fitted.confidence)
    assert told.decision_summary and told.calibration
    assert told.decision_summary["fitted_on"]["temperature"] == 3.0
    assert told.decision_summary["abstention"]["fitted"]["confidence"] == 0.8
    for when, at in (("before", 1.0), ("after", 3.0)):
        probs = np.exp(logits / at) / np.exp(logits / at).sum(axis=1, keepdims=True)
        wrong = 1 - np.where(labels == 2, probs[:, 2], 1 - probs[:, 2])
        assert told.calibration[when]["brier"] == pytest.approx(2 * (wrong**2).mean(), abs=1e-4)


def _by_slice(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "predictions.csv")
    return table.set_index(table["path"].str.rpartition("/")[2]).sort_index()
