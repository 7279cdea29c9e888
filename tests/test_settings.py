"""Typed settings and names: every mistake names the key and the nearest right one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from braintumor.errors import ConfigError
from braintumor.settings import call, component_names, find_builder, typed


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
        ({"inner": 3}, r"`train\.inner=3` should be Inner"),
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


def test_builders_are_found_by_name_and_private_modules_are_not() -> None:
    package = "braintumor.models.attention"
    assert {"mhsa", "se", "cbam", "none"} <= set(component_names(package))
    assert callable(find_builder(package, "se", "model.attention.name"))
    with pytest.raises(ConfigError, match=r"model\.attention\.name='mhsb'.*did you mean `mhsa`"):
        find_builder(package, "mhsb", "model.attention.name")
    with pytest.raises(ConfigError):
        find_builder(package, "..errors", "model.attention.name")
