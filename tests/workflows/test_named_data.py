"""What the items of on=[…] mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from braintumor.errors import ConfigError
from braintumor.workflows.cross_dataset import data_sets


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
        ([__file__], "another kind"),
    ],
)
def test_items_that_mean_nothing_are_refused(items: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data_sets(items)
