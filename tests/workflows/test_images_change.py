"""Images that change or vanish while a command is at work: never another result in silence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from braintumor.runs.folder import RunFolder
from braintumor.workflows import fit, predict
from braintumor.workflows import train as trains
from support import QUICK, Command, tumor_pictures

pytestmark = pytest.mark.usefixtures("no_drawings")

WORDS = [*QUICK, "data=folder", "data.root=mri", "data.image_size=32"]
WORDS.remove("data.patients=24")
ONE = "mri/glioma/3.png"


@pytest.fixture(scope="module")
def whole(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures in mri/, and a run on them."""
    folder = tmp_path_factory.mktemp("whole")
    tumor_pictures(folder / "mri", 12)
    bt("train", *WORDS, "train.max_epochs=2", "run_dir=run", cwd=folder, code=0)
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    """Another with the same pictures."""
    shutil.copytree(whole / "mri", tmp_path / "mri")
    return tmp_path


def replace(place: Path) -> None:
    Image.new("L", (32, 32), 9).save(place / ONE)


def remove(place: Path) -> None:
    shutil.rmtree(place / "mri", ignore_errors=True)


@pytest.mark.parametrize("change", [replace, remove])
def test_a_training_ends_with_the_images_it_began_with(
    change: Callable[[Path], None], bt: Command, whole: Path, place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It holds all of them; who asks for them again is told."""
    tell = fit.describe_epoch

    def then(*given: Any) -> None:
        tell(*given)
        if given[0].epoch == 1:
            change(place)

    with monkeypatch.context() as patch:
        patch.setattr(fit, "describe_epoch", then)
        bt("train", *WORDS, "train.max_epochs=2", "run_dir=run", cwd=place, code=0)
    one, other = (folder / "run/eval/test/predictions.csv" for folder in (place, whole))
    assert one.read_bytes() == other.read_bytes()
    said = bt("eval", "ckpt=run", cwd=place, code=2).stderr
    RunFolder(place / "run").set_status("interrupted")
    resumed = bt("train", "resume=run", cwd=place, code=2).stderr
    if change is replace:
        assert all("the images changed since run began" in text for text in (said, resumed))
        assert all("glioma/3.png" in text for text in (said, resumed))
    else:
        assert "say where: bt-eval ckpt=run data=folder data.root=FOLDER split=test" in said
        assert "say where: bt-train resume=run data.root=FOLDER" in resumed


def test_the_parts_of_a_run_are_of_the_same_images(
    bt: Command, whole: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an image could be tested twice, or never, and the pooled figures were of no data set."""
    words = [*WORDS, "train.max_epochs=1", "split=stratified", "folds=2", "run_dir=run"]
    run_part = trains._run_trial

    def changed(parent: RunFolder, trial: Any, *given: Any) -> None:
        if trial.fold == 1:
            replace(place)
        run_part(parent, trial, *given)

    with monkeypatch.context() as patch:
        patch.setattr(trains, "_run_trial", changed)
        said = bt("train", *words, cwd=place, code=2)
    assert "1 of 2 parts failed (fold_1)" in said.stderr
    assert "the images changed since run/fold_0 began" in said.stdout + said.stderr
    assert "glioma/3.png" in said.stdout + said.stderr
    shutil.copy(whole / ONE, place / ONE)
    bt("train", "resume=run", cwd=place, code=0)
    assert len(pd.read_csv(place / "run/eval/pooled/predictions.csv")) == 24


@pytest.mark.parametrize("change", [replace, remove])
@pytest.mark.parametrize("overlays", [0, 50])
def test_no_answer_stands_beside_another_picture(
    change: Callable[[Path], None], overlays: int, bt: Command, trained: Path, place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """bt-predict reads pictures again for its page and its heat maps."""
    choose = predict.pages.doubtful

    def then(*given: Any) -> Any:
        change(place)
        return choose(*given)

    words = [f"ckpt={trained}", "input=mri", f"overlays={overlays}", "run_dir=out"]
    with monkeypatch.context() as patch:
        patch.setattr(predict.pages, "doubtful", then)
        said = bt("predict", *words, cwd=place, code=2).stderr
    assert "was changed or removed while it was answered; run the command again" in said
    assert not (place / "out").exists()
