"""What bt-train does, in the order it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from braintumor.cli import fitting
from braintumor.cli.checks import check_stored
from braintumor.cli.console import log
from braintumor.cli.deciding import fit_postprocessing, load_postprocessing
from braintumor.cli.inputs import draw_data, drawn, write_tables
from braintumor.cli.outputs import check_output, held_output, named_folder
from braintumor.cli.recording import about_run, recorded
from braintumor.cli.resume import check_same_images, take_over
from braintumor.cli.shell import Job, Settings
from braintumor.cli.work import Work, prepare
from braintumor.config import typed
from braintumor.data.manifest import write_manifest
from braintumor.evaluation.predict import EvalSettings
from braintumor.files import write_atomic, write_json
from braintumor.models.classifier import model_name
from braintumor.runs.checkpoint import load_classifier
from braintumor.runs.folder import EVALUATION, RUN, RunFolder, open_run, run_name
from braintumor.runs.ownership import check, hold, remove_own
from braintumor.runtime import environment


def train_and_evaluate(settings: Settings, job: Job) -> None:
    """The whole of bt-train. The run folder appears once all input has been accepted."""
    started = time.perf_counter()
    begin = _resumed if settings["resume"] else _begun
    with begin(settings, job) as (work, run), recorded(run, started):
        write_tables(work.data, run.path)
        fitting.train(work, run, resume=bool(settings["resume"]))
        fit_postprocessing(work, run)
        draw_data(work.data, run.path)
        _evaluate_best(work, run)


@contextmanager
def _begun(settings: Settings, job: Job) -> Iterator[tuple[Work, RunFolder]]:
    """A new run, in a folder that is held within the block."""
    check_output(settings, job, RUN)
    named = named_folder(settings, job)
    if named is not None:
        _check_inside(RunFolder(named))
    work = prepare(settings, job.choices["data"])
    name = model_name(work.settings["model"])
    default = Path("runs") / run_name(work.data_name, name)
    with held_output(settings, job, RUN, default) as folder:
        remove_own(folder, RUN)
        run = RunFolder(folder)
        write_atomic(run.config, yaml.safe_dump(work.settings, sort_keys=False, allow_unicode=True))
        write_json(run.environment, environment())
        write_manifest(run.manifest, work.data.manifest)
        run.set_status(
            "running", model_name=name, data_name=work.data_name, seed=work.settings["seed"],
            parameters=work.parameters(), overrides=list(job.overrides),
        )  # fmt: skip
        yield work, run


def _check_inside(run: RunFolder) -> None:
    """Now and not after the training: may its evaluation be written?"""
    check(run.evaluation("test"), EVALUATION, "replace")


@contextmanager
def _resumed(settings: Settings, job: Job) -> Iterator[tuple[Work, RunFolder]]:
    """The run that `resume=` names, whose folder is held within the block."""
    run = open_run(settings["resume"])
    with hold(run.path, RUN, "continue"):
        _check_inside(run)
        settings, data_name = take_over(run, settings, job)
        check_stored(settings)
        work = prepare(settings, data_name)
        check_same_images(run, work.data.manifest)
        yield work, run


def _evaluate_best(work: Work, run: RunFolder) -> None:
    """The best checkpoint, read back from disk, once on the test split."""
    # imported here, or the first step would wait for matplotlib
    from braintumor.cli.evaluate import Options, evaluate, leakage_by_groups

    rows = work.rows("test")
    if not len(rows):
        log.warning("the data has no test split: nothing to evaluate")
        return
    model, card = load_classifier(run.best, work.device)
    folder = run.evaluation("test")
    with hold(folder, EVALUATION, "replace"):  # a killed run may have written it already
        evaluate(
            model,
            card.classes,
            work.data,
            work.labels,
            rows,
            folder,
            split="test",
            truth=leakage_by_groups(work.data, "test", refit=work.recipe.train.refit),
            about=about_run(run, card),
            history=run.read_history(),
            pictures=drawn(run.path),
            fitted=load_postprocessing(run.best, card),
            options=Options(
                device=work.device,
                dtype=work.dtype,
                batch_size=2 * work.recipe.train.batch_size,
                prevalence=work.settings["decision"]["prevalence"],
                settings=typed(EvalSettings, work.settings["eval"], "eval"),
                keep=work.keeps_summaries(),
            ),
        )
