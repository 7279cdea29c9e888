"""What bt-train does, in the order it happens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tqdm.contrib.logging import logging_redirect_tqdm

from braintumor import __version__
from braintumor.cli.console import describe_epoch, log
from braintumor.cli.evaluate import evaluate, truth_of_own
from braintumor.cli.inputs import explore, explored, labels_of, read_data
from braintumor.cli.recording import about_run, recorded
from braintumor.cli.resume import check_same_images, take_over
from braintumor.cli.shell import Job, Settings
from braintumor.data.augment import AugmentSettings, build_augment
from braintumor.data.dataset import Dataset
from braintumor.data.loader import load_split
from braintumor.data.manifest import write_manifest
from braintumor.errors import MachineError
from braintumor.evaluation.plots.curves import draw_curves
from braintumor.evaluation.plots.style import to_png
from braintumor.evaluation.predict import EvalSettings
from braintumor.files import write_atomic, write_json
from braintumor.models.classifier import Classifier, build_model, model_name
from braintumor.runs.checkpoint import Card, load_classifier, load_state, save_best, save_state
from braintumor.runs.folder import RunFolder, make_run_folder
from braintumor.runs.tensorboard import open_tensorboard
from braintumor.runtime import choose_device, choose_precision, environment, mix_seed
from braintumor.settings import typed
from braintumor.training.early_stopping import Best
from braintumor.training.loop import fit
from braintumor.training.phases import FitState, Recipe, TrainSettings, check_recipe


@dataclass(frozen=True, eq=False)
class Work:
    """Everything a run needs, accepted and in memory; nothing written yet."""

    settings: Settings
    data_name: str
    data: Dataset
    labels: np.ndarray
    model: Classifier
    recipe: Recipe
    device: torch.device
    dtype: torch.dtype

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split in the manifest."""
        return np.flatnonzero(self.data.manifest["split"] == split)


def train_and_evaluate(settings: Settings, job: Job) -> None:
    """The whole of bt-train. The run folder appears once all input has been accepted."""
    started = time.perf_counter()
    run: RunFolder | None = None
    data_name = job.choices["data"]
    if settings["resume"]:
        run, settings, data_name = take_over(settings, job)
    work = prepare(settings, data_name)
    if run:
        check_same_images(run, work.data.manifest)
    else:
        run = _create_folder(work, job)
    with recorded(run, started):
        if not settings["resume"]:
            explore(work.data, run.path)
        _train(work, run, resume=bool(settings["resume"]))
        _evaluate_best(work, run)


def prepare(settings: Settings, data_name: str) -> Work:
    """Read the data, build the model, check every setting."""
    train = typed(TrainSettings, settings["train"], "train")
    typed(AugmentSettings, settings["augment"], "augment")
    typed(EvalSettings, settings["eval"], "eval")
    device = choose_device(settings["device"])
    dtype = choose_precision(train.precision, device)
    size = settings["data"]["image_size"] or settings["model"]["backbone"]["image_size"]
    data = read_data(settings, size, data_name)
    torch.manual_seed(mix_seed(settings["seed"], "weights"))
    model = build_model(settings["model"], len(data.classes), size).to(device)
    if train.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = Recipe(
        train=train,
        optimizer=settings["optimizer"],
        scheduler=settings["scheduler"],
        loss=settings["loss"],
        backbone_lr_scale=settings["model"]["backbone"]["lr_scale"],
        seed=settings["seed"],
    )
    check_recipe(recipe, model)
    name, millions = model_name(settings["model"]), _count_parameters(model) / 1e6
    log.info("%s: %.2f M parameters, on %s in %s", name, millions, device, str(dtype)[6:])
    return Work(
        settings=settings,
        data_name=data_name,
        data=data,
        labels=labels_of(data, data.classes),
        model=model,
        recipe=recipe,
        device=device,
        dtype=dtype,
    )


