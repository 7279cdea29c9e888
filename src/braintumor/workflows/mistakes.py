"""Answers to words that are wrong: what, where, and the words that do what was meant."""

from __future__ import annotations

import dataclasses
import inspect
import re
import traceback
from pathlib import Path

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from braintumor.config import config_dir, options_of
from braintumor.errors import ConfigError, first_line
from braintumor.places import is_there
from braintumor.quoting import hydra_value, key_of
from braintumor.workflows import guesses
from braintumor.workflows.arguments import ARGUMENTS, PATHS, TRAININGS
from braintumor.workflows.indexed import refuse_indexed
from braintumor.workflows.synonyms import SETTINGS, explain_foreign
from braintumor.workflows.words import Typed, is_sweep, model_names

_LONGEST = 300  # of what another program says
# what a word without a key is meant for, by command
_MAIN_KEY = {"eval": "ckpt={}", "predict": "input={}", "compare": "runs=[{}]"}
_NEVER_EMPTY = ("model", "data.root", "data.table")
_LISTS = (
    "runs", "on", "ckpt", "seeds", "input", "data.classes", "data.ignore", "data.class_names",
    "model.backbone.widths",
)  # fmt: skip


def refuse_words(typed: Typed) -> None:
    """Raises ConfigError on words that Hydra would take otherwise than they are meant."""
    for word in typed.words:
        key = key_of(word)
        # of a sweep alone Hydra's folder is where results go
        if key == "hydra.run.dir" or (key == "hydra.sweep.dir" and not is_sweep(typed.words)):
            place = typed.use(f"run_dir={hydra_value(word.partition('=')[2])}")
            raise ConfigError(f"{word} would be in vain: for the folder of the results {place}")
        group, sign, value = word.lstrip("+").partition("=")
        if sign and not group.partition("@")[0]:
            raise ConfigError(f"{word!r} has no key; settings are given as key=value")
        if sign and not value and (options_of(group) or group in _NEVER_EMPTY):
            raise ConfigError(f"{word} has no value; give one, or leave it out")
        if value.startswith("_") and options_of(group):  # what options of ours build on
            raise ConfigError(guesses.explain_choice(group, value, options_of(group), typed))
    refuse_indexed(typed)


def answer_mistake(error: Exception, typed: Typed) -> str | None:
    """One sentence on a mistake in the words typed; None when the error is something else."""
    if isinstance(error, OverrideParseException):
        return _explain_syntax(error.override, typed)
    if isinstance(error, MissingConfigException) and error.options:
        group, name = _group_of(str(error.missing_cfg_file))
        return guesses.explain_choice(group, name, error.options, typed)
    if isinstance(error, HydraException):
        return _explain_key(error, typed)
    if isinstance(error, ValueError) and "Config group override must be" in str(error):
        return _explain_group(typed)
    if isinstance(error, ValueError) and "invalid literal for int()" in str(error):
        part = str(error).rpartition(": ")[2].strip("'")
        is_part = any(part in key_of(word).split(".") for word in typed.words)
        return _explain_part(typed, part) if is_part else None
    if isinstance(error, yaml.YAMLError):
        return f"a settings file is not YAML: {_on_one_line(error)}"
    if not isinstance(error, OmegaConfBaseException):
        return None
    return _explain_reference(typed) if "nterpolation" in str(error) else _on_one_line(error)


def _explain_reference(typed: Typed) -> str:
    """On data.root=${x}, which stands for the value of another setting."""
    word = next((word for word in typed.words if "${" in word), "${…}")
    key, _, value = word.partition("=")
    use = typed.use(f"{key}={hydra_value(value)}")
    return f"{word}: ${{…}} stands for another setting, and there is none; as part of a name {use}"


def launcher_failure(error: Exception) -> str | None:
    """One sentence where the program that launches the jobs of a sweep failed; None: it did not.

    What goes wrong in a job never comes so far: it is recorded in its folder.
    """
    if isinstance(error, HydraException | OmegaConfBaseException):
        return None
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    theirs = [f for f in files if f.parts[-3:-2] == ("hydra_plugins",)]  # ours is a file there
    if not theirs:
        return None
    said = first_line(error).rstrip(".")
    return (
        f"{theirs[-1].parent.name} did not get the jobs of the sweep done: {said[:_LONGEST]}; "
        "BT_DEBUG=1 before the command shows all of it, and without hydra/launcher=… the jobs run "
        "here"
    )


