"""One training, in the order it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from braintumor.cli.deciding import fit_postprocessing, load_postprocessing
from braintumor.config import typed
from braintumor.data.manifest import write_manifest
from braintumor.evaluation.predict import EvalSettings
from braintumor.files import write_atomic, write_json
from braintumor.models.classifier import model_name
from braintumor.runs.checkpoint import load_classifier
from braintumor.runs.folder import EVALUATION, RUN, RunFolder, open_run, run_name
from braintumor.runs.ownership import check, hold, remove_own
from braintumor.runtime import environment
from braintumor.workflows.arguments import Request, check_stored
from braintumor.workflows.console import log
from braintumor.workflows.data import draw_data, drawn, write_tables
from braintumor.workflows.fit import fit_and_save
from braintumor.workflows.outputs import check_output, held_output, named_folder
from braintumor.workflows.recording import about_run, recorded
from braintumor.workflows.results import Run
from braintumor.workflows.resume import check_same_images, take_over
from braintumor.workflows.setup import Experiment, setup


def train_one(request: Request, prepared: Experiment | None = None) -> Run:
    """Train and evaluate one model. The run folder appears once all input has been accepted.

    prepared: what `setup` gave for the settings, but for the folder; None: not yet called.
    """
    started = time.perf_counter()
    resumes = bool(request.settings["resume"])
    begun = _resumed(request) if resumes else _begun(request, prepared)
    with begun as (experiment, run), recorded(run, started):
        write_tables(experiment.data, run.path)
        fit_and_save(experiment, run, resume=resumes)
        fit_postprocessing(experiment, run)
        draw_data(experiment.data, run.path)
        _evaluate_best(experiment, run)
    return Run(run.path)


@contextmanager
def _begun(request: Request, prepared: Experiment | None) -> Iterator[tuple[Experiment, RunFolder]]:
    """A new run, in a folder that is held within the block."""
    check_output(request, RUN)
    named = named_folder(request)
    if named is not None:
        _check_inside(RunFolder(named))
    if prepared is None:
        experiment = setup(request.settings, request.choices["data"])
    else:
        experiment = prepared.with_folder(request.settings["run_dir"])
    name = model_name(experiment.settings["model"])
    default = Path("runs") / run_name(experiment.data_name, name)
    with held_output(request, RUN, default) as folder:
        remove_own(folder, RUN)
        run = RunFolder(folder)
        settings = yaml.safe_dump(experiment.settings, sort_keys=False, allow_unicode=True)
        write_atomic(run.config, settings)
        write_json(run.environment, environment())
        write_manifest(run.manifest, experiment.data.manifest)
        run.set_status(
            "running", model_name=name, data_name=experiment.data_name,
            seed=experiment.settings["seed"], parameters=experiment.num_parameters(),
            overrides=list(request.overrides),
        )  # fmt: skip
        yield experiment, run


def _check_inside(run: RunFolder) -> None:
    """Now and not after the training: may its evaluation be written?"""
    check(run.evaluation("test"), EVALUATION, "replace")


@contextmanager
def _resumed(request: Request) -> Iterator[tuple[Experiment, RunFolder]]:
    """The run that `resume=` names, whose folder is held within the block."""
    run = open_run(request.settings["resume"])
    with hold(run.path, RUN, "continue"):
        _check_inside(run)
        settings, data_name = take_over(run, request)
        check_stored(settings)
        experiment = setup(settings, data_name)
        check_same_images(run, experiment.data.manifest)
        yield experiment, run


def _evaluate_best(experiment: Experiment, run: RunFolder) -> None:
    """The best checkpoint, read back from disk, once on the test split."""
    # imported here, or the first step would wait for matplotlib
    from braintumor.cli.evaluate import Options, evaluate, leakage_by_groups

    rows = experiment.rows("test")
    if not len(rows):
        log.warning("the data has no test split: nothing to evaluate")
        return
    model, card = load_classifier(run.best, experiment.device)
    folder = run.evaluation("test")
    with hold(folder, EVALUATION, "replace"):  # a killed run may have written it already
        evaluate(
            model,
            card.classes,
            experiment.data,
            experiment.labels,
            rows,
            folder,
            split="test",
            truth=leakage_by_groups(experiment.data, "test", refit=experiment.recipe.train.refit),
            about=about_run(run, card),
            history=run.read_history(),
            pictures=drawn(run.path),
            fitted=load_postprocessing(run.best, card),
            options=Options(
                device=experiment.device,
                dtype=experiment.dtype,
                batch_size=2 * experiment.recipe.train.batch_size,
                prevalence=experiment.settings["decision"]["prevalence"],
                settings=typed(EvalSettings, experiment.settings["eval"], "eval"),
                keep=experiment.keeps_summaries(),
            ),
        )
