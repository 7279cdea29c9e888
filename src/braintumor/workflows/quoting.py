"""Paths in the words of a command, quoted for Hydra, to which `~`, spaces and brackets say more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from braintumor.config import hydra_value

# settings that are paths, whether they are there or not
_PATHS = frozenset((
    "data.root", "data.table", "ckpt", "input", "resume", "init", "runs", "on",
    "model.backbone.weights",
))  # fmt: skip
_NAMES = frozenset(("data.classes", "data.ignore", "data.class_names"))  # lists of folders, classes
# one text each, whose commas and brackets are its own
_WHOLE = frozenset(("data.patient_regex", "run_dir", "hydra.run.dir", "hydra.sweep.dir"))
# what Hydra reads as more than a text: quotes, its own values, another setting's, its functions
_MEANT_FOR_HYDRA = re.compile(r"""['"{]|null$|.*\$\{|(choice|range|interval|glob|sort|shuffle)\(""")
_QUOTED_OR_NOT = re.compile(r"""\s*('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^,]*?)\s*(?:,|$)""")


def quote_paths(words: Iterable[str]) -> list[str]:
    """The words with every path as one text, so that it arrives as the shell passed it on.

    A comma and brackets are part of a path where a file or folder has that name; else they make a
    sweep and a list, whose parts are quoted one by one.

    >>> quote_paths(["data.root=~/my mri (2)", "seed=1,2", "runs=[~/a,b]"])
    ["data.root='~/my mri (2)'", 'seed=1,2', "runs=['~/a',b]"]
    """
    return [_quoted(word) for word in words]


def is_there(path: str) -> bool:
    """Whether a file or folder has this name."""
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, no home, a zero byte
        return False


def _quoted(word: str) -> str:
    key, sign, value = word.partition("=")
    if key == "--config-dir" and sign:
        return f"{key}{sign}{_at_home(value)}"
    if not value or key.startswith("-"):
        return word
    name = key.lstrip("+")
    is_list = value.startswith("[") and value.endswith("]")
    is_path = name in _PATHS or (name in _NAMES and is_list) or name in _WHOLE
    # elsewhere a name alone may be an option, such as data=folder beside a folder of that name
    if (name in _PATHS or "/" in value) and is_there(value):
        return f"{key}{sign}{hydra_value(value)}"
    if not is_path or _MEANT_FOR_HYDRA.match(value):
        return word
    if name in _WHOLE:
        return f"{key}{sign}{hydra_value(value)}"
    parts = ",".join(_parts(value[1:-1] if is_list else value))
    return f"{key}{sign}[{parts}]" if is_list else f"{key}{sign}{parts}"


def _parts(text: str) -> Iterator[str]:
    """What stands between commas, for Hydra; a name with commas where there is one."""
    parts = [found[1] for found in _QUOTED_OR_NOT.finditer(text) if found[0]]
    while parts:
        lengths = range(len(parts), 1, -1)
        length = next((n for n in lengths if is_there(",".join(parts[:n]))), 1)
        part = ",".join(parts[:length])
        yield part if part[:1] in ("'", '"') and part[-1:] == part[:1] else hydra_value(part)
        parts = parts[length:]


def _at_home(path: str) -> str:
    """`~` as the home folder, where there is one."""
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        return path
