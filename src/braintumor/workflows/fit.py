"""The training part of a run: what fit gives, written down after every epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from braintumor._version import __version__
from braintumor.data.host_images import ImageSplit
from braintumor.data.manifest import KNOWN, count_patients
from braintumor.errors import MachineError, first_line, some
from braintumor.files import write_atomic, write_rows
from braintumor.interrupts import deferred
from braintumor.models.classifier import model_name
from braintumor.privacy import without_names
from braintumor.records import EpochRecord
from braintumor.runs.checkpoint import Card, save_best
from braintumor.runs.folder import RunFolder
from braintumor.runs.history import read_history, read_record, read_rows, set_rows
from braintumor.runs.state import NoStateError, load_state, save_state, start_again
from braintumor.runs.tracking import Trackers
from braintumor.runs.writer import Writer
from braintumor.training.distributed import team
from braintumor.training.loop import fit
from braintumor.training.recipe import refit_recipe
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.workflows.console import log
from braintumor.workflows.describe import describe_epoch
from braintumor.workflows.setup import Experiment
from braintumor.workflows.together import Fit

_CPU = torch.device("cpu")  # from where a state is copied to what holds it now


def fit_and_save(
    experiment: Experiment, run: RunFolder, trackers: Trackers, *, resume: bool
) -> None:
    """Leave best.safetensors: of the epoch that validation chose or, under train.refit, of a
    second training that has validation's images too.
    """

    def keep(record: EpochRecord, weights: Mapping[str, Tensor]) -> None:
        run.require()
        trackers.epoch(record)
        if record.is_best:
            save_best(run.best, weights, _card(experiment, record))

    saved = _state_to_resume(run) if resume else None
    train, val = experiment.images("train"), experiment.images("val")
    with start_again(run):
        best = _fit(experiment, run, train, val, keep, saved)
    run.set_status("running", best_epoch=best.epoch)
    # imported here, or the first step would wait for matplotlib
    from braintumor.report.plots.performance import draw_curves
    from braintumor.report.plots.style import to_png

    write_atomic(run.plots / "curves.png", to_png(draw_curves(read_history(run.history))))
    chosen = _card(experiment, read_record(run.history, best.epoch))
    # written anew where the run was resumed: the file may be older than the state, or damaged
    if experiment.recipe.train.refit:
        save_best(run.selected, best.weights, chosen)
        with start_again(run):
            _refit(experiment.with_fresh_model(), run, trackers, chosen)
    elif saved:
        save_best(run.best, best.weights, chosen)


def _state_to_resume(run: RunFolder) -> dict[str, Any] | None:
    """What was saved last; None for a run that was cut off in its first epoch."""
    try:
        return load_state(run, _CPU)
    except NoStateError:
        if len(read_rows(run.history)) > 1:
            raise
        log.info("no epoch had been saved: beginning with the first")
        return None


def _refit(experiment: Experiment, run: RunFolder, trackers: Trackers, chosen: Card) -> None:
    """Train the fresh model of `experiment` for as many epochs as it took to the chosen one."""
    recipe = refit_recipe(experiment.recipe, read_history(run.history))
    images = experiment.images(*KNOWN)
    log.info(
        "refit: %s from the start on train and val together, %s",
        some(recipe.total_epochs, "epoch"), some(len(images), "image"),
    )  # fmt: skip
    experiment = dataclasses.replace(experiment, recipe=recipe)
    folder = RunFolder(run.path / "refit")
    try:
        saved = load_state(folder, _CPU)
    except NoStateError:
        saved = None
    folder.path.mkdir(exist_ok=True)

    def keep(record: EpochRecord, weights: Mapping[str, Tensor]) -> None:
        run.require()
        trackers.epoch(record, part="refit")

    best = _fit(experiment, folder, images, None, keep, saved)
    settings = without_names(experiment.settings)
    save_best(run.best, best.weights, dataclasses.replace(chosen, settings=settings))


def _fit(
    experiment: Experiment,
    folder: RunFolder,
    train: ImageSplit,
    val: ImageSplit | None,
    keep: Callable[[EpochRecord, Mapping[str, Tensor]], None],
    saved: dict[str, Any] | None,
) -> BestCheckpoint:
    """Fit, and after each epoch: on the disk a row, a checkpoint by `keep`, the state; then a line.

    The disk works while the next epoch is computed. An epoch that is told of can be resumed.
    """
    recipe = experiment.recipe
    state = FitState(experiment.model, BestCheckpoint(recipe.train.early_stopping))
    done = saved["epoch"] if saved else 0
    if saved:
        steps = len(saved["partial"]["losses"]) if saved["partial"] else 0
        within = f", step {steps} of the next" if steps else ""
        log.info("resuming after epoch %d%s", done, within)
    set_rows(folder.history, saved["history"] if saved else [])
    team().tell(Fit(folder.path.resolve(), recipe, saved is not None, is_refit=val is None))
    records = fit(state, train, val, recipe, experiment.augment, resume_from=saved, progress=True)
    # several processes would not stop at the same step: they go on from the end of an epoch
    is_alone = team().size == 1
    with deferred() if is_alone else nullcontext(), Writer() as writer:

        def write(record: EpochRecord, weights: Mapping[str, Tensor], now: dict[str, Any]) -> None:
            keep(record, weights)
            write_rows(folder.history, now["history"])  # whole, whoever has edited it
            save_state(folder, now)
            describe_epoch(record, recipe.total_epochs)

        try:
            for record in records:
                writer.write(partial(write, record, state.best.weights, state.snapshot()))
        except KeyboardInterrupt:
            if state.partial and is_alone:
                writer.write(partial(save_state, folder, state.snapshot()))
                writer.join()
            raise
        except torch._dynamo.exc.TorchDynamoException as error:
            raise MachineError(
                f"train.compile=true does not work here ({first_line(error)}); leave it out"
            ) from error
        except torch.OutOfMemoryError as error:
            size = recipe.train.batch_size
            raise MachineError(
                f"the device is out of memory at train.batch_size={size}, {train.images.shape[-1]} "
                f"px; try train.batch_size={max(size // 2, 1)}"
            ) from error
    return state.best


def _known_to(experiment: Experiment, seen: pd.DataFrame, phashes: np.ndarray) -> dict[str, Any]:
    """What the card says of the images that the model knows: also those of the start (init)."""
    own, patients = set(seen["sha256"]), count_patients(seen)
    all_hashes, all_phashes = own, set(phashes.tolist())
    if experiment.start:
        before = experiment.start.card
        all_hashes = own | set(before.training_hashes)
        all_phashes |= set(before.training_phashes)
        # whose patients those are nobody can compare with these
        images = patients.images + len(all_hashes - own)
        patients = dataclasses.replace(patients, images=images)
    return {
        "training_hashes": tuple(sorted(all_hashes)),
        "training_phashes": tuple(sorted(all_phashes)),
        "patients": dataclasses.asdict(patients),
    }


def _card(experiment: Experiment, validation: EpochRecord) -> Card:
    """The card of a checkpoint that validation chose; validation: of its epoch."""
    rows = experiment.rows(*KNOWN)
    seen = experiment.data.manifest.iloc[rows]
    return Card(
        version=__version__,
        model_name=model_name(experiment.settings["model"]),
        data_name=experiment.data_name,
        classes=experiment.data.classes,
        binary=experiment.settings["data"]["binary"],
        image_size=experiment.data.pixels.shape[1],
        fit=experiment.settings["data"]["fit"],
        mean=tuple(experiment.model.backbone.mean),
        std=tuple(experiment.model.backbone.std),
        model=without_names(experiment.model.settings),
        settings=without_names(
            experiment.settings | {"train": experiment.settings["train"] | {"refit": False}}
        ),
        epoch=validation.epoch,
        validation={k: v if v == v else None for k, v in dataclasses.asdict(validation).items()},
        parameters=experiment.num_parameters(),
        **_known_to(experiment, seen, experiment.data.phashes[rows]),
    )
