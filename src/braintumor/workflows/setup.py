"""What a training, begun or resumed, needs: read and checked before anything is written."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from braintumor import runtime
from braintumor.config import typed
from braintumor.data.dataset import Dataset, check_options
from braintumor.data.host_images import ImageSplit, load_split
from braintumor.data.images import Fit
from braintumor.data.manifest import KNOWN, class_numbers
from braintumor.data.split import check_kind
from braintumor.data.tensors import Augment, AugmentSettings, epoch_order
from braintumor.errors import ConfigError, some
from braintumor.evaluation.heatmaps import check_method
from braintumor.evaluation.predict import EvalSettings
from braintumor.models.classifier import Body, Classifier, build_body, model_name
from braintumor.runs.commands import resume_command
from braintumor.runs.folder import RunFolder
from braintumor.runs.tracking import check_tracker
from braintumor.statistics.decisions import DecisionSettings
from braintumor.training.batch_size import choose_batch_size
from braintumor.training.distributed import Team, synchronize_norms
from braintumor.training.recipe import FeatureSettings, Phase, Recipe, TrainSettings
from braintumor.training.state import check_recipe
from braintumor.workflows.arguments import Settings
from braintumor.workflows.console import log
from braintumor.workflows.data import read_again, read_data, require_place, size_of
from braintumor.workflows.init import Start, find_start, take_weights, warn_of_known, with_start

_ANY_CLASSES = 2  # of a head that is built before the data say how many they have


@dataclass(frozen=True, eq=False)
class Experiment:
    """Everything a run needs, accepted and in memory; nothing written yet.

    evaluating, deciding, augment: sections of the settings.  start: what init= names.
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
    start: Start | None = None

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
        body = _build_body(self.settings, self.data.pixels.shape[1], self.start)
        model = _finish(body, self.data.classes, self.recipe.train, self.start)
        return dataclasses.replace(self, model=model.to(self.device))


def keeps_summaries(settings: Settings, device: torch.device) -> bool:
    """Whether other runs can use what the backbone gives of evaluated images.

    So it is when no phase trained the backbone and the run keeps features. Not on a GPU, where
    nobody has measured whether a disk gives them faster than the backbone.
    """
    phases = [typed(Phase, phase, "train.phases") for phase in settings["train"]["phases"]]
    is_untrained = all(phase.trainable in ("head", 0) for phase in phases)
    return device.type == "cpu" and is_untrained and settings["features"]["views"] > 0


@dataclass(frozen=True, eq=False)
class _Accepted:
    """What is known before an image is read: all settings are right. size: of the images, px."""

    recipe: Recipe
    augment: AugmentSettings
    evaluating: EvalSettings
    deciding: DecisionSettings
    device: torch.device
    size: int
    start: Start | None
    body: Body


def setup(
    settings: Settings,
    data_name: str,
    before: RunFolder | None = None,
    *,
    read: Callable[[Settings, int, str], Dataset] = read_data,
) -> Experiment:
    """Check every setting, then read the data, and finish the model.

    What can be known without an image is answered before one is read: settings, device, weights,
    the names and sizes of networks, the split.
    before: the run that goes on, whose images and splits these have to be.
    read: how a new run gets its images.
    Its settings have train.batch_size=auto replaced by the number that was chosen.
    """
    is_auto = settings["train"]["batch_size"] == "auto"
    known = _accept(settings, before)
    if not is_auto:
        Team(size=runtime.world_size()).check(known.recipe.train.batch_size)
    runtime.configure_torch(known.device, known.recipe.train.precision)
    if before is None:
        data = read(settings, known.size, data_name)
    else:
        elsewhere = f"{resume_command(before.path)} data.root=FOLDER"
        data = read_again(settings, known.size, before, elsewhere)
    images = _told_apart(data, settings["data"]["fit"])
    recipe, device = dataclasses.replace(known.recipe, images=images), known.device
    experiment = Experiment(
        settings=settings,
        evaluating=known.evaluating,
        deciding=known.deciding,
        augment=Augment(known.augment, len(data.classes)),
        data_name=data_name,
        data=data,
        labels=class_numbers(data.manifest["label"], data.classes),
        model=_finish(known.body, data.classes, recipe.train, known.start).to(device),
        recipe=recipe,
        device=device,
        dtype=runtime.choose_precision(recipe.train.precision, device),
        start=known.start,
    )
    if known.start:
        warn_of_known(known.start, data.manifest)
    if is_auto:
        experiment = _choose_batch_size(experiment)
    size = some(experiment.num_parameters(), "parameter")
    kind = str(experiment.dtype)[6:]
    log.info("%s: %s, on %s in %s", model_name(settings["model"]), size, device, kind)
    return experiment


