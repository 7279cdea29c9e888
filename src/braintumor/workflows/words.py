"""The words of a command line: the names of models, and answers to words that are wrong.

model=<backbone>[_<attention>] exists for every file in configs/model/backbone and every file
in configs/model/attention: a new backbone is one YAML, and all its names appear.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from braintumor.config import config_dir, did_you_mean, options_of, pasteable

_ONE_AT_A_TIME = threading.RLock()
# what other toolkits call it
_SYNONYMS = {
    "learning_rate": "optimizer.lr",
    "lr": "optimizer.lr",
    "epochs": "train.epochs",
    "num_epochs": "train.epochs",
    "n_epochs": "train.epochs",
    "bs": "train.batch_size",
    "img_size": "data.image_size",
    "path": "data.root",
    "checkpoint": "ckpt",
    "patience": "train.early_stopping.patience",
    "pretrained": "model.backbone.weights",
}
# what a word without a key is meant for, by command
_MAIN_KEY = {
    "train": "data=folder data.root={}",
    "eval": "ckpt={}",
    "predict": "input={}",
    "data": "data=folder data.root={}",
    "compare": "'runs=[{}]'",
}


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


def answer_mistake(error: Exception, config_name: str, words: Sequence[str]) -> str | None:
    """One sentence on a mistake in the words typed; None when the error is something else."""
    if isinstance(error, OverrideParseException):
        return _explain_syntax(error.override, config_name)
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={name} is not known; {did_you_mean(name, error.options)}"
    if isinstance(error, HydraException):
        return _explain_key(error, config_name)
    if isinstance(error, ValueError) and "Config group override must be" in str(error):
        return _explain_group(words)
    if isinstance(error, yaml.YAMLError):
        return f"a settings file is not YAML: {' '.join(str(error).split())}"
    return " ".join(str(error).split()) if isinstance(error, OmegaConfBaseException) else None


def _explain_group(words: Sequence[str]) -> str | None:
    """On data=null and data=3: a group takes the name of one of its options."""
    for word in words:
        group, _, value = word.partition("=")
        options = sorted(model_names()) if group == "model" else options_of(group)
        if group and value and options and value not in options:
            known = did_you_mean(value, options)
            return f"{word} names no option of {group}; leave it out, or choose one. {known}"
    return None


def _explain_syntax(override: str, config_name: str) -> str:
    key, _, value = override.partition("=")
    if not value:
        meant = _MAIN_KEY[config_name].format(key)
        return (
            f"{override!r} is not an override; settings look like key=value; did you mean {meant}?"
        )
    unquoted = value.strip("'\"")
    return (
        f"the value in {override!r} has characters with a meaning of their own; quote it twice, "
        f"for the shell and for Hydra: {pasteable(key, unquoted)}"
    )


def _explain_key(error: Exception, config_name: str) -> str:
    text = " ".join(str(error).split())
    found = re.search(
        r"Could not (?:override|append to|delete from config\.|find match for override) '([^'=]+)",
        text,
    )
    if not found:
        found = re.search(r"Could not override '([^']+)'", text)
    if not found:
        return text
    key = found.group(1).lstrip("+~")
    if "No match in the defaults list" in text and options_of(key):
        return f"{key}= is not for bt-{config_name}; leave it out"
    known = _known_keys(error, config_name)
    if key in known:
        return text
    section, _, leaf = key.rpartition(".")
    if owners := _owners(section, leaf):
        return (
            f"`{key}` belongs to {section}={'|'.join(owners)}; add {section}={owners[0]} to the "
            "command"
        )
    near = [name for name in known if name.rpartition(".")[0] == section] or known
    # a whole wrong path matches best against whole paths, a wrong leaf against its siblings
    return f"`{key}` is not a setting; {_nearest(key, known, near)}"


def _owners(section: str, leaf: str) -> list[str]:
    """Options of a config group that have this key, `folder` first among data sets."""
    folder = config_dir() / section
    files = sorted(folder.glob("[!_]*.yaml")) if section else []
    having = [file.stem for file in files if leaf in _keys_of(file)]
    return sorted(having, key=lambda name: (name != "folder", name))


def _keys_of(file: Path) -> set[str]:
    """Keys of a config file and of those in its folder that it builds on."""
    text = file.read_text(encoding="utf-8")
    parents = re.search(r"^defaults: \[([\w, ]+)\]", text, re.M)
    names = [name.strip() for name in parents.group(1).split(",")] if parents else []
    texts = [text, *((file.parent / f"{name}.yaml").read_text(encoding="utf-8") for name in names)]
    return {key for content in texts for key in re.findall(r"^(\w+):", content, re.M)}


def _nearest(key: str, known: list[str], siblings: list[str]) -> str:
    leaf = key.rpartition(".")[2]
    near = [_SYNONYMS[leaf]] if _SYNONYMS.get(leaf) in known else []
    near = near or difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    near = near or [name for name in known if name.rpartition(".")[2] == leaf][:1]
    if near:
        return f"did you mean `{near[0]}`? `--cfg job` shows all"
    listed = ", ".join(siblings[:12])
    return f"settings near it: {listed}; `--cfg job` shows all"


def _known_keys(error: Exception, config_name: str) -> list[str]:
    """Every key and config group that the command takes, with the choices that were made."""
    # the complaint holds what Hydra had composed until then; composing anew takes 0.2 s
    node = getattr(error.__cause__, "parent_node", None)
    if node is None:
        with own_hydra():
            cfg = hydra.compose(config_name)
    else:
        cfg = node._get_root()
    root = config_dir()
    groups = [str(p.relative_to(root)) for p in root.rglob("*") if p.is_dir()]
    keys = _flatten(OmegaConf.to_container(cfg))
    return sorted({*(key for key in keys if not key.startswith("hydra")), *groups})


def _flatten(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
