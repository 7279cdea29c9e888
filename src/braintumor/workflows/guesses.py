"""What a wrong name may mean: a setting, a network of timm, a place where a data set is."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import OmegaConf

from braintumor.config import config_dir, options_of
from braintumor.places import is_there
from braintumor.workflows.arguments import TRAININGS, check_settings
from braintumor.workflows.synonyms import SETTINGS, option_called
from braintumor.workflows.words import Typed, model_names, own_hydra

_SIZES = ("tiny", "small", "base")  # of a network, the smallest first


def preset_of(path: Path) -> str | None:
    """The option of data= that reads this file or folder; None for a file of another kind."""
    # NumPy and Pillow, which no other answer needs
    from braintumor.data.sources.archive import is_archive_name
    from braintumor.data.sources.folder import OTHER_SOURCES

    if path.is_dir():
        return "npz" if any([*path.glob("*.npz"), *path.glob("*.npy")]) else "folder"
    if is_archive_name(path.name):
        return "archive"
    return OTHER_SOURCES.get(path.suffix.casefold())


def own_data(place: str) -> list[str]:
    """The words by which a data set is read there, such as data=folder data.root=DIR."""
    preset = preset_of(Path(place).expanduser()) if is_there(place) else None
    key = "data.table" if preset == "table" else "data.root"
    return [f"data={preset or 'folder'}", f"{key}={place}"]


def explain_choice(group: str, name: str, options: Sequence[str], typed: Typed) -> str:
    """One sentence on GROUP=NAME where the group has no such option."""
    if group in ("model", "model/backbone"):
        return _explain_model(group, name, typed)
    if group == "data":
        if is_there(name):
            if preset_of(Path(name).expanduser()) is None:
                return (
                    f"data={name} is a file of another kind; data sets are folders, zip or tar "
                    "files, .npz files and .csv tables"
                )
            return f"data={name} names a place; {typed.use(*own_data(name))}"
        if "/" in name or name.startswith("~") or preset_of(Path(name)):
            return f"data={name} is no data set, and there is no file or folder of that name"
    known = sorted(option for option in options if not option.startswith("_"))
    near = option_called(name, known)
    use = "choose one, or leave it out"
    if near:
        use = typed.did_you_mean(near, f"{group}={near}")
    return f"{group}={name} is not known; there are {', '.join(known)}; {use}"


def _explain_model(group: str, name: str, typed: Typed) -> str:
    own = list(model_names()) if group == "model" else options_of(group)
    nets, plain = _timm_names(), name.casefold().replace("-", "_")
    stem, _, last = plain.rpartition("_")
    has_attention = group == "model" and stem and last in options_of("model/attention")
    net, attention = (stem, f"_{last}") if has_attention else (plain, "")

    same = [known for known in own if known.replace("_", "") == plain.replace("_", "")]
    if not same and net in nets:
        timm = typed.use(f"{group}=timm{attention}", f"model.backbone.timm_name={net}")
        return f"{group}={name} is a net of timm; {timm}"
    begun = sorted((known for known in own if known.startswith(plain)), key=len)
    longer = sorted((known for known in nets if known.startswith(net)), key=_simplest)
    close = difflib.get_close_matches(plain, own, n=1, cutoff=0.7)
    if ours := same or begun or ([] if longer else close):
        near = typed.did_you_mean(ours[0], f"{group}={ours[0]}")
        return f"{group}={name} is not known; {near}"
    family = [known for known in nets if known.startswith(f"{net.partition('_')[0]}_")]
    close = difflib.get_close_matches(net, family or nets, n=12, cutoff=0.4 if family else 0.75)
    if theirs := longer or sorted(close, key=_simplest):
        timm = typed.use(f"{group}=timm{attention}", f"model.backbone.timm_name={theirs[0]}")
        return f"{group}={name} is not known, but timm has {', '.join(theirs[:3])}; {timm}"
    backbones = ", ".join(options_of("model/backbone"))
    return f"{group}={name} is not known; known are {backbones}, each also with _se, _cbam or _mhsa"


def _simplest(name: str) -> tuple[int, bool, int, str]:
    size = next((i for i, word in enumerate(_SIZES) if f"_{word}" in name), len(_SIZES))
    return size, "patch16_224" not in name, len(name), name


def _timm_names() -> list[str]:
    """The nets of timm, read from its files: to import it would take seconds."""
    try:
        found = importlib.util.find_spec("timm")
    except ImportError:
        return []
    places = found.submodule_search_locations if found else None
    files = [file for place in places or () for file in sorted(Path(place, "models").glob("*.py"))]
    pattern = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.M)
    return [name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))]


def setting_called(name: str, command: str) -> str | None:
    """The setting of a command that has or is meant by this name; None when there is none.

    >>> setting_called("lr", "train")
    'optimizer.lr'
    """
    with own_hydra():
        known = _flattened(hydra.compose(command))
    return name if name in known else same_name(name, known)


def explain_signs(word: str, typed: Typed) -> str | None:
    """On `model: cnn`, 'model=cnn' in quotes, model==cnn, train..epochs=3: one sign is another."""
    found = re.fullmatch(r"""['"]?\s*([\w./]+?)\s*(?:[:=]+|\s)\s*(.+?)\s*['"]?""", word)
    if not found or is_there(word):
        return None
    key = re.sub(r"\.{2,}", ".", found[1]).strip(".")
    meant = f"{key}={found[2]}"
    if meant == word or not composes([meant], typed.command):
        return None
    return f"{word!r} is no setting; settings look like key=value; {typed.use(meant)}"


