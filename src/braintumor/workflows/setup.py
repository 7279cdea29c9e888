"""What a training, begun or resumed, needs: read and checked before anything is written."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from braintumor.config import typed
from braintumor.data.dataset import Dataset
from braintumor.data.tensors import Augment, AugmentSettings, ImageSplit, epoch_order, load_split
from braintumor.errors import CheckpointError, ConfigError
from braintumor.evaluation.heatmaps import check_method
from braintumor.evaluation.predict import EvalSettings
from braintumor.models.backbones import no_downloads
from braintumor.models.classifier import Classifier, build_model, model_name
from braintumor.runs.folder import RunFolder, read_config
from braintumor.runtime import choose_device, choose_precision, configure_torch, mix_seed, seeded
from braintumor.statistics.decisions import DecisionSettings
from braintumor.training.batches import choose_batch_size
from braintumor.training.recipe import FeatureSettings, Phase, Recipe, TrainSettings
from braintumor.training.state import check_recipe
from braintumor.workflows.arguments import Request, Settings, check_settings
from braintumor.workflows.console import log
from braintumor.workflows.data import labels_of, read_data

_WEIGHTS = "model.backbone.weights"
_ALLOWED = ("resume", "device", "data.download", _WEIGHTS)  # beside the settings of the run


@dataclass(frozen=True, eq=False)
class Experiment:
    """Everything a run needs, accepted and in memory; nothing written yet.

    evaluating, deciding, augment: sections of the settings.
    """

    settings: Settings
    evaluating: EvalSettings
    deciding: DecisionSettings
    augment: Augment
    data_name: str
    data: Dataset
    labels: np.ndarray
    model: Classifier
    recipe: Recipe
    device: torch.device
    dtype: torch.dtype

    def rows(self, *splits: str) -> np.ndarray:
        """Row numbers of splits in the manifest."""
        return np.flatnonzero(self.data.manifest["split"].isin(splits))

    def images(self, *splits: str) -> ImageSplit:
        """The images of splits, on the device."""
        return self.images_at(self.rows(*splits))

    def images_at(self, rows: np.ndarray) -> ImageSplit:
        """The images of those rows of the manifest, on the device."""
        paths = tuple(self.data.manifest["path"])
        return load_split(self.data.pixels, self.labels, paths, rows, self.device)

    def num_parameters(self) -> int:
        """How many numbers the model has to learn."""
        return sum(p.numel() for p in self.model.parameters())

    def with_fresh_model(self) -> Experiment:
        """The same with the model as it was before any training."""
        size = self.data.pixels.shape[1]
        model = _build(self.settings, len(self.data.classes), size, self.recipe.train, self.device)
        return dataclasses.replace(self, model=model)


def keeps_summaries(settings: Settings, device: torch.device) -> bool:
    """Whether other runs can use what the backbone gives of evaluated images.

    So it is when no phase trained the backbone and the run keeps features. Not on a GPU, where
    nobody has measured whether a disk gives them faster than the backbone.
    """
    phases = [typed(Phase, phase, "train.phases") for phase in settings["train"]["phases"]]
    is_untrained = all(phase.trainable in ("head", 0) for phase in phases)
    return device.type == "cpu" and is_untrained and settings["features"]["views"] > 0


def setup(settings: Settings, data_name: str) -> Experiment:
    """Read the data, build the model, check every setting.

    Its settings have train.batch_size=auto replaced by the number that was chosen.
    """
    is_auto = settings["train"]["batch_size"] == "auto"
    if is_auto:
        settings = _with_batch_size(settings, 1)  # until the model is there
    train = typed(TrainSettings, settings["train"], "train")
    augment = typed(AugmentSettings, settings["augment"], "augment")
    evaluating = typed(EvalSettings, settings["eval"], "eval")
    deciding = typed(DecisionSettings, settings["decision"], "decision")
    device = choose_device(settings["device"])
    configure_torch(device)
    if train.cuda_graphs and device.type != "cuda":
        raise ConfigError(f"train.cuda_graphs=true needs a CUDA device, not {device}; leave it out")
    dtype = choose_precision(train.precision, device)
    named = settings["data"].get("image_size")
    size = settings["model"]["backbone"]["image_size"] if named is None else named
    data = read_data(settings, size, data_name)
    experiment = Experiment(
        settings=settings,
        evaluating=evaluating,
        deciding=deciding,
        augment=Augment(augment, len(data.classes)),
        data_name=data_name,
        data=data,
        labels=labels_of(data, data.classes),
        model=_build(settings, len(data.classes), size, train, device),
        recipe=Recipe(
            train=train,
            optimizer=settings["optimizer"],
            scheduler=settings["scheduler"],
            loss=settings["loss"],
            backbone_lr_scale=settings["model"]["backbone"]["lr_scale"],
            seed=settings["seed"],
            features=typed(FeatureSettings, settings["features"], "features"),
        ),
        device=device,
        dtype=dtype,
    )
    if is_auto:
        experiment = _choose_batch_size(experiment)
    check_recipe(experiment.recipe, experiment.model)
    check_method(experiment.model, evaluating.cam)
    name, millions = model_name(settings["model"]), experiment.num_parameters() / 1e6
    log.info("%s: %.2f M parameters, on %s in %s", name, millions, device, str(dtype)[6:])
    return experiment


def _choose_batch_size(experiment: Experiment) -> Experiment:
    rows, recipe = experiment.rows("train"), experiment.recipe
    balanced = recipe.train.imbalance == "oversample"
    order = epoch_order(experiment.labels[rows], recipe.seed, 0, oversample=balanced)
    sample = experiment.images("train").images[:1].to(experiment.device)
    size = choose_batch_size(experiment.model, len(order), sample, experiment.dtype)
    log.info("train.batch_size=auto: %d", size)
    train = dataclasses.replace(recipe.train, batch_size=size)
    return dataclasses.replace(
        experiment,
        settings=_with_batch_size(experiment.settings, size),
        recipe=dataclasses.replace(recipe, train=train),
    )


def _with_batch_size(settings: Settings, size: int) -> Settings:
    return settings | {"train": settings["train"] | {"batch_size": size}}


def _build(
    settings: Settings, num_classes: int, size: int, train: TrainSettings, device: torch.device
) -> Classifier:
    with seeded(mix_seed(settings["seed"], "weights"), torch.device("cpu")):
        model = build_model(settings["model"], num_classes, size).to(device)
    if train.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if train.compile:
        model.compile()
    return model


def take_over(run: RunFolder, request: Request) -> tuple[Settings, str]:
    """The settings of an interrupted run with this machine's device, and its data's name.

    A run folder may be a stranger's: it asks the network for images only where this command says
    data.download=true.
    """
    here, named = request.settings, {_key(override) for override in request.overrides}
    foreign = [o for o in request.overrides if _key(o) not in _ALLOWED]
    if foreign:
        raise ConfigError(
            f"resume= takes all settings from the run folder, so {' '.join(foreign)} would be "
            "ignored; leave it out, or start a new run with it"
        )
    status = run.read_status()
    if status.get("status") == "completed":
        raise CheckpointError(
            f"{run.path} is complete, there is nothing to resume; its report is "
            f"{run.evaluation('test') / 'report.html'}"
        )
    stored = read_config(run) | {"resume": str(run.path)}
    try:
        check_settings("train", stored)
    except ConfigError as error:
        raise CheckpointError(f"{run.config} is not that of a run: {error}") from error
    if "device" in named:
        stored["device"] = here["device"]
    if _WEIGHTS in named:
        own, wanted = (each["model"]["backbone"].get("weights") for each in (stored, here))
        if own != wanted:
            raise ConfigError(
                f"{_WEIGHTS}={wanted}, but the run began with {own}; leave it out, or start a new "
                "run"
            )
    if "download" in stored["data"]:
        download = "data.download" in named and here["data"]["download"]
        stored["data"] = stored["data"] | {"download": download}
    elif "data.download" in named:
        raise ConfigError("the data set of the run is not one to download; leave data.download out")
    return stored, status.get("data_name", "data")


def downloads(request: Request) -> AbstractContextManager[None]:
    """Within, a resumed run fetches no weights, unless this command names them; a new run may."""
    if not request.settings["resume"] or _WEIGHTS in map(_key, request.overrides):
        return nullcontext()
    return no_downloads(
        "a resumed run, which asks for them, downloads nothing by itself; add "
        f"{_WEIGHTS}=imagenet to the command to allow it"
    )


def _key(override: str) -> str:
    return override.lstrip("+~").split("=")[0]
