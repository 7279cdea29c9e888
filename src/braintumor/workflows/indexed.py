"""One part of a list, as in train.phases[0].epochs=2: lists are set whole, so that is shown."""

from __future__ import annotations

import copy
import re
from typing import Any

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf

from braintumor.config import call, setting
from braintumor.errors import ConfigError, some
from braintumor.quoting import hydra_value, key_of
from braintumor.training.recipe import Phase
from braintumor.workflows.words import Typed, own_hydra

_INDEXED = re.compile(r"([A-Za-z_][\w.]*?)(?:\[(\d+)\]|\.(\d+))((?:\.\w+)*)")


def refuse_indexed(typed: Typed) -> None:
    """Raises ConfigError on words that set one part of a list, with the whole list to give."""
    found = [(_INDEXED.fullmatch(key_of(word)), word) for word in typed.words if "=" in word]
    indexed = [(match, word) for match, word in found if match]
    if not indexed:
        return
    settings = _composed(typed, [word for _, word in indexed])
    key = indexed[0][0][1]
    whole = copy.deepcopy(setting(settings, key))
    if not isinstance(whole, list):
        return  # no list: Hydra's complaint is answered as any other
    words = [(match, word) for match, word in indexed if match[1] == key]
    for match, word in words:
        _set_part(whole, match, word)
    said = " ".join(word for _, word in words)
    for number, phase in enumerate(whole if key == "train.phases" else []):
        if not isinstance(phase, dict):
            raise ConfigError(
                f"`{key}[{number}]={phase}` should hold epochs and trainable, such as "
                "{epochs: 2, trainable: all}"
            )
        call(Phase, phase, f"{key}[{number}]")
    advice = typed.use(f"{key}={hydra_value(whole)}")
    raise ConfigError(f"{said} sets one part of a list, and lists are set whole; {advice}")


def _set_part(whole: list[Any], match: re.Match[str], word: str) -> None:
    number = int(match[2] or match[3])
    if number >= len(whole):
        raise ConfigError(
            f"{word}: {match[1]} has {some(len(whole), 'entry')}, which are counted from 0: "
            f"{match[1]}={hydra_value(whole)}"
        )
    value = yaml.safe_load(word.partition("=")[2].strip("'\""))
    inner: Any = whole
    steps: list[Any] = [number, *match[4].split(".")[1:]]
    for step in steps[:-1]:
        inner = inner[step]
    inner[steps[-1]] = value


def _composed(typed: Typed, without: list[str]) -> Any:
    """The settings of the other words; where they do not compose, of the choices among them."""
    others = [w for w in typed.words if w not in without and "=" in w and not w.startswith("-")]
    choices = [word for word in others if "." not in key_of(word) and "," not in word]
    with own_hydra():
        for words in (others, choices, []):
            try:
                return OmegaConf.to_container(hydra.compose(typed.command, words))
            except HydraException:
                continue
    return {}