def _on_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _group_of(missing: str) -> tuple[str, str]:
    """("data", "/my/mri") of "data//my/mri": the group is a folder of ours, or one of Hydra's."""
    parts, cut = missing.split("/"), 1
    if parts[0] == "hydra":
        cut = len(parts) - 1
    while parts[cut] not in ("", ".", "..") and (config_dir().joinpath(*parts[: cut + 1])).is_dir():
        cut += 1
    return "/".join(parts[:cut]), "/".join(parts[cut:])


def _explain_group(typed: Typed) -> str | None:
    """On data=null and data=3: a group takes the name of one of its options."""
    for word in typed.words:
        group, _, value = word.partition("=")
        options = sorted(model_names()) if group == "model" else options_of(group)
        if group and value and options and value not in options:
            return guesses.explain_choice(group, value, options, typed)
    return None


def _explain_syntax(override: str, typed: Typed) -> str:
    if answer := guesses.explain_signs(override, typed):
        return answer
    key, _, value = override.partition("=")
    if not value:
        return _explain_bare(key_of(key), typed)
    unquoted = value.strip("'\"") if value[:1] == value[-1:] else value
    if options := options_of(key) or (options_of("model/backbone") if key == "model" else []):
        return guesses.explain_choice(key, unquoted, options, typed)
    if not re.fullmatch(r"[\w.@/+~-]+", key, re.ASCII):
        return f"{override!r} names no setting; `bt-{typed.command} --cfg job` shows all"
    if value.endswith(","):
        several = f"{key}={value.rstrip(',')}"
        if "," in several:
            return _explain_several(several, typed)
        return f"{override} ends with a comma; {typed.use(several)}"
    if any(value.count(a) != value.count(b) for a, b in ("[]", "{}")):
        return f"the brackets in {override!r} do not match; close each that is opened"
    quoted = typed.use(f"{key}={hydra_value(unquoted)}")
    return f"the value in {override!r} has characters with a meaning of their own; {quoted}"


def _explain_part(typed: Typed, name: str) -> str:
    """On train.phases.epochs=2: a list has numbered parts, of which the first may be meant."""
    numbered = tuple(
        re.sub(rf"\.{re.escape(name)}\b", f".0.{name}", w, count=1) for w in typed.words
    )
    try:
        refuse_indexed(dataclasses.replace(typed, words=numbered))
    except ConfigError as error:
        return str(error)
    return f"`{name}` is no part of a list, and lists are set whole; {_all_of(typed)}"


def _explain_bare(word: str, typed: Typed) -> str:
    """On a word without =, such as a path, or the name of an option."""
    groups = ("data", "experiment", "debug") if typed.command in TRAININGS else ()
    if not is_there(word):
        for group in groups:
            if word in options_of(group):
                return f"{word!r} is no setting; {typed.use(f'{group}={word}')}"
        if typed.command in TRAININGS and word in model_names():
            return f"{word!r} is no setting; {typed.use(f'model={word}')}"
        if options := options_of(word):
            return f"{word!r} has no value; give one of its options: {word}={'|'.join(options)}"
        if setting := guesses.setting_called(word, typed.command):
            return f"{word!r} has no value; settings are given as key=value: {setting}=VALUE"
    key, bare = _MAIN_KEY.get(typed.command), word
    if not key and "/" not in word and not is_there(word):
        return f"{word!r} is no setting, and no file or folder; settings look like key=value"
    if typed.command == "predict" and (Path(word) / "status.json").is_file():
        key = _MAIN_KEY["eval"]  # a run holds no pictures to classify
    if typed.command == "compare":  # which takes several
        named = [each.removeprefix("runs=").strip("[]") for each in typed.words]
        word = ",".join(filter(is_there, named)) or word
    meant = [key.format(word)] if key else guesses.own_data(word)
    said = typed.use(*meant).removeprefix("use ")
    return f"{bare!r} is no setting; settings look like key=value; did you mean {said}?"


