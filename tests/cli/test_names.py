"""Model names and every configuration compose."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from braintumor.config import options_of, typed
from braintumor.data.tensors import AugmentSettings
from braintumor.errors import ConfigError
from braintumor.training.losses import build_loss
from braintumor.training.optim import Schedule
from braintumor.training.recipe import TrainSettings
from braintumor.workflows.arguments import ARGUMENTS, check_settings
from braintumor.workflows.compose import compose
from braintumor.workflows.words import model_names

BACKBONES = [
    "cnn", "vgg16", "vgg19", "mobilenet", "mobilenetv2", "xception", "inceptionv3", "resnet50",
    "efficientnetb0", "timm",
]  # fmt: skip
ATTENTIONS = ["", "_mhsa", "_se", "_cbam"]


def settings_of(command: str, *words: str) -> dict:
    """As they are composed and checked."""
    return compose(command, words, {}).settings


def test_all_forty_names_of_the_field_exist() -> None:
    names = {f"{b}{a}" for b, a in itertools.product(BACKBONES, ATTENTIONS)}
    assert len(names) == 40
    assert names <= set(model_names())


@pytest.mark.parametrize("name", sorted(model_names()))
def test_every_model_name_composes(name: str) -> None:
    model = settings_of("train", f"model={name}")["model"]
    backbone, attention = model_names()[name]
    assert set(model) == {"backbone", "attention", "head"}
    assert model["attention"]["name"] == attention
    assert model["backbone"]["label"] in (backbone, None)


@pytest.mark.parametrize("data", options_of("data"))
@pytest.mark.parametrize("config", ["train", "data", "eval"])
def test_every_data_set_composes(config: str, data: str) -> None:
    section = settings_of(config, f"data={data}")["data"]
    assert {"name", "image_size", "skip_unreadable", "val_fraction"} <= set(section)


@pytest.mark.parametrize("experiment", options_of("experiment"))
@pytest.mark.parametrize("debug", ["", *options_of("debug")])
def test_every_experiment_composes_and_is_typed(experiment: str, debug: str) -> None:
    cfg = settings_of("train", f"experiment={experiment}", *([f"debug={debug}"] if debug else []))
    typed(TrainSettings, cfg["train"], "train")
    typed(AugmentSettings, cfg["augment"], "augment")
    build_loss(cfg["loss"], None)
    Schedule(cfg["scheduler"], 10, 10)
    if debug == "tiny":
        assert cfg["model"]["backbone"]["weights"] == "none"


@pytest.mark.parametrize("group", ["augment", "optimizer", "scheduler", "loss"])
def test_every_option_of_a_group_composes(group: str) -> None:
    for option in options_of(group):
        assert settings_of("train", f"{group}={option}")[group]


@pytest.mark.parametrize("command", ARGUMENTS)
def test_the_keys_of_a_command_are_those_of_its_yaml(command: str) -> None:
    fields = dataclasses.fields(ARGUMENTS[command])
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    assert needed <= set(settings_of(command)) <= {field.name for field in fields}


def test_a_setting_that_no_command_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="`of_old` is not an option"):
        check_settings("train", settings_of("train") | {"of_old": 1})
