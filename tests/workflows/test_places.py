"""Every setting that names a place finds it, by every door, and however the name is spelled."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from safetensors.numpy import save_file

import braintumor as bt
from braintumor.cli.flags import held_sweep
from braintumor.data.sources import build_source
from braintumor.errors import ConfigError
from braintumor.models.backbones._weights import read_weights
from braintumor.runs.checkpoint import find_checkpoint
from braintumor.runs.folder import open_run
from braintumor.workflows.arguments import PATHS, Request, with_found_places
from braintumor.workflows.compose import _words_of, compose
from braintumor.workflows.cross_dataset import data_sets
from braintumor.workflows.found_pictures import find_pictures
from braintumor.workflows.outputs import named_folder
from braintumor.workflows.words import Typed, for_hydra, quote_paths
from support import Command, noise_pictures

NAMES = [
    "~/x", "my mri", "a,b", "a=b", "a:b", "[x]", "[a,b]", "(1)", "{z}", "it's", 'say "so"',
    "cost$1", "$HOME", "a#b", "./x", "../me/x", "x/", "two\nlines", "tab\tx", "-x", "+x", "2024",
    "true", "1e3", "a;b|c", "\\", "x\\", "%d", "@x", "100%", "día", "n" * 200, "link",
]  # fmt: skip
COMMANDS = {"ckpt": "eval", "on": "eval", "input": "predict", "runs": "compare"}


def spelled(form: Any, name: str) -> str:
    return unicodedata.normalize(form, name)


def nested(key: str, value: object) -> dict[str, Any]:
    """{"data": {"root": value}} of data.root."""
    *above, last = key.split(".")
    made: dict[str, Any] = {last: value}
    for name in reversed(above):
        made = {name: made}
    return made


def read_by_hydra(word: str) -> object:
    override = OverridesParser.create().parse_override(word)
    if override.is_sweep_override():
        return tuple(override.sweep_string_iterator())
    value = override.value()
    return value[0] if isinstance(value, list) and len(value) == 1 else value


@pytest.mark.parametrize(
    ("key", "door"),
    [
        *itertools.product(sorted(PATHS), ["typed", "keyword", "path"]),
        *itertools.product(COMMANDS, ["listed"]),
    ],
)
def test_a_place_arrives_at_every_setting_by_every_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, door: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a,b", "[x]", "[a,b]"):  # elsewhere several, and lists
        Path(name).mkdir()
    arrived = {}
    for name in NAMES:
        value = {"path": Path(name), "listed": [name]}.get(door, name)
        words = [f"{key}={name}"] if door == "typed" else [*_words_of(nested(key, value))]
        typed = Typed(COMMANDS.get(key, "train"), (*words, "seed=1"), is_python=door != "typed")
        arrived[name] = read_by_hydra(for_hydra(typed)[0])
    assert arrived == {name: str(Path(name)) if door == "path" else name for name in NAMES}


@pytest.mark.parametrize("name", ["~/my mri, (1)", "it's", "${x}", "día", "two\nlines", "{z}"])
def test_hydra_composes_what_was_given(name: str) -> None:
    requests = [
        compose("train", [], {"resume": name}),
        compose("train", [], {"resume": Path(name)}),
    ]
    if "$" not in name and "," not in name:
        requests.append(compose("train", [f"resume={name}"], {}))
    assert [request.settings["resume"] for request in requests] == [name] * len(requests)


def make_place(folder: Path) -> None:
    """What is a run, a checkpoint, a data set and weights in one."""
    noise_pictures(folder, ("a", "b"), count=1, px=8)
    (folder / "config.yaml").write_text("{}")
    (folder / "best.safetensors").touch()
    (folder / "table.csv").write_text("path,label\na/0.png,a\n")
    save_file({"x": np.zeros(1)}, folder / "net.safetensors")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with such a place for each of the names."""
    home = tmp_path_factory.mktemp("home") / "me"
    make_place(home / "x")
    (home / "link").symlink_to("x")
    for name in NAMES:
        if not (home / name.removeprefix("~/")).exists():
            make_place(home / name.removeprefix("~/"))
    return home


def given(key: str, name: str | list[str]) -> Any:
    """The setting as a command finds it."""
    value: Any = with_found_places(nested(key, name))
    for part in key.split("."):
        value = value[part]
    return value


def by_run_dir(name: str) -> Path:
    found = named_folder(Request({"run_dir": given("run_dir", name)}))
    assert found
    return found


