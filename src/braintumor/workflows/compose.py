"""The words of a command as settings, without its process: what the Python API stands on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hydra
from omegaconf import OmegaConf, open_dict

from braintumor.config import options_of
from braintumor.errors import ConfigError
from braintumor.interrupts import deferred
from braintumor.quoting import hydra_value
from braintumor.workflows.arguments import Request, check_settings, with_found_places
from braintumor.workflows.mistakes import answer_mistake, refuse_words
from braintumor.workflows.words import Typed, for_hydra, own_hydra


def compose(command: str, words: Sequence[str], settings: Mapping[str, Any]) -> Request:
    """The request that bt-<command> makes of the same words.

    words: as typed after the command, such as "data.root=mri"; no sweeps.
    settings: the same as names and values. A mapping is a section: train={"epochs": 3} says
        train.epochs=3. What has a folder, such as a Run, stands for it.
    Raises ConfigError in the sentences of the command.

    >>> compose("train", ["seed=3"], {"model": "cnn"}).overrides
    ('seed=3', 'model=cnn')
    """
    if wrong := [word for word in words if not isinstance(word, str)]:
        raise ConfigError(
            f'{wrong[0]!r:.60} is no word; give texts such as "data.root=mri", a list as *list'
        )
    typed = Typed(command, (*words, *_words_of(settings)), is_python=True)
    if flags := [word for word in typed.words if word.startswith("-")]:
        raise ConfigError(f"{flags[0]} is for the command line; call the function in a loop")
    refuse_words(typed)
    overrides = tuple(for_hydra(typed))
    with own_hydra(), deferred():  # OmegaConf, cut off, may raise something else
        try:
            cfg = hydra.compose(command, [*overrides], return_hydra_config=True)
            chosen = {str(k): str(v) for k, v in cfg.hydra.runtime.choices.items()}
            with open_dict(cfg):
                del cfg["hydra"]
            composed: Any = OmegaConf.to_container(cfg, resolve=True)
        except Exception as error:
            answer = answer_mistake(error, typed)
            if answer is None:
                raise
            raise ConfigError(answer) from error
    composed = with_found_places(composed)
    check_settings(command, composed)
    choices = {k: v for k, v in chosen.items() if not k.startswith("hydra/")}
    own = typed.with_own_pictures if typed.names_nothing else ""
    command_line = (f"bt-{command}", *overrides)
    return Request(composed, choices, overrides, command=command_line, own_pictures=own)


def _words_of(settings: Mapping[str, Any], section: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            if not section and value.get("name") in options_of(name):
                yield f"{name}={value['name']}"  # data={"name": "folder", "root": "mri"}
                value = {key: inner for key, inner in value.items() if key != "name"}
            yield from _words_of(value, f"{section}{name}.")
        else:
            yield f"{section}{name}={hydra_value(_plain(value))}"


def _plain(value: Any) -> Any:
    """Paths, and what has a folder, as text, arrays as lists; also inside lists."""
    value = getattr(value, "folder", value)
    if hasattr(value, "tolist"):
        value = value.tolist()  # arrays and numbers of numpy
    if isinstance(value, list | tuple | range):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, str | int | float | Mapping):
        return value
    raise ConfigError(
        f"{type(value).__name__} is no setting; give a text, a number, a path or a Run"
    )
