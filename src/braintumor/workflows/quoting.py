"""Paths in the words of a command, quoted for Hydra, to which `~`, spaces and brackets say more."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from braintumor.config import hydra_value

# settings that are paths, whether they are there or not
_PATHS = frozenset((
    "data.root", "data.table", "ckpt", "input", "resume", "init", "run_dir", "runs", "on",
    "model.backbone.weights", "hydra.run.dir", "hydra.sweep.dir",
))  # fmt: skip
# what Hydra reads as more than a text: quotes, its own values, another setting's, its functions
_MEANT_FOR_HYDRA = re.compile(r"""['"{]|null$|.*\$\{|(choice|range|interval|glob|sort|shuffle)\(""")


def quote_paths(words: Iterable[str]) -> list[str]:
    """The words with every path as one text, so that it arrives as the shell passed it on.

    A comma and brackets are part of a path where a file or folder has that name; else they make a
    sweep and a list, whose parts are quoted one by one.

    >>> quote_paths(["data.root=~/my mri (2)", "seed=1,2", "runs=[~/a,b]"])
    ["data.root='~/my mri (2)'", 'seed=1,2', "runs=['~/a',b]"]
    """
    return [_quoted(word) for word in words]


def _quoted(word: str) -> str:
    key, sign, value = word.partition("=")
    if not value or key.startswith("-"):
        return word
    is_path = key.lstrip("+") in _PATHS
    # elsewhere a name alone may be an option, such as data=folder beside a folder of that name
    is_there = (is_path or "/" in value) and _exists(value)
    if not is_there and (not is_path or _MEANT_FOR_HYDRA.match(value)):
        return word
    if is_there:
        return f"{key}{sign}{hydra_value(value)}"
    is_list = value.startswith("[") and value.endswith("]")
    inside = value[1:-1] if is_list else value
    if is_list and re.search(r"""[\[\]'"]""", inside):
        return word
    parts = ",".join(hydra_value(part.strip()) for part in inside.split(","))
    return f"{key}{sign}[{parts}]" if is_list else f"{key}{sign}{parts}"


def _exists(value: str) -> bool:
    try:
        return Path(value).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, no home, a zero byte
        return False
