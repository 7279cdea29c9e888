"""One training, in the order it happens."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import yaml

from braintumor.data.manifest import group_numbers, write_manifest
from braintumor.data.moved import refuse_others
from braintumor.errors import CheckpointError, some
from braintumor.evaluation.postprocessing import (
    MOST_COMMON,
    FitImages,
    PostProcessing,
    add_postprocessing,
)
from braintumor.evaluation.predict import Inference
from braintumor.evaluation.provenance import read_provenance
from braintumor.files import write_atomic, write_json
from braintumor.interrupts import deferred
from braintumor.models.classifier import Classifier, model_name
from braintumor.privacy import without_names, written_from
from braintumor.runs.checkpoint import Card
from braintumor.runs.folder import RunFolder, begun_in, open_run, read_config, run_name
from braintumor.runs.kinds import EVALUATION, RUN, EvaluationFile
from braintumor.runs.ownership import check, hold, remove_own
from braintumor.runs.tracking import open_trackers
from braintumor.runtime import configure_torch, environment, mix_seed
from braintumor.workflows.arguments import Request, Settings
from braintumor.workflows.console import log
from braintumor.workflows.data import draw_data, drawn, write_tables
from braintumor.workflows.describe import describe_decisions, write_evaluation
from braintumor.workflows.fit import fit_and_save
from braintumor.workflows.outputs import check_output, held_output, named_folder, recorded, told
from braintumor.workflows.results import Run
from braintumor.workflows.resume import is_longer, naming, prepare, take_over
from braintumor.workflows.setup import Experiment, keeps_summaries, setup
from braintumor.workflows.together import led

if TYPE_CHECKING:
    from braintumor.evaluation.record import Evaluation


def train_one(request: Request, prepared: Experiment | None = None) -> Run:
    """Train and evaluate one model. The run folder appears once all input has been accepted.

    prepared: what `setup` gave for the settings, but for the folder; None: not yet called.
    """
    started = time.perf_counter()
    resumes = bool(request.settings["resume"])
    begun = _resumed(request) if resumes else _begun(request, prepared)
    with (
        begun as (experiment, run),
        recorded(run, started),
        open_trackers(run, experiment.settings) as trackers,
    ):
        write_tables(experiment.data, run.path)
        with led(experiment, run):  # of several processes the others do the same fits
            fit_and_save(experiment, run, trackers, resume=resumes)
        run.require()
        best = _fit_postprocessing(experiment, run)
        draw_data(experiment.data, run.path)
        evaluation = _evaluate_best(experiment, run, *best)
        if evaluation is not None:
            report = run.evaluation("test") / EvaluationFile.REPORT
            trackers.final(evaluation.to_dict(), str(report.absolute()))
    return Run(run.path)


@contextmanager
def _begun(request: Request, prepared: Experiment | None) -> Iterator[tuple[Experiment, RunFolder]]:
    """A new run, in a folder that is held within the block."""
    check_output(request, RUN, "runs")
    if (named := named_folder(request)) is not None:
        # now and not after the training: may its evaluation be written?
        check(RunFolder(named).evaluation("test"), EVALUATION, "replace")
    if prepared is None:
        experiment = setup(request.settings, request.choices["data"])
    else:  # its settings name no folder
        own = prepared.settings | {"run_dir": request.settings["run_dir"], "overwrite": True}
        experiment = dataclasses.replace(prepared, settings=own)
    settings, data_name = experiment.settings, experiment.data_name
    facts = {
        "seed": settings["seed"],
        "parameters": experiment.num_parameters(),
        "overrides": list(request.overrides),
    }
    manifest = experiment.data.manifest
    for known in _manifests_beside(named):
        refuse_others(known, manifest)
    with new_run(request, settings, data_name, facts, manifest=manifest) as run:
        if experiment.start:
            write_atomic(run.init, experiment.start.path.read_bytes())
        yield experiment, run


def _manifests_beside(folder: Path | None) -> list[Path]:
    """Of the other parts of a run, where the folder is one of them."""
    if folder is None or not RunFolder(folder.parent).config.is_file():
        return []
    names = {part.path.name: part.manifest for part in RunFolder(folder.parent).parts}
    own = names.pop(folder.name, None)
    return [path for path in names.values() if path.is_file()] if own else []


@contextmanager
def new_run(
    request: Request,
    settings: Settings,
    data_name: str,
    facts: Mapping[str, Any],
    *,
    suffix: str = "",
    manifest: pd.DataFrame | None = None,
) -> Iterator[RunFolder]:
    """A run folder held within the block, with the files that say what will be done there.

    facts: for status.json.  suffix: of the name that the folder gets by itself.
    """
    name = model_name(settings["model"])
    with held_output(request, RUN, Path("runs") / run_name(data_name, name + suffix)) as folder:
        remove_own(folder, RUN)
        run = RunFolder(folder)
        with told(run):
            with deferred():  # all of them, or there is no command to go on with
                write_settings(run, settings)
                about = environment(request.command, settings["device"], run.path)
                write_json(run.environment, about)
                if manifest is not None:
                    write_manifest(run.manifest, manifest)
                run.set_status("running", model_name=name, data_name=data_name, **facts)
            yield run


def write_settings(run: RunFolder, settings: Settings) -> None:
    """Its config.yaml."""
    kept = without_names(settings)
    write_atomic(run.config, yaml.safe_dump(kept, sort_keys=False, allow_unicode=True))


def keep_changes(run: RunFolder, settings: Settings) -> None:
    """Into config.yaml: where the images lie now, how long the training is, and who is told."""
    stored, settings = read_config(run), without_names(settings)
    asked = {k: v for k, v in stored["data"].items() if k == "download"}  # of this command alone
    own = {key: settings[key] for key in ("train", "tracker") if key in settings}
    changed = stored | own | {"data": settings["data"] | asked}
    if changed != stored:
        write_settings(run, changed)


def _note_growth(run: RunFolder, command: Sequence[str]) -> None:
    """Into environment.json: what gave it more epochs, and whether its test figures were known."""
    known = run.read_environment()
    is_tested = (run.evaluation("test") / EvaluationFile.METRICS).is_file()
    longer = {"longer": [*known.get("longer", []), [*command]]}
    write_json(run.environment, known | longer | {"tested": known.get("tested", 0) + is_tested})


@contextmanager
def _resumed(request: Request) -> Iterator[tuple[Experiment, RunFolder]]:
    """The run that `resume=` names, whose folder is held within the block."""
    run = open_run(request.settings["resume"])
    with written_from(begun_in(run)), hold(run.path, RUN, "continue"):
        check(run.evaluation("test"), EVALUATION, "replace")  # as above
        settings, data_name = take_over(run, request)
        if run.parts:
            raise CheckpointError(
                f"{run.config} asks for one run, and the folder was begun as "
                f"{some(len(run.parts), 'part')}; put folds and seeds back in it, or start anew"
            )
        with naming(run.config, request.overrides):
            experiment = setup(settings, data_name, run)
        has_grown = is_longer(run, experiment.settings)
        if has_grown:
            prepare(run, experiment)
        with deferred():
            keep_changes(run, experiment.settings)
            if has_grown:
                _note_growth(run, request.command)
        yield experiment, run


def _fit_postprocessing(
    experiment: Experiment, run: RunFolder
) -> tuple[Classifier, Card, PostProcessing]:
    """Fit decisions and what is common on the checkpoints of the run; gives the best, as stored."""
    train, val = experiment.rows("train"), experiment.rows("val")
    rng = np.random.default_rng(mix_seed(experiment.settings["seed"], "outliers"))
    images = FitImages(
        train=experiment.images_at(np.sort(rng.permutation(train)[:MOST_COMMON])),
        val=experiment.images("val"),
        groups=group_numbers(experiment.data.manifest["group"].iloc[val]),
    )
    chosen = run.selected if experiment.recipe.train.refit else run.best
    best = add_postprocessing(
        list(dict.fromkeys((chosen, run.best))),
        images,
        experiment.deciding,
        _inference(experiment),
        experiment.evaluating.views,
    )
    describe_decisions(best[2].decisions)
    return best


def _inference(experiment: Experiment) -> Inference:
    keep = keeps_summaries(experiment.settings, experiment.device)
    # exact whatever trained it: thresholds fitted here serve on other devices too
    configure_torch(experiment.device)
    return Inference(2 * experiment.recipe.train.batch_size, torch.float32, keep)


def _evaluate_best(
    experiment: Experiment, run: RunFolder, model: Classifier, card: Card, fitted: PostProcessing
) -> Evaluation | None:
    """The best checkpoint, once on the test split; None where there is none."""
    # scikit-learn and matplotlib, for which the first step would wait
    from braintumor.evaluation.evaluate import EvalOptions, EvaluatedImages, evaluate
    from braintumor.evaluation.leakage import leakage_by_groups

    rows, data = experiment.rows("test"), experiment.data
    if not len(rows):
        log.warning("the data has no test split: nothing to evaluate")
        return None
    folder = run.evaluation("test")
    with hold(folder, EVALUATION, "replace"):  # a killed run may have written it already
        leakage = leakage_by_groups(data, "test", card, refit=experiment.recipe.train.refit)
        evaluation = evaluate(
            model,
            card.classes,
            EvaluatedImages(data, experiment.labels, rows, "test", leakage),
            EvalOptions(
                _inference(experiment), experiment.evaluating, experiment.deciding.prevalence
            ),
            fitted,
            dataclasses.replace(read_provenance(run, card), pictures=drawn(run.path)),
        )
        write_evaluation(evaluation, folder)
    return evaluation
