"""The training part of a run: what fit gives, written down after every epoch."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tqdm.contrib.logging import logging_redirect_tqdm

from braintumor import __version__
from braintumor.cli.console import describe_epoch, log
from braintumor.cli.work import Work
from braintumor.data.loader import ImageSplit
from braintumor.data.patients import count_patients
from braintumor.errors import MachineError
from braintumor.files import write_atomic
from braintumor.models.classifier import model_name
from braintumor.records import EpochRecord
from braintumor.runs.checkpoint import Card, load_state, read_card, save_best, save_state
from braintumor.runs.folder import RunFolder
from braintumor.runs.tensorboard import open_tensorboard
from braintumor.training.early_stopping import Best
from braintumor.training.loop import fit
from braintumor.training.phases import FitState
from braintumor.training.refit import refit_recipe


def train(work: Work, run: RunFolder, *, resume: bool) -> None:
    """Leave best.safetensors: of the epoch that validation chose or, under train.refit, of a
    second training that has validation's images too.
    """
    state = FitState(work.model, Best(work.recipe.train.early_stopping))

    def keep(record: EpochRecord) -> None:
        if record.is_best:
            save_best(run.best, state.best.weights, _card(work, dataclasses.asdict(record)))

    saved = load_state(run, work.device) if resume else None
    _fit(work, run, state, work.images("train"), work.images("val"), keep, saved)
    run.set_status("running", best_epoch=state.best.epoch)
    _draw_curves(run)
    if work.recipe.train.refit:
        _refit(work.renewed(), run)


def _draw_curves(run: RunFolder) -> None:
    # imported here, or the first step would wait for matplotlib
    from braintumor.evaluation.plots.curves import draw_curves
    from braintumor.evaluation.plots.style import to_png

    write_atomic(run.plots / "curves.png", to_png(draw_curves(run.read_history())))


def _refit(work: Work, run: RunFolder) -> None:
    """Train the fresh model of `work` for the chosen epochs; what they chose moves aside."""
    if not run.selected.is_file():
        shutil.copyfile(run.best, run.selected)
    recipe = refit_recipe(work.recipe, run.read_history())
    images = work.images("train", "val")
    log.info(
        "refit: %d epochs from the start on train and val together, %s images",
        sum(recipe.epochs_of(phase) for phase in recipe.train.phases), f"{len(images):,}",
    )  # fmt: skip
    work, folder = dataclasses.replace(work, recipe=recipe), RunFolder(run.path / "refit")
    saved = load_state(folder, work.device) if folder.last.is_file() else None
    state = FitState(work.model, Best(recipe.train.early_stopping))
    folder.path.mkdir(exist_ok=True)
    _fit(work, folder, state, images, None, lambda _: None, saved)
    card = dataclasses.replace(read_card(run.selected), settings=work.settings)
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
    if saved:
        log.info("resuming after epoch %d", saved["epoch"])
        folder.cut_history(saved["epoch"])
    epochs = sum(recipe.epochs_of(phase) for phase in recipe.train.phases)
    done = saved["epoch"] if saved else 0
    tensorboard = open_tensorboard(folder, recipe.train.tensorboard, first_epoch=done + 1)
    records = fit(state, train, val, recipe, work.augment(), resume_from=saved, progress=True)
    with tensorboard as write_scalars, logging_redirect_tqdm([log]):
        try:
            for record in records:
                folder.append_history(record)
                write_scalars(record)
                keep(record)
                save_state(folder, state.state_dict())
                describe_epoch(record, epochs)
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