def _explain_key(error: Exception, typed: Typed) -> str:
    text = _on_one_line(error)
    if found := re.search(r"Ambiguous value for argument '(.*?)' 1\. ", text):
        return _explain_several(found[1], typed)
    if found := re.search(r"Sweep parameters '(.*)' requires", text):
        sweep = typed.use(f"bt-{typed.command}", "-m", *typed.words)
        key, _, value = found[1].partition("=")
        name = f"; as the name of a file or folder {typed.use(f'{key}={hydra_value(value)}')}"
        is_path = key_of(key) in PATHS
        return f"{found[1]} makes a sweep: {sweep}{name if is_path else ''}"
    if found := re.search(r"Multiple values for ([\w/]+)\.", text):
        return f"{found[1]}= is given twice; leave one of them out"
    found = re.search(
        r"Could not (?:override|append to|delete from config\.|find match for override) '([^'=]+)",
        text,
    ) or re.search(r"Could not override '([^']+)'", text)
    if not found:
        return text
    key = key_of(found[1])
    known = guesses.known_keys(error, typed.command)
    given = next((word.partition("=")[2] for word in typed.of(key)), "…")
    if answer := explain_foreign(key, given, typed):
        return answer
    if near := guesses.same_name(key, known):
        return _did_you_mean(key, near, given, typed, known)
    if foreign := _of_another_command(key, typed):
        return foreign
    if owned := guesses.of_another_option(key, given):
        section, owners, words = owned
        if (meant := SETTINGS.get(key.rpartition(".")[2])) and meant != key:
            return f"`{key}` is not a setting; {typed.did_you_mean(meant, *words)}"
        return f"`{key}` belongs to {section}={'|'.join(owners)}; {typed.use(*words)}"
    section, dot, _ = key.rpartition(".")
    there = [name for name in known if section and name.rpartition(".")[0] == section]
    near = guesses.nearest(key, known, f"{section}{dot}" if there else "")
    if near and guesses.composes([f"{near}={given}"], typed.command):
        return _did_you_mean(key, near, given, typed, known)
    listed = ", ".join(there or sorted({re.split(r"[./]", name)[0] for name in known}))
    of = f"of {section} there are" if there else "there are"
    return f"`{key}` is not a setting; {of} {listed}; {_all_of(typed)}"


def _did_you_mean(key: str, near: str, given: str, typed: Typed, known: list[str]) -> str:
    if near.endswith(".weights"):  # pretrained=true
        given = {"true": "imagenet", "false": "none"}.get(given.casefold(), given)
    owned = None if near in known else guesses.of_another_option(near, given)
    words = owned[2] if owned else [f"{near}={given}"]
    return f"`{key}` is not a setting; {typed.did_you_mean(near, *words)}; {_all_of(typed)}"


def _all_of(typed: Typed) -> str:
    return f"`bt-{typed.command} --cfg job` shows all"


def _explain_several(word: str, typed: Typed) -> str:
    """On seeds=0,1 or data.root=a,b where nobody asked for a sweep."""
    key, _, value = word.partition("=")
    if key_of(word) in _LISTS:
        return f"{word} holds several values; as a list {typed.use(f'{key}=[{value}]')}"
    if typed.is_python:
        return (
            f"{word} holds several values, which make a sweep; call the function in a loop, or "
            "give a list, such as seeds=[0,1,2]"
        )
    sweep = typed.use(f"bt-{typed.command}", "-m", *typed.words)
    return f"{word} holds several values; for a run with each of them {sweep}"


def _of_another_command(key: str, typed: Typed) -> str | None:
    """A sentence on a setting that other commands have and this one has not."""
    meant = SETTINGS.get(key.rpartition(".")[2], key)
    top = re.split(r"[./]", meant)[0]
    theirs = [name for name, kind in ARGUMENTS.items() if top in inspect.signature(kind).parameters]
    if typed.command in theirs or not (theirs or options_of(key)):
        return None
    *first, last = map(typed.name_of, theirs or ["train"])
    of = f"{', '.join(first)} and {last}" if first else last
    return f"`{key}` is not for {typed.name_of(typed.command)} but for {of}; leave it out"
