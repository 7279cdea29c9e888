"""k folds and repeated seeds: ordinary runs in one folder, and what they say together."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from braintumor.cli.console import log
from braintumor.cli.outputs import check_output, held_output
from braintumor.cli.parts import Part, list_trials, trials_suffix
from braintumor.cli.recording import record_failure, recorded
from braintumor.cli.resume import take_over
from braintumor.cli.shell import Job, Settings
from braintumor.cli.training import train_and_evaluate
from braintumor.cli.work import prepare
from braintumor.compare.aggregate import (
    pool_folds,
    read_metrics,
    summarise,
    summary_lines,
    write_summary,
)
from braintumor.data.manifest import group_numbers, read_manifest
from braintumor.data.patients import count_patients
from braintumor.errors import CheckpointError, ConfigError, TrainingError
from braintumor.evaluation.leakage import Leakage
from braintumor.evaluation.patients import KnownPatients, about_training
from braintumor.evaluation.provenance import read_provenance
from braintumor.evaluation.record import measure
from braintumor.files import write_atomic, write_json
from braintumor.models.classifier import model_name
from braintumor.runs.checkpoint import read_card
from braintumor.runs.folder import RunFolder, open_run, read_config, run_name
from braintumor.runs.kinds import EVALUATION, RUN, STATES
from braintumor.runs.ownership import hold, remove_own
from braintumor.runtime import environment


def train_repeats(settings: Settings, job: Job) -> None:
    """Run every part that is not complete, then pool and summarise.

    A part that fails is recorded and does not end the others.
    Raises TrainingError at the end when some failed.
    """
    started = time.perf_counter()
    begin = _resumed if settings["resume"] else _begun
    with begin(settings, job) as (parent, settings), recorded(parent, started):
        parts = list_trials(settings)
        for number, part in enumerate(parts, start=1):
            log.info("%s, part %d of %d", part.name, number, len(parts))
            _run_part(parent, part, settings, job)
        _summarise(parent, parts, settings)


def _settings_of(part: Part, settings: Settings) -> Settings:
    own = {"seed": part.seed, "seeds": None, "fold": part.fold, "run_dir": None, "resume": None}
    return settings | own


@contextmanager
def _begun(settings: Settings, job: Job) -> Iterator[tuple[RunFolder, Settings]]:
    """The parent folder, held within the block; made once the first part's input is accepted."""
    check_output(settings, job, RUN)
    parts, data_name = list_trials(settings), job.choices["data"]
    if settings["seeds"] is not None and any(o.startswith("seed=") for o in job.overrides):
        raise ConfigError(f"seeds={settings['seeds']} leaves seed=… without use; leave it out")
    log.info("checking the input of %s, the first of %d parts", parts[0].name, len(parts))
    prepare(_settings_of(parts[0], settings), data_name)
    name = model_name(settings["model"])
    default = Path("runs") / run_name(data_name, f"{name}{trials_suffix(settings)}")
    with held_output(settings, job, RUN, default) as folder:
        remove_own(folder, RUN)
        parent = RunFolder(folder)
        write_atomic(parent.config, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
        write_json(parent.environment, environment())
        parent.set_status(
            "running", model_name=name, data_name=data_name, overrides=list(job.overrides),
            parts=[part.name for part in parts],
        )  # fmt: skip
        yield parent, settings


@contextmanager
def _resumed(settings: Settings, job: Job) -> Iterator[tuple[RunFolder, Settings]]:
    """The parent that `resume=` names, held within the block, and its settings."""
    parent = open_run(settings["resume"])
    with hold(parent.path, RUN, "continue"):
        if parent.read_status().get("status") == "completed":
            if all(_is_complete(parent, part) for part in list_trials(read_config(parent))):
                raise CheckpointError(
                    f"{parent.path} is complete, there is nothing to resume; its figures are in "
                    f"{parent.path / 'summary.md'}"
                )
            parent.set_status("interrupted", why="a part has been removed since")
        settings, _ = take_over(parent, settings, job)
        yield parent, settings


def _folder(parent: RunFolder, part: Part) -> RunFolder:
    return RunFolder(parent.path / part.name)


def _is_complete(parent: RunFolder, part: Part) -> bool:
    return bool(_folder(parent, part).read_status().get("status") == "completed")


def _run_part(parent: RunFolder, part: Part, settings: Settings, job: Job) -> None:
    """Train and evaluate one part, go on with it, or leave it when it is complete."""
    is_resumed = bool(settings["resume"])  # else what may lie here is no part of this work
    if is_resumed and _is_complete(parent, part):
        log.info("  complete")
        return
    run, begun = _folder(parent, part), parent.read_status()
    own = _settings_of(part, settings) | {"run_dir": str(run.path)}
    if is_resumed and any((run.path / state).is_file() for state in STATES):
        own["resume"] = str(run.path)
    else:  # as the command that made the parent would have begun it
        own["overwrite"] = True  # the parent's, and so ours
        choices = {**job.choices, "data": begun["data_name"]}
        job = Job(choices, overrides=tuple(begun["overrides"]), sweep_folder=None)
    try:
        train_and_evaluate(own, job)
    except Exception as error:
        record_failure(run, error)
        log.error("%s failed: %s", part.name, error)


def _summarise(parent: RunFolder, parts: list[Part], settings: Settings) -> None:
    """Write eval/pooled/ (one a seed) and the summary, say it, and name the parts that failed."""
    metrics = {
        part.name: read_metrics(_folder(parent, part).evaluation("test"))
        if _is_complete(parent, part)
        else None
        for part in parts
    }
    pooled = {}
    for seed in dict.fromkeys(part.seed for part in parts if part.fold is not None):
        folds = [part for part in parts if part.seed == seed]
        if all(metrics[part.name] for part in folds):
            name = "pooled" if settings["seeds"] is None else f"pooled_seed_{seed}"
            pooled[name] = _pool(parent, folds, settings, name)
    failed = [name for name, content in metrics.items() if content is None]
    table = summarise(metrics, pooled)
    notes = _notes(parts, failed, settings, _about_patients(parent, parts))
    write_summary(parent.path, table, list(metrics), notes)
    for line in summary_lines(table, list(pooled)):
        log.info("%s", line)
    log.info("summary: %s", parent.path / "summary.md")
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(parts)} parts failed ({', '.join(failed)}); why stands in "
            f"{parent.path}/<part>/status.json, and `bt-train resume={parent.path}` tries again"
        )


