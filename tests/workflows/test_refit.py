"""train.refit: what the run folder holds, what is evaluated, and how it is resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from braintumor.evaluation.baseline_figures import Baselines
from braintumor.evaluation.baselines import answer_baselines
from braintumor.runs.checkpoint import load_outliers, read_card
from support import TINY, Command

pytestmark = pytest.mark.usefixtures("no_drawings")

REFIT = [*TINY, "train.max_epochs=3", "train.refit=true", "train.early_stopping.metric=val_loss"]


@pytest.fixture(scope="module")
def refitted(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refitted")
    done = bt("train", *REFIT, "run_dir=run", cwd=folder, code=0)
    (folder / "stdout.txt").write_text(done.stdout)
    return folder / "run"


def test_the_second_training_has_the_images_of_validation(refitted: Path) -> None:
    counts = pd.read_csv(refitted / "manifest.csv")["split"].value_counts()
    output = (refitted.parent / "stdout.txt").read_text()
    epochs = len(pd.read_csv(refitted / "metrics.csv"))
    assert f"refit: {epochs} epochs from the start on train and val together" in output
    assert f"together, {counts['train'] + counts['val']} images" in output
    rows = pd.read_csv(refitted / "refit" / "metrics.csv")
    assert len(rows) == epochs
    assert rows["val_loss"].isna().all()


def test_both_models_are_kept_and_say_what_they_are(refitted: Path) -> None:
    final, selected = refitted / "best.safetensors", refitted / "selected.safetensors"
    weights, chosen = load_file(final), load_file(selected)
    assert any(not torch.equal(weights[name], chosen[name]) for name in weights)
    assert read_card(final).settings["train"]["refit"] is True
    assert read_card(selected).settings["train"]["refit"] is False
    assert read_card(final).validation == read_card(selected).validation


def test_validation_says_nothing_of_the_refitted_model(refitted: Path, bt: Command) -> None:
    done = bt("eval", "ckpt=run", "split=val", cwd=refitted.parent, code=2)
    assert "ckpt=run/selected.safetensors" in done.stderr
    before = (refitted / "eval" / "test" / "metrics.json").read_text()
    for split in ("val", "test"):
        bt(
            "eval", "ckpt=run/selected.safetensors", f"split={split}", "eval.examples=1",
            cwd=refitted.parent, code=0,
        )  # fmt: skip
        assert (refitted / "eval" / f"selected_{split}" / "report.html").is_file()
    assert (refitted / "eval" / "test" / "metrics.json").read_text() == before


def test_the_report_says_what_the_model_was_trained_on(refitted: Path, trained: Path) -> None:
    of_refit, of_plain = (
        (run / "eval" / "test" / "report.html").read_text() for run in (refitted, trained)
    )
    assert "train and val (refit)" in of_refit
    assert "(refit)" not in of_plain


@pytest.mark.parametrize("ckpt", ["run", "run/selected.safetensors"])
def test_the_floors_learn_from_the_images_that_the_model_had(
    refitted: Path, bt: Command, ckpt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[dict[str, int]] = []

    def measured(pixels: np.ndarray, manifest: pd.DataFrame, *rest: Any) -> Baselines:
        counts.append(manifest["split"].value_counts().to_dict())
        return answer_baselines(pixels, manifest, *rest)

    monkeypatch.setattr("braintumor.evaluation.leakage.cached_baselines", measured)
    name = f"run_dir=of_{Path(ckpt).stem}"
    bt("eval", f"ckpt={ckpt}", name, "eval.examples=1", cwd=refitted.parent, code=0)
    (seen,) = counts
    assert ("val" in seen) is (ckpt != "run")


@pytest.mark.parametrize("epochs", [0, 1, None])
def test_an_interrupted_refit_resumes_to_the_same_weights(
    refitted: Path, bt: Command, tmp_path: Path, epochs: int | None
) -> None:
    """epochs: finished of the refit when it was cut; 0: it had not begun; None: all are damaged."""
    cut = tmp_path / "run"
    shutil.copytree(refitted, cut)
    shutil.rmtree(cut / "eval")
    shutil.copyfile(cut / "selected.safetensors", cut / "best.safetensors")
    status = json.loads((cut / "status.json").read_text()) | {"status": "interrupted"}
    (cut / "status.json").write_text(json.dumps(status))
    if epochs:  # previous.ckpt is the state one epoch before the end
        assert status["best_epoch"] == 3, "else there is no epoch in between to cut at"
        (cut / "refit" / "previous.ckpt").replace(cut / "refit" / "last.ckpt")
    elif epochs is None:
        for state in (cut / "refit").glob("*.ckpt"):
            state.write_bytes(state.read_bytes()[:-1])
    else:
        shutil.rmtree(cut / "refit")
        (cut / "selected.safetensors").unlink()
    bt("train", "resume=run", cwd=tmp_path, code=0)
    expected, got = (load_file(run / "best.safetensors") for run in (refitted, cut))
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    one, other = (pd.read_csv(run / "refit" / "metrics.csv") for run in (refitted, cut))
    assert one["train_loss"].equals(other["train_loss"])


def test_a_run_whose_settings_are_cut_is_not_resumed(
    refitted: Path, bt: Command, tmp_path: Path
) -> None:
    shutil.copytree(refitted, tmp_path / "run")
    status = json.loads((refitted / "status.json").read_text()) | {"status": "interrupted"}
    (tmp_path / "run" / "status.json").write_text(json.dumps(status))
    config = yaml.safe_load((refitted / "config.yaml").read_text())
    del config["decision"]
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    done = bt("train", "resume=run", cwd=tmp_path, code=2)
    assert "config.yaml is not that of a run: bt-train needs the setting or section `decision`" in (
        done.stderr
    )


def test_a_new_run_in_the_folder_removes_the_old_refit(
    refitted: Path, bt: Command, tmp_path: Path
) -> None:
    shutil.copytree(refitted, tmp_path / "run")
    bt("train", *TINY, "run_dir=run", "overwrite=true", cwd=tmp_path, code=0)
    assert not (tmp_path / "run" / "refit").exists()
    assert not (tmp_path / "run" / "selected.safetensors").exists()


def test_folds_are_refitted_each(bt: Command, tmp_path: Path) -> None:
    bt(
        "train", *REFIT, "train.max_epochs=1", "split=grouped", "folds=2", "run_dir=run",
        cwd=tmp_path, code=0,
    )  # fmt: skip
    for fold in (0, 1):
        assert (tmp_path / "run" / f"fold_{fold}" / "refit" / "metrics.csv").is_file()


def test_a_refitted_model_takes_the_decisions_of_the_chosen_one(refitted: Path) -> None:
    """Validation was trained on by the refitted one, so it fits nothing for it but its features."""
    kept, chosen = refitted / "best.safetensors", refitted / "selected.safetensors"
    assert read_card(kept).decisions == read_card(chosen).decisions
    assert read_card(kept).decisions is not None
    one, other = load_outliers(kept), load_outliers(chosen)
    assert one is not None and other is not None
    assert not np.allclose(one["mean"], other["mean"])
