"""Trials of a study: which of them count, their numbers, and how one is begun anew.

Optuna gives a trial that is begun anew another number, and workers that begin at the same moment
may begin one too many. Here a trial keeps its number, from 1, and what is too many is withdrawn.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

WHY = "why"  # attribute of a trial that failed or diverged by its settings, and counts as done
WORDS, SECONDS, EPOCHS = "words", "seconds", "epochs"
_WITHDRAWN = "withdrawn"
_FIRST, _KILLED = "failed_trial", "retry_history"  # system attributes, named as Optuna names them
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
_MOST_KILLS = 6  # of the processes of one trial: it may be the reason


class Withdrawn(Exception):
    """The study has as many trials as were asked for without this one."""


def why(trial: FrozenTrial) -> str:
    """Why it cannot be trained; "" where it can, or is begun anew."""
    kills = len(trial.system_attrs.get(_KILLED, ()))
    if trial.state is TrialState.FAIL and WHY not in trial.user_attrs and kills + 1 >= _MOST_KILLS:
        return f"none of the {kills + 1} processes that began it came to its end"
    return str(trial.user_attrs.get(WHY, ""))


def is_done(trial: FrozenTrial) -> bool:
    """Whether it has been trained as far as it should be, or cannot be trained."""
    return trial.state in _ENDED or (trial.state is TrialState.FAIL and bool(why(trial)))


def done(study: Study) -> list[FrozenTrial]:
    """The trials that count, in the order in which they were first begun."""
    return sorted(filter(is_done, study.get_trials(deepcopy=False)), key=_first)


def best_trial(study: Study) -> FrozenTrial | None:
    """The one with the best value; None where none is complete."""
    try:
        return study.best_trial
    except ValueError:
        return None


def numbers(study: Study) -> dict[int, int]:
    """The number of each trial from 1, by Optuna's; a trial that was begun anew keeps it."""
    kept = [t for t in study.get_trials(deepcopy=False) if _WITHDRAWN not in t.user_attrs]
    rank = {first: n for n, first in enumerate(sorted(set(map(_first, kept))), start=1)}
    return {trial.number: rank[_first(trial)] for trial in kept}


def withdraw_surplus(
    study: Study, trial: optuna.Trial, count: int, alone: AbstractContextManager[None]
) -> None:
    """Raises Withdrawn where the study has `count` trials without this one.

    alone: within, nobody begins a lost trial anew.
    """
    with alone:
        is_new = _first(study.get_trials(deepcopy=False)[trial.number]) == trial.number
        if is_new and numbers(study)[trial.number] > count:
            trial.set_user_attr(_WITHDRAWN, True)
            raise Withdrawn


def begin_anew(study: Study, trial: FrozenTrial, *, is_killed: bool) -> None:
    """Queue a trial with the same settings, as if nobody had begun it.

    is_killed: its process has ended without a word; after some of these it is given up.
    """
    history = [*trial.system_attrs.get(_KILLED, ()), *([trial.number] if is_killed else [])]
    if len(history) >= _MOST_KILLS:
        return
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            system_attrs={_FIRST: _first(trial), _KILLED: history},  # the pruner judges it anew
        )
    )


def _first(trial: FrozenTrial) -> int:
    """Optuna's number of the trial when it was first begun."""
    return int(trial.system_attrs.get(_FIRST, trial.number))
