"""The runs that a training stands for: one, or each of k folds for each of several seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from braintumor.errors import ConfigError
from braintumor.runs.folder import open_run, read_config
from braintumor.workflows.arguments import Settings


@dataclass(frozen=True)
class Trial:
    """One of the runs. name: fold_0, seed_1 or seed_1_fold_0; fold: from 0, None without folds."""

    name: str
    seed: int
    fold: int | None


def has_trials(settings: Settings) -> bool:
    """Whether the settings, or the run that `resume=` names, stand for several runs.

    A run that names its fold is one trial, and an ordinary run.
    """
    if settings["resume"]:
        settings = read_config(open_run(settings["resume"]))
    folds, seeds, fold = (settings.get(key) for key in ("folds", "seeds", "fold"))
    return seeds is not None or (folds is not None and fold is None)


def list_trials(settings: Settings) -> list[Trial]:
    """The runs that the settings ask for: each fold of each seed.

    >>> asked = {"seed": 0, "seeds": [3, 4], "folds": 2, "fold": None}
    >>> [trial.name for trial in list_trials(asked)]
    ['seed_3_fold_0', 'seed_3_fold_1', 'seed_4_fold_0', 'seed_4_fold_1']

    Raises ConfigError when folds or seeds are not what they should be.
    """
    folds, seeds = settings["folds"], settings["seeds"]
    if folds is not None and (not _is_whole(folds) or folds < 2):
        raise ConfigError(f"folds={folds} should be a whole number of 2 or more, such as folds=5")
    if seeds is not None and not (isinstance(seeds, list) and seeds and all(map(_is_whole, seeds))):
        raise ConfigError(f"seeds={seeds} should be whole numbers, such as seeds=[0,1,2]")
    if seeds is not None and len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds={seeds} names a seed twice; leave one of them out")
    if settings["fold"] is not None:
        raise ConfigError(
            f"fold={settings['fold']} is one run, and seeds={seeds} are several; leave one out"
        )
    trials = []
    for seed in [settings["seed"]] if seeds is None else seeds:
        for fold in [None] if folds is None else range(folds):
            names = ([] if seeds is None else [f"seed_{seed}"]) + (
                [] if fold is None else [f"fold_{fold}"]
            )
            trials.append(Trial("_".join(names), seed, fold))
    return trials


def trials_suffix(settings: Settings) -> str:
    """What the name of the parent folder says of its trials: _3seeds_5fold."""
    seeds, folds = settings["seeds"], settings["folds"]
    return (f"_{len(seeds)}seeds" if seeds else "") + (f"_{folds}fold" if folds else "")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
