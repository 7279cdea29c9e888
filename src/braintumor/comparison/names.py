"""What to call runs that stand side by side: by what differs between their settings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from braintumor.config import flat

LONGEST = 60  # characters of a name
_LONGEST_VALUE = 24
# what a run may differ in and still be the same configuration
NOT_SETTINGS = (
    "seed", "seeds", "fold", "run_dir", "resume", "overwrite", "tracker", "slots", "privacy",
)  # fmt: skip
_SAID = ("model", "data")  # words of a command that status.json says better
_OF_PHASES = ("train.epochs", "train.max_epochs")  # what they say, the phases say better


@dataclass(frozen=True)
class About:
    """What a run says of itself. folder: tells it apart from the others; it may be long."""

    folder: str
    status: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def configuration(self) -> str:
        """The same text for runs of the same settings; a run without settings is its own."""
        if not self.config:
            return self.folder
        settings = {n: value for n, value in self.settings.items() if n not in NOT_SETTINGS}
        return json.dumps(settings, sort_keys=True, default=str)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of its config.yaml, with phases of the epochs that they take at most."""
        with suppress(AttributeError, KeyError, TypeError):  # edited by hand: it is taken as it is
            train = dict(self.config["train"])
            own, most = (train.pop(name.rpartition(".")[2], None) for name in _OF_PHASES)
            phases = []
            for phase in train["phases"]:
                epochs = own or phase["epochs"]
                phases.append(phase | {"epochs": min(epochs, most or epochs)})
            return {**self.config, "train": train | {"phases": phases}}
        return self.config

    @property
    def model(self) -> str:
        """The name of its model, else its folder."""
        return str(self.status.get("model_name") or self.folder)


def name_runs(runs: Sequence[About]) -> list[tuple[str, str]]:
    """The name of its configuration and of its own for each run, each told apart from the others.

    A configuration has its model and what of its settings differs from others, first what was
    typed; a run also its seed and fold where they differ. Where settings tell two not apart, the
    folder stands in brackets. No name has more than LONGEST characters.

    >>> told = [About(f"2026-0{i}", {"model_name": "cnn"}, {"seed": 0, "optimizer": {"lr": lr}})
    ...         for i, lr in enumerate([0.001, 0.01, 0.01])]
    >>> for configuration, run in name_runs(told):
    ...     print(configuration, "|", run)
    cnn lr=0.001 | cnn lr=0.001
    cnn lr=0.01 | cnn lr=0.01 (2026-01)
    cnn lr=0.01 | cnn lr=0.01 (2026-02)
    """
    members: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        members.setdefault(run.configuration, []).append(place)
    firsts = [runs[own[0]] for own in members.values()]
    names = _told_apart([run.model for run in firsts], _settings(firsts), firsts)
    found: dict[int, tuple[str, str]] = {}
    for name, own in zip(names, members.values(), strict=True):
        trials = [_trial(runs[place]) for place in own]
        alone = _told_apart([name] * len(own), trials, [runs[place] for place in own])
        found |= {place: (name, run) for place, run in zip(own, alone, strict=True)}
    numbered = _unique([found[place][1] for place in range(len(runs))])
    return [(found[place][0], run) for place, run in enumerate(numbered)]


def _told_apart(
    bases: Sequence[str], facts: Sequence[Mapping[str, str]], runs: Sequence[About]
) -> list[str]:
    """The bases, each with the facts that it takes to tell them apart, else with the folder."""
    needed: list[str] = []

    def names(keys: Sequence[str]) -> list[str]:
        last = Counter(key.rpartition(".")[2] for key in keys)
        short = {key: key.rpartition(".")[2] for key in keys}
        short = {key: name if last[name] == 1 else key for key, name in short.items()}
        return [
            " ".join([base, *(f"{short[key]}={own[key]}" for key in keys if key in own)])
            for base, own in zip(bases, facts, strict=True)
        ]

    keys = list(dict.fromkeys(key for own in facts for key in own))
    for key in keys:
        if len(set(names([*needed, key]))) > len(set(names(needed))):
            needed.append(key)
    typed = {key for run in runs for key, _ in _typed(run)}
    for key in (key for key in keys if key in typed and key not in needed):
        if len({own.get(key) for own in facts}) > 1:
            more = [other for other in keys if other in (*needed, key)]
            needed = more if max(map(len, names(more))) <= LONGEST else needed
    found = names([key for key in keys if key in needed])
    count = Counter(found)
    return _unique(
        [
            _shortened(name, run.folder if count[name] > 1 and name != run.folder else "")
            for name, run in zip(found, runs, strict=True)
        ]
    )


def _settings(runs: Sequence[About]) -> list[dict[str, str]]:
    """What is set in each run, as texts: first the data, then what was typed, then the rest."""
    typed = [dict(_typed(run)) for run in runs]
    found = [
        {"data": str(run.status.get("data_name") or "")}
        | {key: _text(value) for key, value in flat(run.settings) if not _is_beside(key)}
        for run in runs
    ]
    keys = dict.fromkeys(("data", *(key for own in typed for key in own)))
    keys |= dict.fromkeys(key for own in found for key in own if key != "device")
    keys |= {"device": None}
    return [
        {key: own.get(key, words.get(key, "default")) for key in keys if run.config}
        for own, words, run in zip(found, typed, runs, strict=True)
    ]


def _trial(run: About) -> dict[str, str]:
    found = {"seed": run.status.get("seed", run.config.get("seed")), "fold": run.config.get("fold")}
    return {name: str(value) for name, value in found.items() if value is not None}


def _typed(run: About) -> Iterator[tuple[str, str]]:
    """Keys and values of the words that the command was given."""
    for word in run.status.get("overrides") or []:
        key, sign, value = str(word).lstrip("+").partition("=")
        if sign and key not in _SAID and not _is_beside(key) and not key.startswith("hydra."):
            yield "train.phases" if key in _OF_PHASES else key, _text(value)


def _is_beside(key: str) -> bool:
    """Whether a setting, or one of a section, changes nothing of what is trained."""
    return key.partition(".")[0] in NOT_SETTINGS


def _text(value: Any) -> str:
    """A value as a word: the last part of a path, a number without zeros behind it.

    >>> _text([{"epochs": 10, "trainable": "head"}, {"epochs": 20, "trainable": "all", "lr": 1e-4}])
    '10 head + 20 all 0.0001'
    """
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        parts = (" ".join(_text(v) for v in one.values() if v is not None) for one in value)
        return _cut(" + ".join(parts), _LONGEST_VALUE)
    if not isinstance(value, str):
        value = json.dumps(value, separators=(",", ":"), default=str)
    elif "/" in value:
        value = Path(value).name
    return _cut(" ".join(value.split()), _LONGEST_VALUE)


def _cut(text: str, longest: int) -> str:
    """The text, with its middle left out where it is too long."""
    head = (longest - 1) // 2
    if len(text) <= longest:
        return text
    return f"{text[:head]}…{text[len(text) - longest + head + 1 :]}"


def _shortened(name: str, folder: str) -> str:
    if not folder:
        return _cut(name, LONGEST)
    folder = _cut(folder, LONGEST * 2 // 3)
    return f"{_cut(name, LONGEST - len(folder) - 3)} ({folder})"


def _unique(names: Sequence[str]) -> list[str]:
    """The names, numbered where one is there before."""
    taken: set[str] = set()
    found = []
    for name in names:
        number, own = 1, name
        while own in taken:
            number += 1
            own = f"{_cut(name, LONGEST - len(f' ({number})'))} ({number})"
        taken.add(own)
        found.append(own)
    return found
