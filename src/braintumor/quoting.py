"""Settings as a user types and pastes them: quoted for Hydra, and that for the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def pasteable(key: str, value: str | Sequence | Mapping) -> str:
    """key=value as a user can paste it: quoted for Hydra, and that for the shell, where needed.

    >>> print(pasteable("data.root", "my mri"))
    data.root="'my mri'"
    >>> print(pasteable("train.phases", [{"epochs": 3, "trainable": "head"}]))
    'train.phases=[{epochs: 3, trainable: head}]'
    """
    text = hydra_value(value)
    return f"{key}={_for_shell(text)}" if isinstance(value, str) else _for_shell(f"{key}={text}")


def hydra_value(value: Any) -> str:
    """What Hydra reads as this value, and not as a number, a list or a sum of choices."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {hydra_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(hydra_value, value))}]"
    if not isinstance(value, str):
        return "null" if value is None else str(value).lower()
    plain = re.fullmatch(r"[A-Za-z_./][\w./+-]*", value, re.ASCII)
    if plain and value.lower() not in ("true", "false", "null", "nan", "inf"):
        return value
    # backslashes count before a quote, before ${ (another setting's value) and at the end
    escaped = re.sub(r"(\\*)('|\$\{)", r"\1\1\\\2", value)
    escaped += "\\" * (len(escaped) - len(escaped.rstrip("\\")))
    return f"'{escaped}'"


def key_of(word: str) -> str:
    """The setting that a word of a command is about.

    >>> key_of("++train.epochs=3")
    'train.epochs'
    """
    return word.lstrip("+~").partition("=")[0]


def shell_line(words: Iterable[str]) -> str:
    """The words as one line that a shell takes apart again, in quotes where they need them.

    >>> print(shell_line(["bt-train", "data.root='my mri'", "seeds=[0,1]"]))
    bt-train "data.root='my mri'" 'seeds=[0,1]'
    """
    return " ".join(map(_for_shell, words))


def _for_shell(text: str) -> str:
    if "'" in text and not re.search(r'[$`"!\\]', text):
        return f'"{text}"'  # easier to read than what shlex makes of it
    return shlex.quote(text)
