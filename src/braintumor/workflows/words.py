"""The words of a command, by whichever door they come: the names of models, and what Hydra gets.

Paths are quoted for Hydra, to which `~`, spaces and brackets say more.

model=<backbone>[_<attention>] exists for every file in configs/model/backbone and every file
in configs/model/attention: a new backbone is one YAML, and all its names appear.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from braintumor.config import config_dir, options_of
from braintumor.errors import ConfigError
from braintumor.places import as_path, is_there
from braintumor.quoting import hydra_value, key_of, shell_line
from braintumor.workflows.arguments import PATHS, TRAININGS, resumable

_NAMES = frozenset(("data.classes", "data.ignore", "data.class_names"))  # lists of folders, classes
# one text each, whose commas and brackets are its own
_WHOLE = frozenset(("data.patient_regex", "run_dir", "hydra.sweep.dir"))
# what Hydra reads as more than a text: quotes, its own values, another setting's, its functions
_MEANT_FOR_HYDRA = re.compile(r"""['"]|null$|.*\$\{|(choice|range|interval|glob|sort|shuffle)\(""")
_QUOTED_OR_NOT = re.compile(r"""\s*('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^,]*?)\s*(?:,|$)""")
_ONE_AT_A_TIME = threading.RLock()
_BESIDE = ("run_dir", "overwrite", "device", "tune")  # they do not say what is trained
_FUNCTIONS = {"eval": "bt.evaluate", "data": "bt.read_data"}  # others are called as their command


@dataclass(frozen=True)
class Typed:
    """The words of one command. is_python: they came by the Python API."""

    command: str
    words: tuple[str, ...]
    is_python: bool = False

    def use(self, *words: str) -> str:
        """What to give in the place of a wrong word: "use data=folder data.root=mri"."""
        if self.is_python:
            return f"use {', '.join(json.dumps(word, ensure_ascii=False) for word in words)}"
        return f"use {shell_line(words)}"

    def did_you_mean(self, near: str, *words: str) -> str:
        """A question that is answered by giving these words."""
        return f"did you mean `{near}`? Then {self.use(*words)}"

    def name_of(self, command: str) -> str:
        """A command as it is called here: bt-eval, bt.evaluate."""
        return _FUNCTIONS.get(command, f"bt.{command}") if self.is_python else f"bt-{command}"

    @property
    def names_nothing(self) -> bool:
        """Whether the words leave open what to read (bt-data), or what to train on what."""
        if self.command == "data":
            return not self.of("data")
        keys = [key for key in map(key_of, self.words) if key.partition(".")[0] not in _BESIDE]
        return self.command in TRAININGS and not keys

    @property
    def with_own_pictures(self) -> str:
        """How the command is called with a folder of pictures."""
        words = ["data=folder", "data.root=FOLDER"]
        name = self.name_of(self.command)
        if self.is_python:
            return f"{name}({', '.join(map(json.dumps, words))})"
        return f"{name} {shell_line(words)}"

    def of(self, key: str) -> list[str]:
        """The words that set it."""
        return [word for word in self.words if key_of(word) == key]


def for_hydra(typed: Typed) -> list[str]:
    """The words as Hydra is to read them.

    Paths are quoted; None is null; + before a setting that is there already does no harm; where
    nothing is named, bt-train trains as experiment=demo says.
    Raises ConfigError on words that take settings away.
    """
    words = [_unmarked(_none(word)) for word in quote_paths(typed.words)]
    if removal := next((word for word in words if word.startswith("~")), None):
        raise ConfigError(f"{removal} takes away what the command needs; leave it out")
    if typed.command in TRAININGS and typed.names_nothing:
        words = ["experiment=demo", *words]  # what anybody runs first is to learn something
    return resumable(words) if typed.command == "train" else words


def is_sweep(words: Iterable[str]) -> bool:
    """Whether those of a command ask for several jobs."""
    return not {"-m", "--multirun", "hydra.mode=MULTIRUN"}.isdisjoint(words)


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
    if key == "--config-dir" and sign:
        return f"{key}{sign}{as_path(value, key)}"
    if not value or key.startswith("-"):
        return word
    name = key.lstrip("+")
    is_list = value.startswith("[") and value.endswith("]")
    is_path = name in PATHS or (name in _NAMES and is_list) or name in _WHOLE
    # elsewhere a name alone may be an option, such as data=folder beside a folder of that name
    if (name in PATHS or "/" in value) and is_there(value):
        return f"{key}{sign}{hydra_value(value)}"
    if not is_path or _MEANT_FOR_HYDRA.match(value):
        return word
    if name in _WHOLE:
        return f"{key}{sign}{hydra_value(value)}"
    parts = ",".join(_parts(value[1:-1] if is_list else value))
    return f"{key}{sign}[{parts}]" if is_list else f"{key}{sign}{parts}"


def _parts(text: str) -> Iterator[str]:
    """What stands between commas, for Hydra; a name with commas where there is one."""
    parts = [found for found in _QUOTED_OR_NOT.finditer(text) if found[0]]
    while parts:
        names = [text[parts[0].start(1) : part.end(1)] for part in parts]
        length = next((n for n in range(len(parts), 1, -1) if is_there(names[n - 1])), 1)
        part = names[length - 1]
        yield part if part[:1] in ("'", '"') and part[-1:] == part[:1] else hydra_value(part)
        parts = parts[length:]


def _none(word: str) -> str:
    """KEY=None, as Python says it, in Hydra's way."""
    key, sign, value = word.partition("=")
    if value != "None":
        return word
    return f"{key}{sign}{'none' if key.endswith('.weights') else 'null'}"


def _unmarked(word: str) -> str:
    """+GROUP=OPTION as GROUP=OPTION, +KEY=VALUE as ++KEY=VALUE, which may also replace."""
    if not word.startswith("+"):
        return word
    key = key_of(word)
    is_group = "." not in key and (config_dir() / key).is_dir()
    return word.lstrip("+") if is_group else f"++{word.lstrip('+')}"


def model_names() -> dict[str, tuple[str, str]]:
    """Name on the command line -> (backbone, attention)."""
    backbones, attentions = options_of("model/backbone"), options_of("model/attention")
    return {
        backbone if attention == "none" else f"{backbone}_{attention}": (backbone, attention)
        for backbone in backbones
        for attention in attentions
    }


def register_models() -> None:
    """Tell Hydra of every model name."""
    store = ConfigStore.instance()
    for name, (backbone, attention) in model_names().items():
        parts = [{"backbone": backbone}, {"attention": attention}, {"head": "default"}]
        store.store(group="model", name=name, node={"defaults": parts})


@contextlib.contextmanager
def own_hydra() -> Iterator[None]:
    """Hydra is one for a process: a notebook's own is there again afterwards."""
    with _ONE_AT_A_TIME:
        theirs = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        register_models()
        try:
            with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
                yield
        finally:
            GlobalHydra.instance().hydra = theirs