def composes(words: Sequence[str], command: str) -> bool:
    """Whether the command takes these words, as far as its settings are looked at."""
    with own_hydra():
        try:
            cfg = hydra.compose(command, [*words])
            check_settings(command, OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
        except Exception:  # Hydra, OmegaConf and their parsers have many
            return False
    return True


def same_name(key: str, known: list[str]) -> str | None:
    """The setting that other toolkits call so, or that has this name in another section."""
    leaf = key.rpartition(".")[2]
    if SETTINGS.get(leaf) in known:
        return SETTINGS[leaf]
    same = [name for name in known if name != key and name.rpartition(".")[2] == leaf != "name"]
    return min(same, key=lambda name: name.count("."), default=None)  # seed before data.seed


def nearest(key: str, known: list[str], start: str) -> str | None:
    """A wrong path matches best against whole paths, a wrong leaf against its siblings.

    start: the section of the siblings with its dot, or "".
    """
    groups = [name for name in known if (config_dir() / name).is_dir()]
    sections = {name.rpartition(".")[0] for name in known}
    settings = [name for name in known if name not in sections and name not in groups]
    # also of options not chosen; groups for a plain word
    candidates = [*settings, *_all_keys(groups), *([] if "." in key else groups)]
    leaves = [name.removeprefix(start) for name in candidates if name.startswith(start)]
    near = difflib.get_close_matches(key.removeprefix(start).casefold(), leaves, n=1, cutoff=0.6)
    return f"{start}{near[0]}" if near else None


def of_another_option(key: str, given: str) -> tuple[str, list[str], list[str]] | None:
    """Section, the options of it that have this setting, and the words that set it there."""
    key = SETTINGS.get(key.rpartition(".")[2], key)
    section, _, leaf = key.rpartition(".")
    group = section.replace(".", "/")
    files = sorted((config_dir() / group).glob("[!_]*.yaml")) if group else []
    having = [file.stem for file in files if leaf in _keys_of(file)]
    owners = sorted(having, key=lambda name: (name not in ("folder", "timm"), name))  # for anything
    if not owners:
        return None
    words = own_data(given.strip("'\"")) if key == "data.root" else None
    return group, owners, words or [f"{group}={owners[0]}", f"{key}={given}"]


def _all_keys(groups: list[str]) -> list[str]:
    """Settings of all options of these groups."""
    skipped = ("experiment", "debug", "training", "evaluation", "decision", "features")
    found = set()
    for group in set(groups).difference(skipped):
        for file in (config_dir() / group).glob("[!_]*.yaml"):
            found |= {f"{group.replace('/', '.')}.{key}" for key in _keys_of(file)}
    return sorted(found)


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
