"""What a search leaves: the table of its trials, the best one as a command, and a page.

The page runs no script and loads nothing, and Jinja2 escapes every value.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.study import Study
from optuna.trial import TrialState

from braintumor.files import write_atomic, write_json
from braintumor.quoting import shell_line
from braintumor.report.page import Chart, draw_chart, environment
from braintumor.report.plots.tuning import draw_importance, draw_search
from braintumor.runs.kinds import TuningFile
from braintumor.tuning.study import space_of
from braintumor.tuning.trials import EPOCHS, SECONDS, WHY, WORDS, best_trial, done, numbers, why

_FEW = 8  # completed trials, with which nothing can be said of importance
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "cut short"}


def write_search(
    study: Study, folder: Path, metric: str, words: Sequence[str]
) -> dict[str, Any] | None:
    """Write trials.csv, best.json and tuning.html; gives what best.json holds, None without a best.

    words: of bt-train, for all trials.
    """
    trials = _table(study)
    write_atomic(folder / TuningFile.TRIALS, str(trials.to_csv(index=False)))
    if best := _best(study, metric, words, len(trials)):
        write_json(folder / TuningFile.BEST, best)
    is_lower_better = study.direction.name == "MINIMIZE"
    charts: dict[str, Chart | None] = {
        "search": draw_chart(
            "Trials",
            f"{metric} of each trial; the figures stand in the table.",
            draw_search(trials, metric, is_lower_better=is_lower_better),
        ),
        "importance": _importance(study),
    }
    page = environment().get_template("tuning.html.j2").render(
        metric=metric,
        best=best,
        trials=_rows(trials, is_lower_better),
        space=space_of(study),
        needed=_FEW,
        charts=charts,
    )  # fmt: skip
    write_atomic(folder / TuningFile.PAGE, page)
    return best


def _table(study: Study) -> pd.DataFrame:
    """A row a trial that counts, by number from 1."""
    rows, number = [], numbers(study)
    for trial in done(study):
        known = trial.user_attrs
        is_diverged = trial.state is TrialState.PRUNED and WHY in known
        state = "diverged" if is_diverged else _STATES.get(trial.state, "failed")
        value = np.nan if trial.value is None else trial.value
        rows.append(
            {
                "trial": number[trial.number],
                "state": state,
                "value": value,
                "epochs": known.get(EPOCHS, 0),
                "seconds": known.get(SECONDS, np.nan),
                "words": shell_line(known.get(WORDS, [])),
                "why": why(trial),
                **settings_of(known.get(WORDS, [])),
            }
        )
    columns = ["trial", "state", "value", "epochs", "seconds", "words", "why"]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def settings_of(words: Sequence[str]) -> dict[str, str]:
    """Key -> value of words such as optimizer.lr=0.001."""
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def _best(study: Study, metric: str, words: Sequence[str], count: int) -> dict[str, Any] | None:
    if (trial := best_trial(study)) is None:
        return None
    own = trial.user_attrs[WORDS]
    return {
        "trial": numbers(study)[trial.number],
        "trials": count,
        "metric": metric,
        "value": trial.value,
        "settings": settings_of(own),
        "words": own,
        "command": shell_line(["bt-train", *words, *own]),
    }


def _importance(study: Study) -> Chart | None:
    """None where too few trials are complete, or all of them score the same."""
    values = [t.value for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    if len(values) < _FEW or len(set(values)) == 1:
        return None
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a setting that has one value only
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return draw_chart(
        "Which settings mattered",
        ", ".join(f"{name} {value:.2f}" for name, value in found.items()),
        draw_importance(found),
    )


def _rows(trials: pd.DataFrame, is_lower_better: bool) -> list[Mapping[str, Any]]:
    """The complete ones first, the best on top."""
    order = trials.assign(
        rank=trials["state"].map({"complete": 0, "cut short": 1}).fillna(2),
        cost=trials["value"] * (1 if is_lower_better else -1),
    ).sort_values(["rank", "cost", "trial"])
    return order.to_dict("records")  # type: ignore[return-value]
