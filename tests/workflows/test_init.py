"""init=: a new run begins with the weights of another, and knows the images of that one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file

from braintumor.data.manifest import read_manifest
from braintumor.runs.checkpoint import read_card
from support import TINY, Command, cut, unreadable_pictures

pytestmark = pytest.mark.usefixtures("no_drawings")

BASE = [*TINY, "model=cnn_se", "model.backbone.widths=[4,8]", "eval.heatmaps=0", "eval.examples=0"]
# nothing moves, so that what was taken is seen in what is left
STILL = ["train.phases=[{epochs:1,trainable:head}]", "optimizer.lr=0"]


@pytest.fixture(scope="module")
def first(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("init")
    bt("train", *BASE, "run_dir=first", cwd=folder, code=0)
    return folder / "first"


def same(one: Path, other: Path, part: str) -> list[bool]:
    a, b = (load_file(run / "best.safetensors") for run in (one, other))
    return [
        (a[k].shape == b[k].shape and (a[k] == b[k]).all())
        for k in a
        if k.startswith(part or ("backbone", "attention", "head"))
    ]


def test_all_of_it_is_taken_and_its_images_are_known(
    bt: Command, first: Path, tmp_path: Path
) -> None:
    """Another division of the same images: many of test were in the training of the first."""
    shutil.copytree(first, tmp_path / "first")
    words = [*BASE, *STILL, "seed=5", "split=stratified", "init=first", "run_dir=run"]
    done = bt("train", *words, cwd=tmp_path, code=0)
    assert "init: backbone, attention, head of first (cnn_se of phantom, epoch 1)" in done.stdout
    assert "in its own training or validation; the evaluation counts test images" in done.stdout
    assert all(same(tmp_path / "run", first, ""))
    theirs = read_card(first / "best.safetensors").training_hashes
    own = read_manifest(tmp_path / "run" / "manifest.csv").set_index("path")
    card = read_card(tmp_path / "run" / "best.safetensors")
    assert set(theirs) <= set(card.training_hashes)
    table = pd.read_csv(tmp_path / "run" / "eval" / "test" / "predictions.csv")
    is_known = own.loc[table["path"], "sha256"].isin(theirs).to_numpy()
    assert 0 < is_known.sum() < len(is_known)
    assert table["in_training"].to_numpy()[is_known].all()

    shutil.rmtree(tmp_path / "first")  # the run has a copy of it
    cut(tmp_path / "run", epochs=False)
    (tmp_path / "run" / "next.ckpt").write_bytes(b"the first state, torn")
    bt("train", "resume=run", cwd=tmp_path, code=0)
    assert all(same(tmp_path / "run", first, ""))
    assert set(theirs) <= set(read_card(tmp_path / "run" / "best.safetensors").training_hashes)
    bt("eval", "ckpt=run", "eval.heatmaps=0", "run_dir=out", cwd=tmp_path, code=0)
    other = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert other["in_training"].tolist() == table["in_training"].tolist()


def test_other_classes_begin_with_a_new_head(bt: Command, first: Path, tmp_path: Path) -> None:
    words = [*BASE, *STILL, "data.binary=true", f"init={first}", "run_dir=run"]
    done = bt("train", *words, cwd=tmp_path, code=0)
    assert "begins anew: head (its classes are glioma, meningioma, no_tumor" in done.stdout
    assert all(same(tmp_path / "run", first, "backbone"))
    assert all(same(tmp_path / "run", first, "attention"))
    assert not all(same(tmp_path / "run", first, "head"))


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["model=mobilenetv2_035"], "is another one: model.backbone.name=cnn there, timm"),
        (["init=folds"], "holds several models; give one of them, such as init=folds/fold_0"),
        (["model.backbone.widths=[4,4]"], "widths=[4, 8] there, [4, 4] here"),
        (["init=nowhere"], "nowhere"),
        (["init=pickled.pt"], "is not a safetensors file"),
        (["init=run", "resume=run"], "run"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_data(
    bt: Command, first: Path, tmp_path: Path, words: list[str], answer: str
) -> None:
    (tmp_path / "pickled.pt").write_bytes(b"\x80\x04]\x94." * 20)
    shutil.copytree(first, tmp_path / "folds" / "fold_0")
    (tmp_path / "folds" / "status.json").write_text('{"status": "completed", "parts": ["fold_0"]}')
    unreadable_pictures(tmp_path / "mri")
    plain = [w for w in BASE if "patients" not in w and "widths" not in w]
    data = ["data=folder", "data.root=mri", *plain]
    done = bt("train", *data, f"init={first}", *words, cwd=tmp_path, code=2)
    assert answer in done.stderr and "cannot be read" not in done.stderr