def _told_apart(data: Dataset, fit: Fit) -> dict[str, str]:
    """Of training and validation: their number, and a digest of what they are, in order."""
    size, told = data.pixels.shape[1], {}
    for split, rows in data.manifest.groupby("split"):
        if split in KNOWN:
            names = "\n".join([str(size), fit, *rows["sha256"], *rows["label"]])
            digest = hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()
            told[str(split)] = f"{len(rows)} images of {size} px ({digest[:12]})"
    return told


def check_input(settings: Settings, data_name: str) -> None:
    """What `setup` checks and reads, for runs in other processes: the data are cached for them.

    No model stays in memory, and nothing is put on a GPU, which belongs to those runs.
    """
    read_data(settings, _accept(settings, None).size, data_name)


def _accept(settings: Settings, before: RunFolder | None) -> _Accepted:
    """Check all that can be known without an image; on the CPU."""
    if settings["train"]["batch_size"] == "auto":
        settings = _with_batch_size(settings, 1)  # until the model is there
    recipe = _recipe(settings)
    augment = typed(AugmentSettings, settings["augment"], "augment")
    evaluating = typed(EvalSettings, settings["eval"], "eval")
    deciding = typed(DecisionSettings, settings["decision"], "decision")
    check_tracker(settings.get("tracker"))
    device = runtime.choose_device(settings["device"])
    if recipe.train.cuda_graphs is True and device.type != "cuda":
        if before is None:
            raise ConfigError(
                f"train.cuda_graphs=true needs a CUDA device, not {device}; leave it out"
            )
        log.info("the run began with train.cuda_graphs=true; going on without, on %s", device)
    if recipe.train.sync_batch_norm and runtime.world_size() > 1 and device.type != "cuda":
        raise ConfigError(f"train.sync_batch_norm=true needs GPUs, not {device}; leave it out")
    size = size_of(settings)
    check_options(settings["data"])
    check_kind(settings["split"], settings["folds"], settings["fold"])
    if before is None:
        require_place(settings["data"])
    start = find_start(settings.get("init"), before)
    body = _build_body(settings, size, start)
    trial = body.with_head(_ANY_CLASSES)
    check_recipe(recipe, trial)
    check_method(trial, evaluating.cam)
    return _Accepted(recipe, augment, evaluating, deciding, device, size, start, body)


def _recipe(settings: Settings) -> Recipe:
    return Recipe(
        train=typed(TrainSettings, settings["train"], "train"),
        optimizer=settings["optimizer"],
        scheduler=settings["scheduler"],
        loss=settings["loss"],
        backbone_lr_scale=settings["model"]["backbone"]["lr_scale"],
        seed=settings["seed"],
        features=typed(FeatureSettings, settings["features"], "features"),
        # a file of weights may lie elsewhere now, and is of no use any more
        model={
            part: {k: v for k, v in options.items() if k not in ("weights", "label")}
            for part, options in settings["model"].items()
        },
    )


def _choose_batch_size(experiment: Experiment) -> Experiment:
    rows, recipe = experiment.rows("train"), experiment.recipe
    balanced = recipe.train.imbalance == "oversample"
    order = epoch_order(experiment.labels[rows], recipe.seed, 0, oversample=balanced)
    sample = experiment.images("train").images[:1].to(experiment.device)
    size = choose_batch_size(experiment.model, len(order), sample, recipe, experiment.augment)
    log.info("train.batch_size=auto: %d", size)
    train = dataclasses.replace(recipe.train, batch_size=size)
    return dataclasses.replace(
        experiment,
        settings=_with_batch_size(experiment.settings, size),
        recipe=dataclasses.replace(recipe, train=train),
    )


def _with_batch_size(settings: Settings, size: int) -> Settings:
    return settings | {"train": settings["train"] | {"batch_size": size}}


def _build_body(settings: Settings, size: int, start: Start | None) -> Body:
    with runtime.seeded(runtime.mix_seed(settings["seed"], "weights"), torch.device("cpu")):
        return build_body(with_start(settings["model"], start), size)


def _finish(
    body: Body, classes: tuple[str, ...], train: TrainSettings, start: Start | None
) -> Classifier:
    model = body.with_head(len(classes))
    if start:
        take_weights(model, start, classes)
    if train.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if train.sync_batch_norm and runtime.world_size() > 1:
        synchronize_norms(model)
    if train.compile:
        model.compile()
    return model