def _pool(parent: RunFolder, folds: list[Part], settings: Settings, name: str) -> dict[str, Any]:
    """Write the evaluation of all folds together; gives the content of its metrics.json."""
    from braintumor.report.write import write  # slow to import

    runs = [_folder(parent, part) for part in folds]
    predictions, contaminated = pool_folds([run.evaluation("test") for run in runs])
    # every part divides the same images, so the groups of one are those of all
    manifest = read_manifest(runs[0].manifest)
    groups = manifest.set_index("path")["group"]
    epochs = [str(run.read_status().get("best_epoch")) for run in runs]
    about = dataclasses.replace(
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
        pooled = dataclasses.replace(measure(predictions, "pooled", leakage), provenance=about)
        write(pooled, folder)
    return pooled.to_dict()


def _about_patients(parent: RunFolder, parts: list[Part]) -> str:
    """What is not known of patients; all parts are of the same images."""
    manifests = [_folder(parent, part).manifest for part in parts]
    written = [path for path in manifests if path.is_file()]
    return about_training(_patients_of_all(read_manifest(written[0]))) if written else ""


def _patients_of_all(manifest: pd.DataFrame) -> KnownPatients:
    """Where folds evaluate every image, and train on every one."""
    everyone = count_patients(manifest)
    return KnownPatients(evaluated=everyone, trained=everyone, together=everyone)


def _notes(
    parts: list[Part], failed: list[str], settings: Settings, about_patients: str
) -> list[str]:
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(part.seed for part in parts))
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