def _create_folder(work: Work, job: Job) -> RunFolder:
    name, named = model_name(work.settings["model"]), work.settings["run_dir"]
    path = Path(named).expanduser() if named else job.sweep_folder
    run = RunFolder(path or make_run_folder(Path("runs"), work.data_name, name))
    if run.clear():
        log.warning("%s held a former run, which this one replaces", run.path)
    run.set_status(
        "running", model_name=name, data_name=work.data_name, seed=work.settings["seed"],
        parameters=_count_parameters(work.model), overrides=list(job.overrides),
    )  # fmt: skip
    write_atomic(run.config, yaml.safe_dump(work.settings, sort_keys=False, allow_unicode=True))
    write_json(run.environment, environment())
    write_manifest(run.manifest, work.data.manifest)
    return run


def _count_parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _train(work: Work, run: RunFolder, *, resume: bool) -> None:
    """Fit, and after each epoch: a row, a line, the best checkpoint, the resume state."""
    recipe, paths = work.recipe, tuple(work.data.manifest["path"])
    train, val = (
        load_split(work.data.pixels, work.labels, paths, work.rows(split), work.device)
        for split in ("train", "val")
    )
    saved = load_state(run, work.device) if resume else None
    if saved:
        log.info("resuming after epoch %d", saved["epoch"])
        run.cut_history(saved["epoch"])
    state = FitState(work.model, Best(recipe.train.early_stopping))
    augment = build_augment(
        typed(AugmentSettings, work.settings["augment"], "augment"), len(work.data.classes)
    )
    epochs = sum(recipe.epochs_of(phase) for phase in recipe.train.phases)
    done = saved["epoch"] if saved else 0
    tensorboard = open_tensorboard(run, recipe.train.tensorboard, first_epoch=done + 1)
    with tensorboard as write_scalars, logging_redirect_tqdm([log]):
        try:
            for record in fit(state, train, val, recipe, augment, resume_from=saved, progress=True):
                run.append_history(record)
                write_scalars(record)
                if record.is_best:
                    save_best(run.best, state.best.weights, make_card(work, asdict(record)))
                save_state(run, state.state_dict())
                describe_epoch(record, epochs)
        except torch.OutOfMemoryError as error:
            size = recipe.train.batch_size
            raise MachineError(
                f"the device is out of memory at train.batch_size={size}, {train.images.shape[-1]} "
                f"px; try train.batch_size={max(size // 2, 1)}"
            ) from error
    run.set_status("running", best_epoch=state.best.epoch)
    write_atomic(run.plots / "curves.png", to_png(draw_curves(run.read_history())))


def make_card(work: Work, validation: Mapping[str, Any]) -> Card:
    """The card of a checkpoint of this work; validation: the record of its epoch."""
    # validation chose the epoch, so its images are known to the model as well
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
        settings=work.settings,
        epoch=validation["epoch"],
        validation=finite,
        parameters=_count_parameters(work.model),
        training_hashes=tuple(sorted(set(work.data.manifest.loc[seen, "sha256"]))),
        training_phashes=tuple(sorted(set(work.data.phashes[seen].tolist()))),
    )


def _evaluate_best(work: Work, run: RunFolder) -> None:
    """The best checkpoint, read back from disk, once on the test split."""
    rows = work.rows("test")
    if not len(rows):
        log.warning("the data has no test split: nothing to evaluate")
        return
    model, card = load_classifier(run.best, work.device)
    options = work.settings["eval"]
    evaluate(
        model,
        card.classes,
        work.data,
        work.labels,
        rows,
        run.evaluation("test"),
        split="test",
        truth=truth_of_own(work.data, "test"),
        about=about_run(run, card),
        history=run.read_history(),
        pictures=explored(run.path),
        device=work.device,
        dtype=work.dtype,
        batch_size=2 * work.recipe.train.batch_size,
        views=options["views"],
        examples=options["examples"],
    )
