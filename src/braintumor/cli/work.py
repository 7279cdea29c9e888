"""What a training needs, read and checked before anything is written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from braintumor.cli.console import log
from braintumor.cli.inputs import labels_of, read_data
from braintumor.cli.shell import Settings
from braintumor.data.augment import Augment, AugmentSettings
from braintumor.data.dataset import Dataset
from braintumor.data.loader import ImageSplit, load_split
from braintumor.evaluation.predict import EvalSettings
from braintumor.models.classifier import Classifier, build_model, model_name
from braintumor.runtime import choose_device, choose_precision, mix_seed
from braintumor.settings import typed
from braintumor.training.features import FeatureSettings
from braintumor.training.phases import Recipe, TrainSettings, check_recipe


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

    def rows(self, *splits: str) -> np.ndarray:
        """Row numbers of splits in the manifest."""
        return np.flatnonzero(self.data.manifest["split"].isin(splits))

    def images(self, *splits: str) -> ImageSplit:
        """The images of splits, on the device."""
        paths = tuple(self.data.manifest["path"])
        return load_split(self.data.pixels, self.labels, paths, self.rows(*splits), self.device)

    def augment(self) -> Augment:
        """As the `augment` section says."""
        settings = typed(AugmentSettings, self.settings["augment"], "augment")
        return Augment(settings, len(self.data.classes))

    def parameters(self) -> int:
        """How many numbers the model has to learn."""
        return sum(p.numel() for p in self.model.parameters())

    def renewed(self) -> Work:
        """The same with the model as it was before any training."""
        size = self.data.pixels.shape[1]
        model = _build(self.settings, len(self.data.classes), size, self.recipe, self.device)
        return dataclasses.replace(self, model=model)


def prepare(settings: Settings, data_name: str) -> Work:
    """Read the data, build the model, check every setting."""
    train = typed(TrainSettings, settings["train"], "train")
    typed(AugmentSettings, settings["augment"], "augment")
    typed(EvalSettings, settings["eval"], "eval")
    device = choose_device(settings["device"])
    dtype = choose_precision(train.precision, device)
    size = settings["data"]["image_size"] or settings["model"]["backbone"]["image_size"]
    data = read_data(settings, size, data_name)
    recipe = Recipe(
        train=train,
        optimizer=settings["optimizer"],
        scheduler=settings["scheduler"],
        loss=settings["loss"],
        backbone_lr_scale=settings["model"]["backbone"]["lr_scale"],
        seed=settings["seed"],
        features=typed(FeatureSettings, settings.get("features", {}), "features"),
    )
    work = Work(
        settings=settings,
        data_name=data_name,
        data=data,
        labels=labels_of(data, data.classes),
        model=_build(settings, len(data.classes), size, recipe, device),
        recipe=recipe,
        device=device,
        dtype=dtype,
    )
    check_recipe(recipe, work.model)
    name, millions = model_name(settings["model"]), work.parameters() / 1e6
    log.info("%s: %.2f M parameters, on %s in %s", name, millions, device, str(dtype)[6:])
    return work


def _build(
    settings: Settings, num_classes: int, size: int, recipe: Recipe, device: torch.device
) -> Classifier:
    torch.manual_seed(mix_seed(settings["seed"], "weights"))
    model = build_model(settings["model"], num_classes, size).to(device)
    if recipe.train.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model
