"""The commands as a user types them, on phantoms, from nothing to the report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file

from support import QUICK, TINY, Command

FILES = [
    "config.yaml", "status.json", "environment.json", "manifest.csv", "metrics.csv", "train.log",
    "best.safetensors", "last.ckpt", "plots/curves.png", "plots/class_balance.png",
    "plots/samples.png", "eval/test/metrics.json", "eval/test/classification_report.txt",
    "eval/test/confusion_matrix.csv", "eval/test/confusion_matrix.png",
    "eval/test/predictions.csv", "eval/test/roc.png", "eval/test/calibration.png",
    "eval/test/report.html",
]  # fmt: skip


def status_of(run: Path) -> dict:
    return json.loads((run / "status.json").read_text())


def test_a_run_leaves_the_folder_of_the_contract(trained: Path) -> None:
    missing = [name for name in FILES if not (trained / name).is_file()]
    assert not missing
    assert status_of(trained)["status"] == "completed"
    assert len(list((trained / "eval/test/cam").glob("*.png"))) > 0
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["train"]["max_epochs"] == 2
    assert len(pd.read_csv(trained / "metrics.csv")) == 2


def test_the_report_tells_how_many_images_each_split_had(trained: Path) -> None:
    counts = pd.read_csv(trained / "manifest.csv")["split"].value_counts()
    said = ", ".join(f"{split} {counts[split]:,}" for split in ("train", "val", "test"))
    report = (trained / "eval/test/report.html").read_text()
    assert f"The data set of its training: {said}." in report


def test_metrics_and_predictions_tell_the_same(trained: Path) -> None:
    metrics = json.loads((trained / "eval/test/metrics.json").read_text())
    table = pd.read_csv(trained / "eval/test/predictions.csv")
    manifest = pd.read_csv(trained / "manifest.csv")
    test = manifest[manifest["split"] == "test"]
    assert metrics["n"] == len(table) == len(test)
    assert set(table["path"]) == set(test["path"])
    assert metrics["all"]["accuracy"] == pytest.approx((table["true"] == table["pred"]).mean())
    classes = ["glioma", "meningioma", "no_tumor", "pituitary"]
    probs = table[[f"prob_{c}" for c in classes]].to_numpy()
    assert probs.sum(axis=1) == pytest.approx(np.ones(len(table)))
    assert [classes[k] for k in probs.argmax(axis=1)] == table["pred"].tolist()


def test_no_patient_is_in_two_splits(trained: Path) -> None:
    manifest = pd.read_csv(trained / "manifest.csv")
    pairs = manifest[["patient", "split"]].drop_duplicates()
    assert pairs["patient"].is_unique


def test_eval_of_the_same_checkpoint_gives_the_same_figures(bt: Command, trained: Path) -> None:
    # debug=tiny drew two heat maps; how many is asked of each evaluation
    options = ["eval.heatmaps=2", "eval.examples=2", "run_dir=again"]
    done = bt("eval", f"ckpt={trained}", *options, cwd=trained.parent)
    assert done.returncode == 0, done.stderr
    first, second = (
        json.loads((folder / "metrics.json").read_text())
        for folder in (trained / "eval/test", trained.parent / "again")
    )
    assert first == second


def test_eval_on_another_data_set_of_unlabelled_splits(bt: Command, trained: Path) -> None:
    """Flat folders with other spellings: all images, in the checkpoint's class order."""
    root = trained.parent / "other"
    rng = np.random.default_rng(0)
    for name in ("pituitary_tumor", "Glioma", "notumor", "meningioma"):
        (root / name).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 256, (40, 50), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    done = bt("eval", f"ckpt={trained}", "data=folder", f"data.root={root}", cwd=trained.parent)
    assert done.returncode == 0, done.stderr
    folder = trained / "eval" / "folder-other_all"
    assert json.loads((folder / "metrics.json").read_text())["n"] == 12
    header = (folder / "confusion_matrix.csv").read_text().splitlines()[0]
    assert header == "true,glioma,meningioma,no_tumor,pituitary"


