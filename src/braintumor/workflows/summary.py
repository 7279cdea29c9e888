"""What folds and repeated seeds say together: pooled evaluations and a summary."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from braintumor.comparison import aggregate
from braintumor.data.manifest import count_patients, group_numbers, read_manifest
from braintumor.data.moved import refuse_others
from braintumor.errors import TrainingError, some
from braintumor.evaluation.provenance import KnownPatients, about_training, read_provenance
from braintumor.evaluation.record import Leakage, measure
from braintumor.report.write import write
from braintumor.runs.checkpoint import read_card
from braintumor.runs.commands import resume_command
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import EVALUATION, EvaluationFile
from braintumor.runs.ownership import hold
from braintumor.workflows.arguments import Settings
from braintumor.workflows.console import log

if TYPE_CHECKING:
    from braintumor.workflows.train import Trial


def write_results(parent: RunFolder, trials: Sequence[Trial], settings: Settings) -> None:
    """Write eval/pooled/ (one a seed) and the summary, and print it.

    settings: those of all trials together.
    Raises TrainingError that names the trials that failed.
    """
    runs = {trial: trial.run_in(parent) for trial in trials}
    metrics = {
        trial.name: aggregate.read_own_metrics(run.evaluation("test")) if run.is_complete else None
        for trial, run in runs.items()
    }
    pooled = {}
    for seed in dict.fromkeys(trial.seed for trial in trials if trial.fold is not None):
        folds = [trial for trial in trials if trial.seed == seed]
        if all(metrics[trial.name] for trial in folds):
            name = "pooled" if settings["seeds"] is None else f"pooled_seed_{seed}"
            pooled[name] = _pool(parent, folds, settings, name)
    failed = [name for name, content in metrics.items() if content is None]
    table = aggregate.summarise(metrics, pooled)
    aggregate.write_summary(
        parent.path, table, list(metrics), _notes(parent, trials, failed, settings)
    )
    for line in aggregate.summary_lines(table, list(pooled)):
        log.info("%s", line)
    log.info("summary: %s", parent.path / "summary.md")
    if failed:
        raise TrainingError(
            f"{len(failed)} of {some(len(trials), 'part')} failed ({', '.join(failed)}); see "
            f"{parent.path}/<part>/status.json, and `{resume_command(parent.path)}` tries again"
        )
    for name in pooled:
        log.info("report: %s", parent.evaluation(name) / EvaluationFile.REPORT)


def _pool(
    parent: RunFolder, folds: Sequence[Trial], settings: Settings, name: str
) -> dict[str, Any]:
    """Write the evaluation of all folds together; gives the content of its metrics.json."""
    runs = [trial.run_in(parent) for trial in folds]
    tested = [run.evaluation("test") for run in runs]
    predictions, contaminated = aggregate.pool_folds(tested)
    # every trial divides the same images, so the groups of one are those of all
    manifest = read_manifest(runs[0].manifest)
    for run in runs[1:]:
        refuse_others(run.manifest, manifest)
    own_groups = manifest.set_index("path")["group"].loc[list(predictions.paths)]
    leakage = Leakage(
        contaminated,
        baselines=aggregate.pool_baselines(tested),
        patients=_patients_of_all(manifest),
        groups=group_numbers(own_groups),
    )
    provenance = dataclasses.replace(
        read_provenance(parent, read_card(runs[0].best)),
        best_epoch=", ".join(str(run.read_status().get("best_epoch")) for run in runs),
        settings=settings,
        folds=len(folds),
        seed=folds[0].seed,
    )
    folder = parent.evaluation(name)
    with hold(folder, EVALUATION, "replace"):
        pooled = dataclasses.replace(
            measure(predictions, "pooled", leakage),
            provenance=provenance,
            groups=own_groups.fillna("").to_numpy(dtype=object),
        )
        write(pooled, folder)
    return pooled.to_dict()


def _patients_of_all(manifest: pd.DataFrame) -> KnownPatients:
    """Where folds evaluate every image, and train on every one."""
    everyone = count_patients(manifest)
    return KnownPatients(evaluated=everyone, trained=everyone, together=everyone)


def _notes(
    parent: RunFolder, trials: Sequence[Trial], failed: list[str], settings: Settings
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
    manifests = [trial.run_in(parent).manifest for trial in trials]
    if written := [path for path in manifests if path.is_file()]:  # all are of the same images
        about_patients = about_training(_patients_of_all(read_manifest(written[0])))
        notes += [about_patients] if about_patients else []
    if failed:
        notes.append(f"Without {', '.join(failed)}: they failed, so nothing is pooled over them.")
    return notes
