"""bt-eval with on=[…], as a user types it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from braintumor.errors import CheckpointError, ConfigError
from braintumor.workflows.arguments import Request
from braintumor.workflows.cross_dataset import evaluate_across
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
        Image.new("L", (40, 40), 90).save(stranger / name / "0.png")
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


def test_checkpoints_may_have_numbers_for_names(trained: Path, bt: Command, tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).symlink_to(trained)
    bt("eval", "ckpt=[1,2]", "on=[phantom]", "run_dir=m", cwd=tmp_path, code=0)
    alone = bt("eval", "ckpt=[3]", cwd=tmp_path, code=2)
    assert "there is no run folder or checkpoint 3;" in alone.stderr