def test_predict_writes_a_row_and_an_overlay_for_every_picture(bt: Command, trained: Path) -> None:
    folder = trained.parent / "scans"
    (folder / "deep").mkdir(parents=True)
    for i, path in enumerate(("a.png", "deep/b c.jpg", "deep/<img src=x>.png")):
        Image.fromarray(np.full((30, 30 + i), 90, dtype=np.uint8)).save(folder / path)
    done = bt("predict", f"ckpt={trained}", f"input={folder}", "run_dir=out", cwd=trained.parent)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(trained.parent / "out" / "predictions.csv")
    assert table["path"].tolist() == ["a.png", "deep/<img src=x>.png", "deep/b c.jpg"]
    assert all((trained.parent / "out" / name).is_file() for name in table["overlay"])


def test_compare_writes_the_table_in_three_forms(bt: Command, trained: Path) -> None:
    done = bt("compare", f"runs=[{trained}]", "run_dir=table", cwd=trained.parent)
    assert done.returncode == 0, done.stderr
    for suffix in ("csv", "md", "png"):
        assert (trained.parent / "table" / f"comparison.{suffix}").is_file()


def test_data_leaves_manifest_tables_and_pictures(bt: Command, tmp_path: Path) -> None:
    done = bt("data", "data.patients=12", "data.image_size=64", "run_dir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = ["manifest.csv", "classes.csv", "image_sizes.csv", "plots/samples.png"]
    assert all((tmp_path / "out" / name).is_file() for name in names)


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_weights(bt: Command, tmp_path: Path) -> None:
    """kill -9 after the second epoch; what follows is what an uninterrupted run does."""
    arguments = [*QUICK, "train.max_epochs=4", "train.ema_decay=0.9", "augment=strong"]
    whole = bt("train", *arguments, "run_dir=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr

    code = "from braintumor.cli.train import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "run_dir=cut"], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    history = tmp_path / "cut" / "metrics.csv"
    deadline = time.monotonic() + 120
    while not (history.is_file() and len(history.read_text().splitlines()) > 2):
        assert time.monotonic() < deadline
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert status_of(tmp_path / "cut")["status"] == "running"

    resumed = bt("train", "resume=cut", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after epoch" in resumed.stdout
    one, other = (load_file(tmp_path / run / "best.safetensors") for run in ("whole", "cut"))
    assert all((one[name] == other[name]).all() for name in one)
    metrics = [(tmp_path / run / "eval/test/metrics.json").read_text() for run in ("whole", "cut")]
    assert metrics[0] == metrics[1]
    rows = [
        pd.read_csv(tmp_path / run / "metrics.csv").drop(columns=["images_per_s", "seconds"])
        for run in ("whole", "cut")
    ]
    assert rows[0].equals(rows[1])

    again = bt("train", "resume=cut", cwd=tmp_path)
    assert again.returncode == 2
    assert "is complete" in again.stderr
    changed = bt("train", "resume=cut", "optimizer.lr=1", cwd=tmp_path)
    assert changed.returncode == 2
    assert "optimizer.lr=1" in changed.stderr


def test_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    """SIGTERM, as a batch system sends it."""
    code = "from braintumor.cli.train import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *QUICK, "train.max_epochs=null", "run_dir=run"], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "last.ckpt").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "bt-train resume=run" in output
    assert status_of(tmp_path / "run")["status"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_failing_job_does_not_end_the_sweep(bt: Command, tmp_path: Path, launcher: str) -> None:
    """The first of two jobs asks for a network that does not exist."""
    done = bt(
        "train", "-m", *TINY, "model=timm,cnn_se", f"hydra/launcher={launcher}",
        "hydra.sweep.dir=sweep", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "1 of 2 jobs failed" in done.stderr
    assert "Traceback" not in done.stderr
    failed, completed = (status_of(tmp_path / "sweep" / job) for job in ("0", "1"))
    assert failed["status"] == "failed"
    assert "timm_name" in failed["why"]
    assert completed["status"] == "completed"
    table = pd.read_csv(tmp_path / "sweep" / "comparison.csv")
    assert sorted(table["status"]) == ["completed", "failed"]
