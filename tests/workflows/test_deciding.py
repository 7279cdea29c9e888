"""What validation fits after training: on the checkpoint, and in what is said of other images."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from scipy.special import logsumexp, softmax

from braintumor.data.sources import build_source
from braintumor.runs.checkpoint import load_classifier, load_outliers, read_card, save_best
from braintumor.statistics.confidence import fit_temperature
from foreign import FOREIGN, make_foreign
from support import Command

pytestmark = pytest.mark.usefixtures("no_drawings")

PHANTOM = ("patients", "slices_per_patient", "size_px", "seed", "test_share")


@pytest.fixture(scope="module")
def run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run that these tests may write into."""
    return Path(shutil.copytree(trained, tmp_path_factory.mktemp("deciding") / "run"))


def test_temperature_is_that_of_validation(bt: Command, run: Path) -> None:
    """bt-eval split=val gives calibrated probabilities; undone, they fit the same temperature."""
    decisions = read_card(run / "best.safetensors").decisions
    assert decisions is not None
    bt(
        "eval", "ckpt=run", "split=val", "eval.heatmaps=0", "eval.examples=0", cwd=run.parent,
        code=0,
    )  # fmt: skip
    table = pd.read_csv(run / "eval" / "val" / "predictions.csv")
    assert decisions["n"] == len(table)
    names = [name for name in table if name.startswith("prob_")]
    logits = np.log(table[names].to_numpy()) * decisions["temperature"]
    labels = table["true"].map({name[5:]: k for k, name in enumerate(names)}).to_numpy()
    assert fit_temperature(logits, labels) == pytest.approx(decisions["temperature"], rel=1e-3)


def test_figures_of_test_are_those_after_the_temperature(run: Path) -> None:
    metrics = json.loads((run / "eval" / "test" / "metrics.json").read_text())
    summary, after = metrics["calibration"], metrics["calibration"]["after"]
    assert summary["temperature"] == read_card(run / "best.safetensors").decisions["temperature"]
    assert metrics["all"]["loss"] == pytest.approx(after["loss"], abs=1e-12)
    table = pd.read_csv(run / "eval" / "test" / "predictions.csv")
    probs = table[[name for name in table if name.startswith("prob_")]].to_numpy()
    labels = table["true"].map({n: k for k, n in enumerate(sorted(set(table["true"])))})
    of_truth = probs[np.arange(len(table)), labels]
    assert -np.log(of_truth).mean() == pytest.approx(after["loss"], rel=1e-6)
    raw = np.log(probs) * summary["temperature"]  # up to a constant of each row
    before = (logsumexp(raw, axis=1) - raw[np.arange(len(table)), labels]).mean()
    assert before == pytest.approx(summary["before"]["loss"], rel=1e-5)


def test_calls_stand_beside_the_probabilities(run: Path) -> None:
    decisions = read_card(run / "best.safetensors").decisions
    table = pd.read_csv(run / "eval" / "test" / "predictions.csv", dtype={"is_tumor": str})
    tumor = 1 - table["prob_no_tumor"]
    assert table["tumor_prob"].to_numpy() == pytest.approx(tumor.to_numpy(), abs=1e-6)
    expected = np.where(table["tumor_prob"] >= decisions["threshold"], "true", "false")
    assert table["is_tumor"].tolist() == expected.tolist()
    call = json.loads((run / "eval" / "test" / "metrics.json").read_text())["decisions"]
    called = table["is_tumor"].eq("true")[table["true"].ne("no_tumor")].mean()
    assert call["tumor_call"]["sensitivity"] == pytest.approx(called)


def test_every_figure_has_an_interval_that_holds_it(run: Path) -> None:
    figures = json.loads((run / "eval" / "test" / "metrics.json").read_text())["all"]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "loss", "brier"):
        low, high = figures[f"{name}_ci"]
        assert low <= figures[name] <= high
    report = (run / "eval" / "test" / "report.html").read_text()
    assert "95 % CI" in report.replace("\N{NO-BREAK SPACE}", " ")


