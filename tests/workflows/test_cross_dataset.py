"""bt-eval with on=[…], as a user types it, and what its items mean."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from braintumor.errors import CheckpointError, ConfigError
from braintumor.workflows.arguments import Request
from braintumor.workflows.cross_dataset import data_sets, evaluate_across
from support import Command, noise_pictures


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat data set of yes and no, other spellings, noise."""
    return noise_pictures(tmp_path_factory.mktemp("data") / "binary", ("yes", "no"), count=3)


def test_checkpoints_meet_data_sets_in_one_call(
    bt: Command, trained: Path, binary: Path, tmp_path: Path
) -> None:
    """A four-class model on phantoms as they are, on a binary set collapsed, on others not."""
    stranger = tmp_path / "stranger"
    for name in ("cat", "dog"):
        (stranger / name).mkdir(parents=True)
        Image.radial_gradient("L").save(stranger / name / "0.png")
    (tmp_path / "empty").mkdir()
    sets = f"on=[{binary},{stranger},{tmp_path / 'empty'}]"
    done = bt("eval", f"ckpt=[{trained}]", sets, "run_dir=m", cwd=tmp_path, code=0)
    table = pd.read_csv(tmp_path / "m" / "matrix.csv").set_index("data")
    assert list(table.index) == ["binary", "stranger", "empty"]
    assert (table.loc["binary", "n"], table.loc["binary", "classes"]) == (6, 2)
    assert "4 classes joined to no_tumor / tumor" in table.loc["binary", "note"]
    assert table.loc["stranger", "n"] == table.loc["empty", "n"] == 0
    assert "does not know cat, dog" in table.loc["stranger", "note"]
    for suffix in ("md", "png"):
        assert (tmp_path / "m" / f"matrix.{suffix}").is_file()
    assert "run " in done.stdout
    assert "matrix: m/matrix.md" in done.stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on": ["phantom"], "data": {"name": "phantom"}}, "both name data sets"),
        ({"on": ["nowhere"]}, "no file or folder"),
        ({"ckpt": ["a", "b"]}, r"on=\[FOLDER"),
    ],
)
def test_what_cannot_be_meant_is_answered(changes: dict[str, Any], message: str) -> None:
    settings = {"ckpt": "a", "on": None, "split": None, "run_dir": None, "overwrite": False}
    settings |= changes
    with pytest.raises(ConfigError, match=message):
        evaluate_across(Request(settings))


def test_a_missing_checkpoint_is_named_before_any_image_is_read(tmp_path: Path) -> None:
    settings = {"ckpt": [str(tmp_path / "none")], "on": ["phantom"], "run_dir": None}
    with pytest.raises(CheckpointError, match="none"):
        evaluate_across(Request(settings))


def test_a_prevalence_that_would_change_nothing_is_refused() -> None:
    settings = {"ckpt": ["a"], "on": ["phantom"], "run_dir": None, "prevalence": 0.1}
    with pytest.raises(ConfigError, match=r"prevalence=0\.1 changes no figure of a matrix"):
        evaluate_across(Request(settings))


def test_checkpoints_may_have_numbers_for_names(trained: Path, bt: Command, tmp_path: Path) -> None:
    for name in ("1", "2"):
        shutil.copytree(trained, tmp_path / name)
    done = bt("eval", "ckpt=[1,2,./1/]", "on=[phantom]", "run_dir=m", cwd=tmp_path, code=0)
    assert "1/best.safetensors is named 2 times and counts once" in done.stdout + done.stderr
    assert len(pd.read_csv(tmp_path / "m/matrix.csv")) == 2
    alone = bt("eval", "ckpt=[3]", cwd=tmp_path, code=2)
    assert "there is no run folder or checkpoint 3;" in alone.stderr


def test_paths_are_read_by_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "scans" / "no").mkdir(parents=True)
    (tmp_path / "arrays").mkdir()
    for name in ("arrays/train.npz", "one.npz", "list.csv", "all.zip", "all.tar.gz"):
        (tmp_path / name).write_bytes(b"")
    items = ["scans", "arrays", "one.npz", "list.csv", "all.zip", "all.tar.gz"]
    found = data_sets([str(tmp_path / item) for item in items])
    kinds = ["folder", "npz", "npz", "table", "archive", "archive"]
    assert [data.options["name"] for data in found] == kinds
    assert [data.name for data in found] == items
    assert found[0].options["root"] == str(tmp_path / "scans")
    assert found[3].options["table"] == str(tmp_path / "list.csv")
    assert found[0].options["skip_unreadable"] is False  # what configs/data/_common.yaml says


def test_presets_come_with_their_options_and_another_root() -> None:
    phantom, named, table = data_sets(["phantom", "nickparvar:/data/nick", "table:/data/a.csv"])
    assert (phantom.name, phantom.options["patients"]) == ("phantom", 200)
    assert (named.name, named.options["root"]) == ("nickparvar:nick", "/data/nick")
    assert named.options["handle"].startswith("masoudnickparvar/")
    assert (table.options["table"], table.options["root"]) == ("/data/a.csv", None)


def test_sets_of_one_name_keep_their_whole_path(tmp_path: Path) -> None:
    for folder in ("a/scans", "b/scans"):
        (tmp_path / folder).mkdir(parents=True)
    items = [str(tmp_path / "a/scans"), str(tmp_path / "b/scans")]
    assert [data.name for data in data_sets(items)] == items


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["nickpavar:/x"], "nickparvar"),
        (["/nowhere/at/all"], "no file or folder"),
        (["phantom", "phantom"], "twice"),
        ([str(Path(__file__).parent), f"{Path(__file__).parent}/../workflows"], "twice"),
        ([__file__], "another kind"),
    ],
)
def test_items_that_mean_nothing_are_refused(items: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data_sets(items)
