"""A folder of folds as one model: the mean of the answers, and all that any of them knows."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import braintumor as bt_api
from braintumor.errors import CheckpointError
from braintumor.evaluation.heatmaps import heat_cells
from braintumor.models.ensemble import Ensemble
from braintumor.runs.checkpoint import load_classifier, read_card, save_best
from braintumor.runs.ensemble import load_network, read_model_card
from braintumor.runs.folder import RunFolder
from support import TINY, Command

pytestmark = pytest.mark.usefixtures("no_drawings")

CPU = torch.device("cpu")
QUICK = ["eval.heatmaps=2", "eval.examples=2", "eval.views=2"]


@pytest.fixture(scope="module")
def folds(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of phantoms."""
    folder = tmp_path_factory.mktemp("folds")
    done = bt("train", *TINY, *QUICK, "split=grouped", "folds=2", "run_dir=two", cwd=folder, code=0)
    assert done.stdout.splitlines()[-1] == "report: two/eval/pooled/report.html"
    return folder / "two"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures that no fold has seen."""
    (tmp_path / "new").mkdir()
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "new" / f"{i}.png")
    return tmp_path / "new"


def test_the_answer_is_the_mean_of_the_members_at_their_temperatures(
    folds: Path, pictures: Path
) -> None:
    alone = [bt_api.load(folds / name).predict(str(pictures)) for name in ("fold_0", "fold_1")]
    loaded = bt_api.load(folds)
    assert "ensemble of 2 models" in repr(loaded)
    table = loaded.predict(str(pictures))
    probs = [name for name in table if name.startswith("prob_")]
    expected = (alone[0][probs] + alone[1][probs]) / 2
    pd.testing.assert_frame_equal(table[probs], expected, atol=1e-6, rtol=0)
    best = expected.idxmax(axis=1).str.removeprefix("prob_")
    assert table["pred"].tolist() == best.tolist()
    assert set(table) == {"path", "pred", *probs}  # no decision of one model is passed off
    assert set(alone[0]) > set(table)


def test_heat_maps_are_the_mean_of_the_members(folds: Path) -> None:
    network, card = load_network(folds, CPU)
    assert isinstance(network, Ensemble)
    size = (2, card.image_size, card.image_size)
    images = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    targets = np.array([0, 1])
    maps = [heat_cells(m, images, targets, "gradcam", "backbone") for m in network.members]
    found = heat_cells(network, images, targets, "gradcam", "backbone")
    np.testing.assert_allclose(found, (maps[0] + maps[1]) / 2, atol=1e-6)
    x = torch.from_numpy(images)[:, None]
    with torch.no_grad(), network.fused():
        pairs = zip(network.members, network.temperatures, strict=True)
        expected = torch.stack([(m(x) / t).softmax(1) for m, t in pairs]).mean(0)
        torch.testing.assert_close(network(x).softmax(1), expected)


def test_what_any_member_was_trained_on_is_known_to_all(folds: Path) -> None:
    own = [read_card(folds / name / "best.safetensors") for name in ("fold_0", "fold_1")]
    card = read_model_card(folds)
    assert set(card.training_hashes) == set(own[0].training_hashes) | set(own[1].training_hashes)
    assert set(card.training_hashes) > set(own[0].training_hashes)
    assert set(card.training_phashes) > set(own[0].training_phashes)
    manifest = pd.read_csv(folds / "fold_0" / "manifest.csv")
    assert card.patients["patients"] == manifest["patient"].nunique()
    assert card.decisions is None


def test_commands_say_ensemble_and_write_as_for_one_model(
    bt: Command, folds: Path, pictures: Path
) -> None:
    where = pictures.parent
    done = bt("predict", f"ckpt={folds}", "input=new", "run_dir=out", cwd=where, code=0)
    assert "ensemble of 2 models" in done.stdout
    assert "none is applied, and the answer is the most probable class" in done.stdout
    assert (where / "out" / "cam" / "00002.png").is_file()

    refused = bt("eval", f"ckpt={folds}", cwd=where, code=2)
    assert "others were trained on" in refused.stderr and "data.root=DIR" in refused.stderr

    words = [*QUICK, "data=phantom", "data.patients=24", "split=all"]
    done = bt("eval", f"ckpt={folds}", *words, "run_dir=on_known", cwd=where, code=0)
    assert "ensemble of 2 models" in done.stdout
    metrics = json.loads((where / "on_known" / "metrics.json").read_text())
    assert metrics["contaminated"] == metrics["n"]  # each was in the training of one of them
    assert metrics["decisions"] is None
    page = (where / "on_known" / "report.html").read_text()
    assert "averaged over 2 models and 2 views" in page


def test_members_that_are_missing_or_others_are_named(
    folds: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parent = RunFolder(tmp_path)
    parent.set_status("failed", parts=["fold_0", "fold_1"])
    for name in ("fold_0", "fold_1"):
        (tmp_path / name).mkdir()
        RunFolder(tmp_path / name).set_status("completed")
        weights = (folds / name / "best.safetensors").read_bytes()
        (tmp_path / name / "best.safetensors").write_bytes(weights)
    with caplog.at_level(logging.INFO, "braintumor"):
        assert len(bt_api.load(tmp_path).network.members) == 2
    network, card = load_classifier(tmp_path / "fold_1" / "best.safetensors", CPU)
    other = dataclasses.replace(card, classes=card.classes[::-1])
    save_best(tmp_path / "fold_1" / "best.safetensors", network.state_dict(), other)
    with pytest.raises(CheckpointError, match=r"classes is .* in fold_1"):
        bt_api.load(tmp_path)
    untempered = dataclasses.replace(card, decisions=None)
    save_best(tmp_path / "fold_1" / "best.safetensors", network.state_dict(), untempered)
    with pytest.raises(CheckpointError, match=r"fold_1.* has no temperature yet"):
        bt_api.load(tmp_path)
    RunFolder(tmp_path / "fold_0").set_status("failed")
    with pytest.raises(CheckpointError, match=r"not all .* \(fold_0\).*resume=.*alone: .*fold_1"):
        bt_api.load(tmp_path)
