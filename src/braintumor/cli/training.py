"""What bt-train does, in the order it happens."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

from braintumor.cli import fitting
from braintumor.cli.checks import check_stored
from braintumor.cli.console import describe_decisions, describe_evaluation, log
from braintumor.cli.inputs import draw_data, drawn, write_tables
from braintumor.cli.outputs import check_output, held_output, named_folder
from braintumor.cli.recording import recorded
from braintumor.cli.resume import check_same_images, take_over
from braintumor.cli.shell import Job, Settings
from braintumor.cli.work import Work, prepare
from braintumor.config import typed
from braintumor.data.manifest import group_numbers, write_manifest
from braintumor.evaluation.postprocessing import (
    MOST_COMMON,
    FitImages,
    PostProcessing,
    add_postprocessing,
)
from braintumor.evaluation.predict import EvalSettings, Inference
from braintumor.files import write_atomic, write_json
from braintumor.models.classifier import Classifier, model_name
from braintumor.runs.checkpoint import Card
from braintumor.runs.folder import RunFolder, open_run, run_name
from braintumor.runs.kinds import EVALUATION, RUN, EvaluationFile
from braintumor.runs.ownership import check, hold, remove_own
from braintumor.runtime import environment, mix_seed
from braintumor.statistics.decisions import DecisionSettings


def train_and_evaluate(settings: Settings, job: Job) -> None:
    """The whole of bt-train. The run folder appears once all input has been accepted."""
    started = time.perf_counter()
    begin = _resumed if settings["resume"] else _begun
    with begin(settings, job) as (work, run), recorded(run, started):
        write_tables(work.data, run.path)
        fitting.train(work, run, resume=bool(settings["resume"]))
        best = fit_postprocessing(work, run)
        draw_data(work.data, run.path)
        _evaluate_best(work, run, *best)


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


def fit_postprocessing(work: Work, run: RunFolder) -> tuple[Classifier, Card, PostProcessing]:
    """Fit decisions and what is common on the checkpoints of the run; gives the best, as stored."""
    train, val = work.rows("train"), work.rows("val")
    rng = np.random.default_rng(mix_seed(work.settings["seed"], "outliers"))
    images = FitImages(
        train=work.images_at(np.sort(rng.permutation(train)[:MOST_COMMON])),
        val=work.images("val"),
        groups=group_numbers(work.data.manifest["group"].iloc[val]),
    )
    chosen = run.selected if work.recipe.train.refit else run.best
    best = add_postprocessing(
        list(dict.fromkeys((chosen, run.best))),
        images,
        typed(DecisionSettings, work.settings["decision"], "decision"),
        _inference(work),
        work.settings["eval"]["views"],
    )
    describe_decisions(best[2].decisions)
    return best


def _inference(work: Work) -> Inference:
    return Inference(2 * work.recipe.train.batch_size, work.dtype, work.keeps_summaries())


def _evaluate_best(
    work: Work, run: RunFolder, model: Classifier, card: Card, fitted: PostProcessing
) -> None:
    """The best checkpoint, once on the test split."""
    # imported here, or the first step would wait for matplotlib
    from braintumor.evaluation.evaluate import EvalOptions, EvaluatedImages, evaluate
    from braintumor.evaluation.leakage import leakage_by_groups
    from braintumor.evaluation.provenance import read_provenance
    from braintumor.report.write import write

    rows = work.rows("test")
    if not len(rows):
        log.warning("the data has no test split: nothing to evaluate")
        return
    folder = run.evaluation("test")
    with hold(folder, EVALUATION, "replace"):  # a killed run may have written it already
        leakage = leakage_by_groups(work.data, "test", refit=work.recipe.train.refit)
        settings = typed(EvalSettings, work.settings["eval"], "eval")
        evaluation = evaluate(
            model,
            card.classes,
            EvaluatedImages(work.data, work.labels, rows, "test", leakage),
            EvalOptions(_inference(work), settings, work.settings["decision"]["prevalence"]),
            fitted,
            dataclasses.replace(read_provenance(run, card), pictures=drawn(run.path)),
        )
        write(evaluation, folder)
        describe_evaluation(evaluation, folder / EvaluationFile.REPORT)
