"""The settings of a command: those there are, and the one that a wrong name may mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
from omegaconf import OmegaConf

from braintumor.config import config_dir
from braintumor.workflows.arguments import TRAININGS
from braintumor.workflows.choices import own_data
from braintumor.workflows.words import own_hydra

# what other toolkits call it
SYNONYMS = {
    "learning_rate": "optimizer.lr",
    "lr": "optimizer.lr",
    "epochs": "train.epochs",
    "num_epochs": "train.epochs",
    "n_epochs": "train.epochs",
    "bs": "train.batch_size",
    "image": "input",
    "images": "input",
    "img_size": "data.image_size",
    "imgsz": "data.image_size",
    "path": "data.root",
    "data_dir": "data.root",
    "root": "data.root",
    "dropout": "model.backbone.dropout",
    "checkpoint": "ckpt",
    "weights": "model.backbone.weights",
    "patience": "train.early_stopping.patience",
    "pretrained": "model.backbone.weights",
    "output": "run_dir",
    "output_dir": "run_dir",
}


def setting_called(name: str, command: str) -> str | None:
    """The setting of a command that has or is meant by this name; None when there is none.

    >>> setting_called("lr", "train")
    'optimizer.lr'
    """
    with own_hydra():
        known = _flattened(hydra.compose(command))
    return name if name in known else same_name(name, known)


def same_name(key: str, known: list[str]) -> str | None:
    """The setting that other toolkits call so, or that has this name in another section."""
    leaf = key.rpartition(".")[2]
    if SYNONYMS.get(leaf) in known:
        return SYNONYMS[leaf]
    return next((name for name in known if name != key and name.rpartition(".")[2] == leaf), None)


def nearest(key: str, known: list[str], start: str) -> str | None:
    """A wrong path matches best against whole paths, a wrong leaf against its siblings.

    start: the section of the siblings with its dot, or "".
    """
    candidates = [name for name in _candidates(key, known) if name.startswith(start)]
    leaves = [name.removeprefix(start) for name in candidates]
    near = difflib.get_close_matches(key.removeprefix(start).casefold(), leaves, n=1, cutoff=0.6)
    return f"{start}{near[0]}" if near else None


def of_another_option(key: str, given: str) -> tuple[str, list[str], list[str]] | None:
    """Section, the options of it that have this setting, and the words that set it there."""
    key = SYNONYMS.get(key.rpartition(".")[2], key)
    section, _, leaf = key.rpartition(".")
    group = section.replace(".", "/")
    owners = _owners(group, leaf)
    if not owners:
        return None
    words = own_data(given.strip("'\"")) if key == "data.root" else None
    return group, owners, words or [f"{group}={owners[0]}", f"{key}={given}"]


def _owners(group: str, leaf: str) -> list[str]:
    """Options of a config group that have this key, those for anything first: folder, timm."""
    folder = config_dir() / group
    files = sorted(folder.glob("[!_]*.yaml")) if group else []
    having = [file.stem for file in files if leaf in _keys_of(file)]
    return sorted(having, key=lambda name: (name not in ("folder", "timm"), name))


def _candidates(key: str, known: list[str]) -> list[str]:
    """What may be meant by a key: settings, also of options not chosen; groups for a plain word."""
    groups = [name for name in known if (config_dir() / name).is_dir()]
    sections = {name.rpartition(".")[0] for name in known}
    settings = [name for name in known if name not in sections and name not in groups]
    return [*settings, *_all_keys(groups), *([] if "." in key else groups)]


def _all_keys(groups: list[str]) -> list[str]:
    """Settings of all options of these groups."""
    files = [(g, file) for g in groups for file in (config_dir() / g).glob("[!_]*.yaml")]
    skipped = ("experiment", "debug", "training", "evaluation", "decision", "features")
    return sorted(
        {
            f"{group.replace('/', '.')}.{key}"
            for group, file in files
            if group not in skipped
            for key in _keys_of(file)
        }
    )


def _keys_of(file: Path) -> set[str]:
    """Keys of a config file and of those in its folder that it builds on."""
    text = file.read_text(encoding="utf-8")
    parents = re.search(r"^defaults: \[([\w, ]+)\]", text, re.M)
    names = [name.strip() for name in parents.group(1).split(",")] if parents else []
    texts = [text, *((file.parent / f"{name}.yaml").read_text(encoding="utf-8") for name in names)]
    return {key for content in texts for key in re.findall(r"^(\w+):", content, re.M)}


def known_keys(error: Exception, command: str) -> list[str]:
    """Every key and config group that the command takes, with the choices that were made."""
    # the complaint holds what Hydra had composed until then; composing anew takes 0.2 s
    node = getattr(error.__cause__, "parent_node", None)
    if node is None:
        with own_hydra():
            cfg = hydra.compose(command)
    else:
        cfg = node._get_root()
    keys = _flattened(cfg)
    root = config_dir()
    groups = [str(p.relative_to(root)) for p in root.rglob("*") if p.is_dir()]
    of_command = {key.split(".")[0] for key in keys}
    if command in TRAININGS:
        of_command |= {"experiment", "debug"}
    return sorted({*keys, *(group for group in groups if group.split("/")[0] in of_command)})


def _flattened(cfg: Any) -> list[str]:
    return [k for k in _flatten(OmegaConf.to_container(cfg)) if not k.startswith("hydra")]


def _flatten(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
