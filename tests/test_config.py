"""Typed settings and names: every mistake names the key and the nearest right one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from braintumor.config import call, call_named, component_names, find_builder, typed
from braintumor.errors import ConfigError
from braintumor.quoting import pasteable


@dataclass(frozen=True)
class Inner:
    patience: int | None
    metric: Literal["val_loss", "val_accuracy"]


@dataclass(frozen=True)
class Outer:
    rate: float
    sizes: tuple[int, ...]
    inner: Inner
    root: Path | None
    steps: tuple[Inner, ...] = ()


GOOD: dict[str, Any] = {
    "rate": 1,
    "sizes": [1, 2],
    "inner": {"patience": None, "metric": "val_loss"},
    "root": "x/y",
}


def test_values_are_built_typed_and_nested() -> None:
    built = typed(Outer, GOOD | {"steps": [{"patience": 3, "metric": "val_accuracy"}]}, "train")
    assert built.rate == 1.0
    assert isinstance(built.rate, float)
    assert built.sizes == (1, 2)
    assert built.inner == Inner(None, "val_loss")
    assert built.root == Path("x/y")
    assert built.steps == (Inner(3, "val_accuracy"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": "fast"}, r"`train\.rate=fast` should be a number"),
        ({"rate": True}, r"`train\.rate=True` should be a number"),
        ({"sizes": [1, 2.5]}, r"`train\.sizes\[1\]=2\.5` should be a whole number"),
        ({"sizes": 3}, r"`train\.sizes=3` should be a list, not int"),
        ({"sizes": None}, r"`train\.sizes=None` should be a list, not null"),
        ({"root": 3}, r"`train\.root=3` should be a path"),
        ({"inner": 3}, r"`train\.inner=3` should be a mapping with patience, metric, not int"),
        ({"inner": {"patience": 1.5, "metric": "val_loss"}}, r"train\.inner\.patience=1\.5"),
        ({"inner": {"patience": 1, "metric": "val_los"}}, r"did you mean `val_loss`"),
        ({"inner": {"patince": 1, "metric": "val_loss"}}, r"did you mean `patience`"),
        ({"rat": 3}, r"`train\.rat` is not an option; did you mean `rate`"),
    ],
)
def test_a_mistake_names_the_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        typed(Outer, GOOD | change, "train")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"`train\.inner` is not set"):
        typed(Outer, {k: v for k, v in GOOD.items() if k != "inner"}, "train")


def test_call_checks_options_against_the_signature() -> None:
    def build(channels: int, *, heads: int, dropout: float) -> tuple[int, int, float]:
        return channels, heads, dropout

    assert call(build, {"heads": 2, "dropout": 0}, "a", channels=8) == (8, 2, 0.0)
    with pytest.raises(ConfigError, match=r"`a\.head`.*did you mean `heads`"):
        call(build, {"head": 2, "dropout": 0.0}, "a", channels=8)
    with pytest.raises(ConfigError, match=r"`a\.channels` is not an option"):
        call(build, {"heads": 2, "dropout": 0.0, "channels": 3}, "a", channels=8)
    with pytest.raises(ConfigError, match=r"`a\.heads=2\.5` should be a whole number"):
        call(build, {"heads": 2.5, "dropout": 0.0}, "a", channels=8)


def test_a_function_may_take_its_options_as_one_record() -> None:
    def build(channels: int, options: Inner) -> tuple[int, Inner]:
        return channels, options

    good = {"patience": 3, "metric": "val_loss"}
    assert call(build, good, "a", channels=8) == (8, Inner(3, "val_loss"))
    with pytest.raises(ConfigError, match=r"`a\.patince`.*did you mean `patience`"):
        call(build, {"patince": 2, "metric": "val_loss"}, "a", channels=8)


def test_a_function_is_chosen_by_its_name() -> None:
    known = {"halve": lambda x: x / 2, "double": lambda x: 2 * x}
    assert call_named(known, {"name": "double"}, "a", x=3) == 6
    with pytest.raises(ConfigError, match=r"a\.name='doubel' is not known; did you mean `double`"):
        call_named(known, {"name": "doubel"}, "a", x=3)


def test_builders_are_found_by_name_and_private_modules_are_not() -> None:
    package = "braintumor.models.attention"
    assert {"mhsa", "se", "cbam", "none"} <= set(component_names(package))
    assert callable(find_builder(package, "se", "model.attention.name"))
    with pytest.raises(ConfigError, match=r"model\.attention\.name='mhsb'.*did you mean `mhsa`"):
        find_builder(package, "mhsb", "model.attention.name")
    with pytest.raises(ConfigError):
        find_builder(package, "..errors", "model.attention.name")


@pytest.mark.parametrize(
    "text",
    ["no", "Raw Data", "a/b-c_d.png", "T1C+", "a=b", "x,y", "[1]", "{a: b}", "(x)", "it's",
     'say "hi"', "1", "001", "1e5", "true", "Null", "512Glioma", "${x}", "\\${x}", "a'${y}'",
     "$HOME", "`id`", "!x", "a\\", "a\\'b", "\\", "a\\\\'", "Астроцитома", "a:b", "*", "~x", "#x",
     " lead", "trail ", "a\tb", "", "a;b", "a|b", "%d", "@x", "new\nline"],
)  # fmt: skip
def test_a_pasted_setting_arrives_through_shell_and_hydra_as_it_was(text: str) -> None:
    for value in (text, [text, "b"]):
        word = pasteable("key", value)
        shell = subprocess.run(["sh", "-c", f"printf %s {word}"], capture_output=True, text=True)
        parsed = OverridesParser.create().parse_override(shell.stdout).value()
        settings = OmegaConf.create({"key": parsed})
        assert OmegaConf.to_container(settings, resolve=True) == {"key": value}


def test_a_setting_without_special_characters_is_not_quoted() -> None:
    assert pasteable("data.root", "runs/a-b_1.zip") == "data.root=runs/a-b_1.zip"
    assert pasteable("data.classes", ["no", "yes"]) == "'data.classes=[no,yes]'"
    assert pasteable("data.root", "my mri") == "data.root=\"'my mri'\""


def test_lists_of_mappings_can_be_pasted_too() -> None:
    value = [
        {"epochs": 3, "trainable": "head"},
        {"epochs": 5, "trainable": 2, "lr": 1e-5, "x": None},
    ]
    word = pasteable("train.phases", value)
    shell = subprocess.run(["sh", "-c", f"printf %s {word}"], capture_output=True, text=True)
    assert OverridesParser.create().parse_override(shell.stdout).value() == value
