"""Images that lie elsewhere now are the same images: known by content, divided as they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from braintumor.data.manifest import read_manifest, write_manifest
from braintumor.files import sha256_of
from braintumor.runs.folder import RunFolder
from braintumor.workflows.compose import compose
from braintumor.workflows.data import read_again, read_data
from support import QUICK, Command, cut, tumor_pictures

pytestmark = pytest.mark.usefixtures("no_drawings")

DATA = [*QUICK, "data=folder", "data.root=mri", "train.max_epochs=2", "data.limit=20"]
DATA.remove("data.patients=24")


@pytest.fixture(scope="module")
def place(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, and a run on them."""
    folder = tmp_path_factory.mktemp("moved")
    tumor_pictures(folder / "mri", 24)
    bt("train", *DATA, "run_dir=run", cwd=folder, code=0)
    return folder


@pytest.fixture
def moved(place: Path, tmp_path: Path) -> Path:
    """A copy in which the pictures lie in another folder, under other names."""
    shutil.copytree(place / "run", tmp_path / "run")
    for name in ("no_tumor", "glioma"):
        files = sorted((place / "mri" / name).iterdir(), reverse=True)
        (tmp_path / "new place" / name).mkdir(parents=True)
        for number, file in enumerate(files):
            shutil.copy(file, tmp_path / "new place" / name / f"case_{number}.png")
    return tmp_path


def predictions(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "predictions.csv").sort_values("path", ignore_index=True)


def limit_to_the_run(folder: Path) -> None:
    """Remove what data.limit left out."""
    known = set(read_manifest(folder / "run" / "manifest.csv")["sha256"])
    for file in (folder / "new place").rglob("*.png"):
        if sha256_of(file.read_bytes()) not in known:
            file.unlink()


@pytest.mark.parametrize(
    "words", [["data.root='new place'"], ["data=folder", "data.root='new place'"]]
)
def test_a_run_is_resumed_where_its_images_are_now(
    bt: Command, place: Path, moved: Path, words: list[str]
) -> None:
    limit_to_the_run(moved)
    cut(moved / "run", epochs=True)
    lost = bt("train", "resume=run", cwd=moved, code=2)
    assert "say where: bt-train resume=run data.root=FOLDER" in lost.stderr
    bt("train", "resume=run", *words, cwd=moved, code=0)
    one, other = (predictions(f / "run" / "eval" / "test") for f in (place, moved))
    pd.testing.assert_frame_equal(one, other)
    RunFolder(moved / "run").set_status("interrupted")
    bt("train", "resume=run", cwd=moved, code=0)  # the place is remembered


def test_a_run_is_evaluated_where_its_images_are_now(bt: Command, place: Path, moved: Path) -> None:
    lost = bt("eval", "ckpt=run", cwd=moved)
    assert "bt-eval ckpt=run data=folder data.root=FOLDER split=test" in lost.stderr
    words = ["ckpt=run", "data=folder", "data.root='new place'", "split=test", "run_dir=out"]
    done = bt("eval", *words, "eval.heatmaps=0", cwd=moved, code=0)
    assert "(8 others are left out)" in done.stdout
    one = json.loads((place / "run" / "eval" / "test" / "metrics.json").read_text())
    other = json.loads((moved / "out" / "metrics.json").read_text())
    assert (one["all"], one["clean"], one["split"]) == (
        other["all"], other["clean"], other["split"],
    )  # fmt: skip


def test_images_that_differ_are_named(bt: Command, moved: Path) -> None:
    limit_to_the_run(moved)
    cut(moved / "run", epochs=True)
    folder = moved / "new place" / "glioma"
    first = sorted(folder.iterdir())[0]
    Image.new("L", (32, 32), 9).save(first)
    done = bt("train", "resume=run", "data.root='new place'", cwd=moved, code=2)
    assert "1 are not there, or of another class (glioma/" in done.stderr
    assert f"1 are new (glioma/{first.name})" in done.stderr
    words = ["ckpt=run", "data=folder", "data.root='new place'", "split=test", "run_dir=out"]
    done = bt("eval", *words, cwd=moved, code=2)
    assert f"1 are new (glioma/{first.name})" in done.stderr
    assert not (moved / "out").exists()


def test_other_settings_of_the_data_are_no_move(bt: Command, moved: Path) -> None:
    cut(moved / "run", epochs=True)
    words = ["data=folder", "data.root='new place'", "data.image_size=32"]
    done = bt("train", "resume=run", *words, cwd=moved, code=2)
    assert "the run began with 64" in done.stderr


def test_a_healthy_class_is_called_as_when_the_run_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a stroke `Normal` is no longer no_tumor, which it is in older runs."""
    tumor_pictures(tmp_path / "mri", 12)
    for old, new in (("no_tumor", "Normal"), ("glioma", "Stroke")):
        (tmp_path / "mri" / old).rename(tmp_path / "mri" / new)
    monkeypatch.chdir(tmp_path)
    settings = compose("train", ["data=folder", "data.root=mri", "split=stratified"], {}).settings
    now = read_data(settings, 32, "folder").manifest
    assert set(now["label"]) == {"normal", "stroke"}
    (tmp_path / "run").mkdir()
    run = RunFolder(tmp_path / "run")
    write_manifest(run.manifest, now.assign(label=now["label"].replace("normal", "no_tumor")))
    again = read_again(settings, 32, run, "")
    assert set(again.manifest["label"]) == {"no_tumor", "stroke"}
