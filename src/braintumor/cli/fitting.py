"""The training part of a run: what fit gives, written down after every epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tqdm.contrib.logging import logging_redirect_tqdm

from braintumor import __version__
from braintumor.cli.console import describe_epoch, log
from braintumor.cli.work import Work
from braintumor.data.patients import count_patients
from braintumor.data.tensors import ImageSplit
from braintumor.errors import MachineError
from braintumor.files import write_atomic
from braintumor.models.classifier import model_name
from braintumor.records import EpochRecord
from braintumor.runs.checkpoint import Card, save_best
from braintumor.runs.folder import RunFolder, open_tensorboard
from braintumor.runs.state import has_state, load_state, save_state
from braintumor.training.loop import fit
from braintumor.training.recipe import refit_recipe
from braintumor.training.state import BestCheckpoint, FitState


def train(work: Work, run: RunFolder, *, resume: bool) -> None:
    """Leave best.safetensors: of the epoch that validation chose or, under train.refit, of a
    second training that has validation's images too.
    """
    state = FitState(work.model, BestCheckpoint(work.recipe.train.early_stopping))

    def keep(record: EpochRecord) -> None:
        if record.is_best:
            save_best(run.best, state.best.weights, _card(work, dataclasses.asdict(record)))

    saved = _state_to_resume(run, work.device) if resume else None
    _fit(work, run, state, work.images("train"), work.images("val"), keep, saved)
    run.set_status("running", best_epoch=state.best.epoch)
    _draw_curves(run)
    chosen = _card(work, dataclasses.asdict(run.read_record(state.best.epoch)))
    # written anew where the run was resumed: the file may be older than the state, or damaged
    if work.recipe.train.refit:
        save_best(run.selected, state.best.weights, chosen)
        _refit(work.renewed(), run, chosen)
    elif saved:
        save_best(run.best, state.best.weights, chosen)


def _state_to_resume(run: RunFolder, device: torch.device) -> dict[str, Any] | None:
    """What was saved last; None for a run that was cut off in its first epoch."""
    if not has_state(run) and (not run.history.is_file() or len(run.read_history()) < 2):
        log.info("no epoch had been saved: beginning with the first")
        return None
    return load_state(run, device)


def _draw_curves(run: RunFolder) -> None:
    # imported here, or the first step would wait for matplotlib
    from braintumor.report.plots.style import to_png
    from braintumor.report.plots.training_curves import draw_curves

    write_atomic(run.plots / "curves.png", to_png(draw_curves(run.read_history())))


def _refit(work: Work, run: RunFolder, chosen: Card) -> None:
    """Train the fresh model of `work` for as many epochs as it took to the chosen one."""
    recipe = refit_recipe(work.recipe, run.read_history())
    images = work.images("train", "val")
    log.info(
        "refit: %d epochs from the start on train and val together, %s images",
        recipe.total_epochs, f"{len(images):,}",
    )  # fmt: skip
    work, folder = dataclasses.replace(work, recipe=recipe), RunFolder(run.path / "refit")
    saved = load_state(folder, work.device) if has_state(folder) else None
    state = FitState(work.model, BestCheckpoint(recipe.train.early_stopping))
    folder.path.mkdir(exist_ok=True)
    _fit(work, folder, state, images, None, lambda _: None, saved)
    card = dataclasses.replace(chosen, settings=work.settings)
    save_best(run.best, state.best.weights, card)


def _fit(
    work: Work,
    folder: RunFolder,
    state: FitState,
    train: ImageSplit,
    val: ImageSplit | None,
    keep: Callable[[EpochRecord], None],
    saved: dict[str, Any] | None,
) -> None:
    """Fit, and after each epoch: a row, a checkpoint by `keep`, the resume state, a line."""
    recipe = work.recipe
    done = saved["epoch"] if saved else 0
    if saved:
        log.info("resuming after epoch %d", done)
    folder.cut_history(done)
    tensorboard = open_tensorboard(folder, recipe.train.tensorboard, first_epoch=done + 1)
    records = fit(state, train, val, recipe, work.augment(), resume_from=saved, progress=True)
    with tensorboard as write_scalars, logging_redirect_tqdm([log]):
        try:
            for record in records:
                folder.append_history(record)
                write_scalars(record)
                keep(record)
                save_state(folder, state.state_dict())
                describe_epoch(record, recipe.total_epochs)
        except torch._dynamo.exc.TorchDynamoException as error:
            first = str(error).strip().splitlines()[0]
            raise MachineError(
                f"train.compile=true does not work here ({first}); leave it out"
            ) from error
        except torch.OutOfMemoryError as error:
            size = recipe.train.batch_size
            raise MachineError(
                f"the device is out of memory at train.batch_size={size}, {train.images.shape[-1]} "
                f"px; try train.batch_size={max(size // 2, 1)}"
            ) from error


def _card(work: Work, validation: Mapping[str, Any]) -> Card:
    """The card of a checkpoint that validation chose; validation: the record of its epoch."""
    # its images are known to the model as well
    seen = work.data.manifest["split"].isin(("train", "val")).to_numpy()
    finite = {k: v if v == v else None for k, v in validation.items()}
    return Card(
        version=__version__,
        model_name=model_name(work.settings["model"]),
        data_name=work.data_name,
        classes=work.data.classes,
        binary=work.settings["data"]["binary"],
        image_size=work.data.pixels.shape[1],
        fit=work.settings["data"]["fit"],
        mean=tuple(work.model.backbone.mean),
        std=tuple(work.model.backbone.std),
        model=work.model.settings,
        settings=work.settings | {"train": work.settings["train"] | {"refit": False}},
        epoch=validation["epoch"],
        validation=finite,
        parameters=work.parameters(),
        training_hashes=tuple(sorted(set(work.data.manifest.loc[seen, "sha256"]))),
        training_phashes=tuple(sorted(set(work.data.phashes[seen].tolist()))),
        patients=dataclasses.asdict(count_patients(work.data.manifest[seen])),
    )