def test_predict_says_what_is_foreign(bt: Command, run: Path) -> None:
    folder = run.parent / "scans"
    folder.mkdir()
    for kind in ("noise", "text"):
        name = next(name for name in FOREIGN if kind in name)
        Image.fromarray(make_foreign(name, 1, 96)[0]).save(folder / f"{kind}.png")
    done = bt("predict", "ckpt=run", "input=scans", "run_dir=out", cwd=run.parent, code=0)
    table = pd.read_csv(run.parent / "out" / "predictions.csv", dtype={"foreign": str})
    limit = read_card(run / "best.safetensors").decisions["outlier_threshold"]
    assert table["foreign"].eq("true").tolist() == (table["outlier_score"] > limit).tolist()
    assert (table["foreign"] == "true").any()
    assert "foreign: not like the training images" in done.stdout


def test_predict_gives_the_probabilities_of_the_evaluation(bt: Command, run: Path) -> None:
    """The same slices as files: calibrated in both commands, and decided alike."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    source = build_source("phantom", {k: config["data"][k] for k in PHANTOM})
    evaluated = pd.read_csv(run / "eval" / "test" / "predictions.csv", index_col="path")
    items = [item for item in source.items if item.path in evaluated.index][:6]
    folder = run.parent / "slices"
    folder.mkdir()
    for i, item in enumerate(items):
        Image.fromarray(source.read(item)).save(folder / f"{i}.png")
    bt("predict", "ckpt=run", "input=slices", "run_dir=same", cwd=run.parent, code=0)
    found = pd.read_csv(run.parent / "same" / "predictions.csv")
    expected = evaluated.loc[[item.path for item in items]]
    assert set(found["upside_down"].astype(str).str.lower()) <= {"true", "false"}
    assert found["upside_down"].tolist() == expected["upside_down"].tolist()
    names = [name for name in found if name.startswith("prob_")] + ["outlier_score"]
    assert found[names].to_numpy() == pytest.approx(expected[names].to_numpy(), abs=2e-4)
    assert found["is_tumor"].tolist() == expected["is_tumor"].tolist()


def test_what_the_model_is_not_sure_of_is_left_to_a_person(bt: Command, run: Path) -> None:
    """By the confidence on the checkpoint; few images cannot show one, so it is set here."""
    evaluated = pd.read_csv(run / "eval" / "test" / "predictions.csv")
    assert "answered" not in evaluated
    names = [name for name in evaluated if name.startswith("prob_")]
    confidence = float(evaluated[names].max(axis=1).median())
    path = run / "best.safetensors"
    model, card = load_classifier(path, torch.device("cpu"))
    decisions = {**card.decisions, "risk": 0.1, "confidence": confidence}
    other = run.parent / "sure.safetensors"
    card = dataclasses.replace(card, decisions=decisions)
    save_best(other, model.state_dict(), card, load_outliers(path))
    options = ["eval.heatmaps=0", "eval.examples=0", "run_dir=sure"]
    bt("eval", "ckpt=sure.safetensors", *options, cwd=run.parent, code=0)
    table = pd.read_csv(run.parent / "sure" / "predictions.csv", dtype={"answered": str})
    is_sure = table[names].max(axis=1) >= confidence
    assert table["answered"].eq("true").tolist() == is_sure.tolist()
    fitted = json.loads((run.parent / "sure" / "metrics.json").read_text())["decisions"]
    fitted = fitted["abstention"]["fitted"]
    assert fitted["share"] == pytest.approx(is_sure.mean())
    wrong = (table["true"] != table["pred"])[is_sure].mean()
    assert fitted["risk"] == pytest.approx(wrong)
    picture = run.parent / "flat.png"
    Image.fromarray(np.full((96, 96), 60, np.uint8)).save(picture)
    card = dataclasses.replace(card, decisions=decisions | {"confidence": 1.0})
    save_best(other, model.state_dict(), card, load_outliers(path))
    done = bt("predict", "ckpt=sure.safetensors", "input=flat.png", "run_dir=p", cwd=run.parent)
    assert "not sure enough: leave it to a person" in done.stdout


def test_predict_says_where_the_threshold_and_the_most_probable_class_differ(
    bt: Command, run: Path
) -> None:
    """And a name with a line break stays one row of the table."""
    path = run / "best.safetensors"
    model, card = load_classifier(path, torch.device("cpu"))
    folder = run.parent / "broken"
    folder.mkdir()
    Image.fromarray(np.full((96, 96), 60, np.uint8)).save(folder / "a\rb.png")
    for threshold, said in ((0.0, "above the threshold"), (1.0, "below the threshold")):
        decisions = {**card.decisions, "threshold": threshold}
        named = dataclasses.replace(card, decisions=decisions)
        save_best(run.parent / "called.safetensors", model.state_dict(), named, load_outliers(path))
        done = bt(
            "predict", "ckpt=called.safetensors", "input=broken", "run_dir=c", "overwrite=true",
            cwd=run.parent, code=0,
        )  # fmt: skip
        table = pd.read_csv(run.parent / "c" / "predictions.csv", dtype={"is_tumor": str})
        assert len(table) == 1
        is_called, is_tumor = table["is_tumor"][0] == "true", table["pred"][0] != "no_tumor"
        assert is_called == (threshold == 0)
        assert (said in done.stdout) == (is_called != is_tumor)


def test_other_views_than_the_thresholds_were_fitted_with_are_warned_of(
    bt: Command, run: Path
) -> None:
    options = ["ckpt=run", "eval.heatmaps=0", "eval.examples=0", "run_dir=views"]
    fitted = yaml.safe_load((run / "config.yaml").read_text())["eval"]["views"]
    done = bt("eval", *options, f"eval.views={fitted + 1}", cwd=run.parent)
    assert f"fitted with {fitted}" in done.stdout + done.stderr
    done = bt("eval", *options, cwd=run.parent)
    assert "were fitted with" not in done.stdout + done.stderr


def test_prevalence_changes_predictive_values_alone(bt: Command, run: Path) -> None:
    options = ["ckpt=run", "eval.heatmaps=0", "eval.examples=0", "run_dir=rare", "prevalence=0.01"]
    bt("eval", *options, cwd=run.parent, code=0)
    before, after = (
        json.loads((folder / "metrics.json").read_text())["decisions"]["tumor_call"]
        for folder in (run / "eval" / "test", run.parent / "rare")
    )
    sensitivity, specificity = after["sensitivity"], after["specificity"]
    assert (sensitivity, specificity) == (before["sensitivity"], before["specificity"])
    positives = 0.01 * sensitivity + 0.99 * (1 - specificity)
    assert after["ppv"] == pytest.approx(0.01 * sensitivity / positives)
    assert before["prevalence"] == pytest.approx(0.75)
    done = bt("eval", "ckpt=run", "prevalence=2", cwd=run.parent, code=2)
    assert "`prevalence=2.0` should be above 0 and below 1" in done.stderr


def test_a_checkpoint_of_a_training_that_did_not_end_is_evaluated_as_it_is(
    bt: Command, run: Path
) -> None:
    model, card = load_classifier(run / "best.safetensors", torch.device("cpu"))
    cut = run.parent / "cut.safetensors"
    save_best(cut, model.state_dict(), dataclasses.replace(card, decisions=None))
    options = ["eval.heatmaps=0", "eval.examples=0", "run_dir=plain"]
    done = bt("eval", "ckpt=cut.safetensors", *options, cwd=run.parent, code=0)
    assert "since its training did not end; go on with `bt-train resume=" in done.stdout
    metrics = json.loads((run.parent / "plain" / "metrics.json").read_text())
    assert metrics["decisions"] is None and metrics["calibration"] is None
    table = pd.read_csv(run.parent / "plain" / "predictions.csv")
    names = [name for name in table if name.startswith("prob_")]
    calibrated = pd.read_csv(run / "eval" / "test" / "predictions.csv")[names].to_numpy()
    temperature = card.decisions["temperature"]
    again = softmax(np.log(table[names].to_numpy()) / temperature, axis=1)
    assert again == pytest.approx(calibrated, abs=1e-5)
    Image.new("L", (32, 32)).save(run.parent / "x.png")
    bt("predict", "ckpt=cut.safetensors", "input=x.png", "run_dir=cut", cwd=run.parent, code=0)
