"""bt-eval: what is said of the images that the model has seen."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from torch import nn

import braintumor as bt
from braintumor.data.dataset import Dataset
from braintumor.data.sources.phantom import build
from braintumor.evaluation.leakage import leakage_by_groups
from braintumor.evaluation.provenance import about_training
from braintumor.models import classifier
from braintumor.models.folding import fold_batch_norm
from braintumor.workflows.describe import describe_accuracy
from support import Command


def _figures(clean: dict | None, contaminated: int | None, floor: dict | None) -> dict:
    return {
        "n": 1311, "all": {"accuracy": 0.975, "accuracy_ci": None}, "clean": clean,
        "contaminated": contaminated, "floor": floor,
    }  # fmt: skip


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `describe_accuracy` prints."""
    monkeypatch.setattr(logging.getLogger("braintumor"), "propagate", True)
    caplog.set_level(logging.INFO, "braintumor")
    return caplog.messages


def test_three_figures_stand_below_each_other(lines: list[str], caplog) -> None:
    floor = {"name": "eight intensity statistics", "accuracy": 0.899, "clean_accuracy": 0.697}
    clean = {"accuracy": 0.95, "accuracy_ci": [0.9203, 0.9690], "n": 319}
    describe_accuracy(_figures(clean, 992, floor))
    assert caplog.messages == [
        "accuracy, 95 % CI: all 0.975 (n=1311)",
        "  without copies in training 0.950 [0.920, 0.969] (n=319)",
        "  best floor 0.899 (eight intensity statistics)",
        "  992 of 1,311 images are known to the model from training",
    ]


def test_what_is_unknown_is_not_said(lines: list[str], caplog) -> None:
    describe_accuracy(_figures(None, None, None))
    describe_accuracy(_figures(None, 0, None))
    assert caplog.messages == [
        "accuracy, 95 % CI: all 0.975 (n=1311)",
        "accuracy, 95 % CI: all 0.975 (n=1311), none with a copy in training",
    ]


def test_why_no_figure_can_be_quoted_is_said_on_the_console(lines: list[str], caplog) -> None:
    why = "No overall figure can be quoted: none of no_tumor."
    describe_accuracy(_figures(None, 3, None) | {"quote": {"why": why}})
    assert any(why in line for line in caplog.messages)


def test_copies_of_training_images_in_other_data_are_told_apart(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    """A training slice as it is, one re-encoded and mirrored, beside slices of other patients."""
    rng = np.random.default_rng(0)
    manifest = pd.read_csv(trained / "manifest.csv")
    seen = manifest[manifest["split"].isin(["train", "val"])].groupby("label").head(1)
    config = yaml.safe_load((trained / "config.yaml").read_text())
    options = {
        key: value
        for key, value in config["data"].items()
        if key in ("patients", "slices_per_patient", "size_px", "seed", "test_share")
    }
    source = build(**options)
    items = {item.path: item for item in source.items}
    for label, path in zip(seen["label"], seen["path"], strict=True):
        folder = tmp_path / "other" / label
        folder.mkdir(parents=True)
        picture = np.asarray(source.read(items[path]))
        mirrored = Image.fromarray(np.ascontiguousarray(picture[:, ::-1]))
        mirrored.save(folder / "copy.jpg", quality=60)
        noise = rng.integers(0, 256, picture.shape, dtype=np.uint8)
        Image.fromarray(noise).save(folder / "new.png")
    root = tmp_path / "other"
    done = bt("eval", f"ckpt={trained}", "data=folder", f"data.root={root}", "run_dir=out",
              cwd=tmp_path, code=0)  # fmt: skip
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["n"], metrics["contaminated"], metrics["clean"]["n"]) == (8, 4, 4)
    assert set(metrics["shortcuts"]) == {"rim blanked", "centre blanked"}
    assert metrics["floor"] is None  # nothing of this data set was trained on
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table.loc[table["in_training"], "path"].str.endswith("copy.jpg").all()
    assert "without copies in training" in done.stdout
    trained_on = manifest.loc[manifest["split"].isin(["train", "val"]), "patient"].nunique()
    said = "Whether patients evaluated here were in training too is not known: the training data "
    assert f"{said}name {trained_on} patients, and patients of two data sets" in done.stdout
    assert "Intervals count each image as a patient of its own" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text()
    assert "on folder-other</h1>" in page
    assert "trained on phantom, " in page and "Data set phantom;" in page
    unknown = {"images": 8, "known": 0, "patients": 0, "compared_with_training": False}
    assert metrics["patients"] == unknown


def test_own_split_by_patient_is_clean_and_has_floors(trained: Path) -> None:
    stored = json.loads((trained / "eval" / "test" / "metrics.json").read_text())
    assert (stored["contaminated"], stored["clean"]) == (0, stored["all"])
    assert 0 < stored["floor"]["accuracy"] <= 1
    assert stored["patients"]["known"] == stored["patients"]["images"] == stored["n"]
    assert stored["patients"]["compared_with_training"]
    assert "may be too narrow" not in (trained / "eval" / "test" / "report.html").read_text()


@pytest.fixture
def data() -> Dataset:
    """Twelve images: p and q are each one patient or copies; excluded rows trained nobody."""
    rows = [
        ("train", "p"), ("train", None), ("val", "q"), ("val", None), ("test", "p"), ("test", "q"),
        ("test", None), ("test", "r"), ("excluded", "r"), ("excluded", None), ("train", None),
        ("val", "p"),
    ]  # fmt: skip
    manifest = pd.DataFrame(rows, columns=["split", "group"])
    manifest["label"] = ["a", "b"] * 6
    manifest["path"] = [f"{i}.png" for i in range(12)]
    manifest[["width", "height", "mode", "patient"]] = 8, 8, "L", None
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    return SimpleNamespace(manifest=manifest, pixels=pixels, classes=("a", "b"))  # type: ignore


def test_one_evaluation_folds_its_network_once(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight views, two occlusions and the curves of the heat maps run it, and more."""
    folded: list[object] = []

    def fold(net: nn.Module) -> nn.Module | None:
        folded.append(net)
        return fold_batch_norm(net)

    monkeypatch.setattr(classifier, "fold_batch_norm", fold)
    own = {"eval.views": 8, "eval.heatmaps": 2, "eval.examples": 0}
    found = bt.evaluate(ckpt=str(trained), run_dir=str(tmp_path / "eval"), **own)
    assert found.metrics["explanations"]
    assert len(folded) == 1


def test_of_all_images_those_trained_on_and_their_kin_are_known(data: Dataset) -> None:
    truth = leakage_by_groups(data, "all", refit=False)
    known = [True, True, True, True, True, True, False, False, False, False, True, True]
    assert truth.contaminated.tolist() == known
    assert truth.baselines is None


def test_of_the_test_split_the_kin_of_training_images_are_known(data: Dataset) -> None:
    truth = leakage_by_groups(data, "test", refit=False)
    assert truth.contaminated.tolist() == [True, True, False, False]
    assert (
        truth.baselines.answers.index.tolist()
        == data.manifest["path"][data.manifest["split"] == "test"].tolist()
    )
    assert about_training(truth.patients).startswith("Patients are not known")
    data.manifest["patient"] = [f"p{i}" for i in range(12)]
    known = leakage_by_groups(data, "test", refit=False).patients
    assert (known.evaluated.patients, known.trained.patients, known.are_compared) == (4, 6, True)


def test_of_the_training_split_nothing_is_claimed(data: Dataset) -> None:
    truth = leakage_by_groups(data, "train", refit=False)
    assert (truth.contaminated, truth.baselines) == (None, None)
