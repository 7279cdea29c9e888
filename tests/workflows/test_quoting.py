from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from braintumor.errors import ConfigError
from braintumor.workflows.compose import compose
from braintumor.workflows.words import quote_paths


def read_by_hydra(word: str) -> object:
    """What Hydra makes of the value; several of a sweep as a tuple."""
    override = OverridesParser.create().parse_override(quote_paths([word])[0])
    if override.is_sweep_override():
        return tuple(override.sweep_string_iterator())
    return override.value()


@pytest.mark.parametrize(
    "path",
    ["~/mri", "my mri", "Brain (1)/Training", "a=b", "a:b", "ma'am", 'a"b', "día/été", "x{1}",
     "2024", "true", "a#b", "a&b;c", "trailing\\", "back\\slash", "%d", "a@b", "100%/x", "..",
     "a+b", "-x"],
)  # fmt: skip
@pytest.mark.parametrize("key", ["data.root", "ckpt", "input", "+data.table"])
def test_a_path_arrives_as_the_shell_passed_it_on(key: str, path: str) -> None:
    assert str(read_by_hydra(f"{key}={path}")) == path


@pytest.mark.parametrize("name", ["a,b", "[x]", "[a,b]", "{a}", "choice(a)", "null "])
def test_what_hydra_would_read_is_a_path_where_one_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert read_by_hydra(f"data.root={name}") == name
    assert read_by_hydra(f"data.root={tmp_path / name}") == str(tmp_path / name)


def test_a_comma_joins_only_where_a_name_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    assert read_by_hydra("runs=[c,a,b,d]") == ["c", "a,b", "d"]
    assert read_by_hydra("data.root=a,b,c") == ("'a,b'", "c")


def test_files_of_settings_lie_at_home_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert quote_paths(["--config-dir=~/settings"]) == ["--config-dir=/home/me/settings"]


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("data.root=a,~/b", ("a", "'~/b'")),
        ("seed=1,2", ("1", "2")),
        ("data.root=null", None),
        ("runs=[a,~/b c]", ["a", "~/b c"]),
        ("runs=['a,b',c]", ["a,b", "c"]),
        ("runs=['a,b',~/c d]", ["a,b", "~/c d"]),
        ("runs=[~/a,b c]", ["~/a", "b c"]),
        ("runs=[a[1], b(2) ,c=d]", ["a[1]", "b(2)", "c=d"]),
        ("runs=[runs/*,multirun/2026-01-01_10-00-00]", ["runs/*", "multirun/2026-01-01_10-00-00"]),
        ("runs=[]", []),
        ("on=[phantom,folder:~/my mri,1]", ["phantom", "folder:~/my mri", "1"]),
        ("input=[~/a.png,b (1).png]", ["~/a.png", "b (1).png"]),
        ("data.classes=[no,0,T1C+ (2)]", ["no", "0", "T1C+ (2)"]),
        ("data.ignore=null", None),
        ("run_dir=out, (1)", "out, (1)"),
        ("hydra.sweep.dir=sweep, 1", "sweep, 1"),
        (r"data.patient_regex=^p(\d{1,3})[_-]", r"^p(\d{1,3})[_-]"),
        (r"""data.patient_regex='p(\d+)'""", r"p(\d+)"),
        ("data.root='~/mri'", "~/mri"),
        ('ckpt="a b"', "a b"),
        ("optimizer.lr=1e-3", 1e-3),
        ("train.phases=[{epochs: 3, trainable: all}]", [{"epochs": 3, "trainable": "all"}]),
    ],
)
def test_what_is_meant_for_hydra_stays(word: str, read: object) -> None:
    assert read_by_hydra(word) == read


@pytest.mark.parametrize("word", ["--multirun", "-m", "--config-dir=my configs", "seed=", "epochs"])
def test_other_words_stay(word: str) -> None:
    assert quote_paths([word]) == [word]


def test_the_name_of_an_option_is_no_path_though_a_folder_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "3").mkdir()
    assert quote_paths(["data=folder", "seed=3"]) == ["data=folder", "seed=3"]


@pytest.mark.parametrize("name", ["${x}", "choice(a)", "'a"])
def test_a_name_that_hydra_reads_otherwise_is_answered_with_quotes_around_it(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compose("train", ["data=folder", f"data.root={name}"], {})
    assert not re.search("full_key|multirun", str(refused.value))
    word = ast.literal_eval(str(refused.value).rpartition(" use ")[2])
    assert compose("train", ["data=folder", word], {}).settings["data"]["root"] == name


def test_a_name_with_a_comma_and_a_space_is_one_run_of_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ور, x").mkdir()
    assert read_by_hydra("runs=[a, ور, x ,b]") == ["a", "ور, x", "b"]