def by_sweep(name: str) -> Path:
    word = quote_paths([f"hydra.sweep.dir={name}/new"])[0]
    with held_sweep(["bt-train", "-m", word]) as folder:
        assert folder and folder.is_dir()
    return folder.parent


def by_input(name: str) -> Path:
    found = [found for found, _ in find_pictures([given("input", f"{name}/a")], Counter())]
    assert found == ["0.png"]
    return Path(given("input", name)).expanduser()


def by_data(kind: str, key: str, end: str = "") -> Callable[[str], Path]:
    def find(name: str) -> Path:
        source = build_source(kind, {"root": None, key: f"{name}{end}"})
        assert source.read(source.items[0])
        return Path(given(f"data.{key}", name)).expanduser()

    return find


FINDERS: dict[str, Callable[[str], Path]] = {
    "run_dir": by_run_dir,
    "hydra.sweep.dir": by_sweep,
    "ckpt": lambda name: find_checkpoint(name).parent,
    "resume": lambda name: open_run(given("resume", name)).path,
    "input": by_input,
    "on": lambda name: Path(data_sets(given("on", [name]))[0].options["root"]),
    "on=table:": lambda name: (
        Path(data_sets([f"table:{name}/table.csv"])[0].options["table"]).parent
    ),
    "weights": lambda name: (
        read_weights(given("model.backbone.weights", f"{name}/net.safetensors"), "net").path.parent
    ),
    "data.root": by_data("folder", "root"),
    "data.table": by_data("table", "table", "/table.csv"),
}


@pytest.mark.parametrize("key", FINDERS)
def test_what_is_there_is_found(home: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    for name in NAMES[:: 5 if key.startswith("on") else 1]:  # which composes each
        assert FINDERS[key](name).samefile(Path(name).expanduser()), name


@pytest.mark.parametrize("key", FINDERS)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_letter_with_an_accent_is_found_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, form: str
) -> None:
    """A folder of a Mac in a home folder of Linux: both look the same on the screen."""
    place = tmp_path / spelled("NFC", "josé") / spelled("NFD", "día")
    make_place(place)
    monkeypatch.chdir(tmp_path)
    assert FINDERS[key](spelled(form, "josé/día")).samefile(place)
    assert [*map(str, Path().iterdir())] == [spelled("NFC", "josé")]


# ---------------------------------------------------------------- what cannot be a place

REFUSED = {
    "~nosuchuser/x": "the home folder ~nosuchuser is not known here; write the path in full",
    "n" * 300: "File name too long",
    "a\0b": "is no path",
}
CALLS: dict[str, Callable[[str], object]] = {
    "run_dir": lambda name: bt.compare(runs=["x"], run_dir=name),
    "ckpt": lambda name: bt.load(name),
    "input": lambda name: bt.predict(ckpt="x", input=[name]),
    "runs": lambda name: bt.compare(runs=[name]),
    "on": lambda name: bt.evaluate(ckpt="x", on=[name]),
    "resume": lambda name: bt.train(resume=Path(name)),
    "init": lambda name: bt.train(init=name),
    "data.root": lambda name: bt.read_data(data={"name": "folder", "root": name}),
    "model.backbone.weights": lambda name: bt.tune(model={"backbone": {"weights": name}}),
}


@pytest.mark.parametrize("name", REFUSED, ids=["nobody", "long", "zero byte"])
@pytest.mark.parametrize("key", CALLS)
def test_a_name_that_no_place_can_have_is_refused_from_python(key: str, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){key}=.*{REFUSED[name]}"):
        CALLS[key](name)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "run_dir=~nosuchuser/x"], ["predict", "input=[~nosuchuser/x]"],
        ["train", "-m", "seed=0,1", "hydra.sweep.dir=~nosuchuser/x"],
        ["train", "--config-dir=~nosuchuser/x", "--config-name=mine"],
    ],
)  # fmt: skip
def test_and_by_the_command(bt: Command, tmp_path: Path, words: list[str]) -> None:
    done = bt(*words, cwd=tmp_path, code=2)
    assert "the home folder ~nosuchuser is not known here" in done.stderr
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("word", ["hydra.run.dir=my out", "hydra.sweep.dir=my out"])
def test_a_folder_of_hydras_that_would_stay_empty_is_refused(
    bt: Command, tmp_path: Path, word: str
) -> None:
    """Results went to runs/, and an empty folder was left there."""
    done = bt("data", word, cwd=tmp_path, code=2)
    assert "use \"run_dir='my out'\"" in done.stderr
    assert not [*tmp_path.iterdir()]
