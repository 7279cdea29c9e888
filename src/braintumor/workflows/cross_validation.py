"""Cross-validation and repeated seeds: ordinary runs in one folder, and what they say together."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from braintumor.comparison.aggregate import (
    pool_folds,
    read_metrics,
    summarise,
    summary_lines,
    write_summary,
)
from braintumor.data.manifest import count_patients, group_numbers, read_manifest
from braintumor.errors import CheckpointError, ConfigError, TrainingError
from braintumor.evaluation.provenance import KnownPatients, about_training, read_provenance
from braintumor.evaluation.record import Leakage, measure
from braintumor.files import write_atomic, write_json
from braintumor.models.classifier import model_name
from braintumor.runs.checkpoint import read_card
from braintumor.runs.folder import (
    EVALUATION,
    RUN,
    STATES,
    RunFolder,
    open_run,
    read_config,
    run_name,
)
from braintumor.runs.ownership import hold, remove_own
from braintumor.runtime import environment
from braintumor.workflows.arguments import Request, Settings
from braintumor.workflows.console import log
from braintumor.workflows.one_run import train_one
from braintumor.workflows.outputs import check_output, held_output, record_failure, recorded
from braintumor.workflows.results import Run
from braintumor.workflows.resume import take_over
from braintumor.workflows.setup import Experiment, setup
from braintumor.workflows.trials import Trial, list_trials, trials_suffix


def cross_validate(request: Request) -> Run:
    """Run every trial that is not complete, then pool and summarise.

    A trial that fails is recorded and does not end the others.
    Raises TrainingError at the end when some failed.
    """
    started = time.perf_counter()
    begin = _resumed if request.settings["resume"] else _begun
    with begin(request) as (parent, settings, prepared), recorded(parent, started):
        trials = list_trials(settings)
        for number, trial in enumerate(trials, start=1):
            log.info("%s, part %d of %d", trial.name, number, len(trials))
            _run_trial(parent, trial, dataclasses.replace(request, settings=settings), prepared)
        _summarise(parent, trials, settings)
    return Run(parent.path)


def _settings_of(trial: Trial, settings: Settings) -> Settings:
    own = {"seed": trial.seed, "seeds": None, "fold": trial.fold, "run_dir": None, "resume": None}
    return settings | own


@contextmanager
def _begun(request: Request) -> Iterator[tuple[RunFolder, Settings, list[Experiment]]]:
    """The parent folder, held within the block; made once the first trial's input is accepted.

    With the settings, and in a list, which the caller empties, what was read for the first trial.
    """
    check_output(request, RUN)
    settings, data_name = request.settings, request.choices["data"]
    trials = list_trials(settings)
    if settings["seeds"] is not None and any(o.startswith("seed=") for o in request.overrides):
        raise ConfigError(f"seeds={settings['seeds']} leaves seed=… without use; leave it out")
    log.info("checking the input of %s, the first of %d parts", trials[0].name, len(trials))
    prepared = [setup(_settings_of(trials[0], settings), data_name)]
    name = model_name(settings["model"])
    default = Path("runs") / run_name(data_name, f"{name}{trials_suffix(settings)}")
    with held_output(request, RUN, default) as folder:
        remove_own(folder, RUN)
        parent = RunFolder(folder)
        write_atomic(parent.config, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
        write_json(parent.environment, environment(request.command))
        parent.set_status(
            "running", model_name=name, data_name=data_name, overrides=list(request.overrides),
            parts=[trial.name for trial in trials],
        )  # fmt: skip
        yield parent, settings, prepared


@contextmanager
def _resumed(request: Request) -> Iterator[tuple[RunFolder, Settings, list[Experiment]]]:
    """The parent that `resume=` names, held within the block, and its settings."""
    parent = open_run(request.settings["resume"])
    with hold(parent.path, RUN, "continue"):
        if parent.read_status().get("status") == "completed":
            if all(_is_complete(parent, trial) for trial in list_trials(read_config(parent))):
                raise CheckpointError(
                    f"{parent.path} is complete, there is nothing to resume; its figures are in "
                    f"{parent.path / 'summary.md'}"
                )
            parent.set_status("interrupted", why="a part has been removed since")
        settings, _ = take_over(parent, request)
        yield parent, settings, []


def _folder(parent: RunFolder, trial: Trial) -> RunFolder:
    return RunFolder(parent.path / trial.name)


def _is_complete(parent: RunFolder, trial: Trial) -> bool:
    return bool(_folder(parent, trial).read_status().get("status") == "completed")


def _run_trial(
    parent: RunFolder, trial: Trial, request: Request, prepared: list[Experiment]
) -> None:
    """Train and evaluate one trial, go on with it, or leave it when it is complete.

    prepared: holds what has been read for it, or nothing.
    """
    settings = request.settings
    is_resumed = bool(settings["resume"])  # else what may lie here is no part of this work
    if is_resumed and _is_complete(parent, trial):
        log.info("  complete")
        return
    run, begun = _folder(parent, trial), parent.read_status()
    own = _settings_of(trial, settings) | {"run_dir": str(run.path)}
    overrides, choices = request.overrides, request.choices
    if is_resumed and any((run.path / state).is_file() for state in STATES):
        own["resume"] = str(run.path)
    else:  # as the command that made the parent would have begun it
        own["overwrite"] = True  # the parent's, and so ours
        choices = {**choices, "data": begun["data_name"]}
        overrides = tuple(begun["overrides"])
    try:
        # popped, so that only the trial itself holds data and model
        train_one(
            Request(own, choices, overrides, command=request.command),
            prepared.pop() if prepared else None,
        )
    except Exception as error:
        record_failure(run, error)
        log.error("%s failed: %s", trial.name, error)


def _summarise(parent: RunFolder, trials: list[Trial], settings: Settings) -> None:
    """Write eval/pooled/ (one a seed) and the summary, say it, and name the trials that failed."""
    metrics = {
        trial.name: read_metrics(_folder(parent, trial).evaluation("test"))
        if _is_complete(parent, trial)
        else None
        for trial in trials
    }
    pooled = {}
    for seed in dict.fromkeys(trial.seed for trial in trials if trial.fold is not None):
        folds = [trial for trial in trials if trial.seed == seed]
        if all(metrics[trial.name] for trial in folds):
            name = "pooled" if settings["seeds"] is None else f"pooled_seed_{seed}"
            pooled[name] = _pool(parent, folds, settings, name)
    failed = [name for name, content in metrics.items() if content is None]
    table = summarise(metrics, pooled)
    notes = _notes(trials, failed, settings, _about_patients(parent, trials))
    write_summary(parent.path, table, list(metrics), notes)
    for line in summary_lines(table, list(pooled)):
        log.info("%s", line)
    log.info("summary: %s", parent.path / "summary.md")
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(trials)} parts failed ({', '.join(failed)}); why stands in "
            f"{parent.path}/<part>/status.json, and `bt-train resume={parent.path}` tries again"
        )


def _pool(parent: RunFolder, folds: list[Trial], settings: Settings, name: str) -> dict[str, Any]:
    """Write the evaluation of all folds together; gives the content of its metrics.json."""
    from braintumor.report.write import write  # matplotlib, which comes after the trainings

    runs = [_folder(parent, trial) for trial in folds]
    predictions, contaminated = pool_folds([run.evaluation("test") for run in runs])
    # every trial divides the same images, so the groups of one are those of all
    manifest = read_manifest(runs[0].manifest)
    groups = manifest.set_index("path")["group"]
    epochs = [str(run.read_status().get("best_epoch")) for run in runs]
    provenance = dataclasses.replace(
        read_provenance(parent, read_card(runs[0].best)),
        best_epoch=", ".join(epochs),
        settings=settings,
        folds=len(folds),
        seed=folds[0].seed,
    )
    leakage = Leakage(
        contaminated,
        patients=_patients_of_all(manifest),
        groups=group_numbers(groups.loc[list(predictions.paths)]),
    )
    folder = parent.evaluation(name)
    with hold(folder, EVALUATION, "replace"):
        pooled = dataclasses.replace(measure(predictions, "pooled", leakage), provenance=provenance)
        write(pooled, folder)
    return pooled.to_dict()


def _about_patients(parent: RunFolder, trials: list[Trial]) -> str:
    """What is not known of patients; all trials are of the same images."""
    manifests = [_folder(parent, trial).manifest for trial in trials]
    written = [path for path in manifests if path.is_file()]
    return about_training(_patients_of_all(read_manifest(written[0]))) if written else ""


def _patients_of_all(manifest: pd.DataFrame) -> KnownPatients:
    """Where folds evaluate every image, and train on every one."""
    everyone = count_patients(manifest)
    return KnownPatients(evaluated=everyone, trained=everyone, together=everyone)


def _notes(
    trials: list[Trial], failed: list[str], settings: Settings, about_patients: str
) -> list[str]:
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(trial.seed for trial in trials))
    folds = f"{settings['folds']} folds, " if settings["folds"] else ""
    notes = [
        f"{folds}split={settings['split']}, seed {seeds}: figures of the test images of each part, "
        "then mean, standard deviation (n - 1), least and greatest of the parts."
    ]
    if settings["folds"]:
        notes.append(
            "The parts share training images, so their spread is less than that of new data; "
            "pooled figures count every image once, each judged by the model that did not train "
            "on it."
        )
    if about_patients:
        notes.append(about_patients)
    if failed:
        notes.append(f"Without {', '.join(failed)}: they failed, so nothing is pooled over them.")
    return notes
