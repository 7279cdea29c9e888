"""The words of other toolkits: what they are answered with is there, and means the same."""

from __future__ import annotations

import pytest
import yaml

from braintumor.config import config_dir, options_of
from braintumor.workflows import synonyms
from braintumor.workflows.arguments import check_settings
from braintumor.workflows.compose import compose
from braintumor.workflows.guesses import explain_signs, of_another_option, setting_called
from braintumor.workflows.words import Typed


@pytest.mark.parametrize(
    ("group", "name", "option"),
    [
        ("optimizer", "SGD", "sgd"),
        ("optimizer", "adamW", "adamw"),
        ("optimizer", "rmsprop", None),
        ("loss", "ce", "cross_entropy"),
        ("loss", "Cross-Entropy", "cross_entropy"),
        ("loss", "FocalLoss", "focal"),
        ("loss", "dice", None),
        ("scheduler", "none", "constant"),
        ("scheduler", "CosineAnnealingLR", "cosine"),
        ("scheduler", "CosineAnnealingWarmRestarts", "warm_restarts"),
        ("scheduler", "reduce_lr_on_plateau", "plateau"),
        ("scheduler", "step", None),
        ("augment", "heavy", "strong"),
        ("augment", "False", "none"),
        ("tracker", "tb", "tensorboard"),
        ("debug", "true", "tiny"),
    ],
)
def test_an_option_by_another_name(group: str, name: str, option: str | None) -> None:
    assert synonyms.option_called(name, options_of(group)) == option


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("freeze_backbone", "True", "train.phases=[{epochs: 18, trainable: head}]"),
        ("early_stopping", "false", "train.early_stopping.patience=null"),
        ("gpu", "0", "device=cuda:0"),
        ("gpu", "true", "device=cuda"),
        ("gpus", "1", "device=cuda"),
        ("gpus", "2", None),
        ("use_gpu", "false", "device=cpu"),
        ("amp", "true", "train.precision=auto"),
        ("wandb", "1", "tracker=wandb"),
        ("early_stopping", "sometimes", None),
    ],
)
def test_a_setting_and_its_value_in_other_words(name: str, value: str, word: str | None) -> None:
    assert synonyms.meant_by(name, value) == word


def test_what_is_advised_is_there() -> None:
    for words in dict.fromkeys(synonyms._SAID_OTHERWISE.values()):
        assert not words.startswith(("model=", "data="))  # they would change what others mean
    said = {word.partition("=")[0]: word for word in synonyms._SAID_OTHERWISE.values()}
    settings = compose("train", [*said.values()], {}).settings
    check_settings("train", settings)
    for setting in set(synonyms.SETTINGS.values()):
        section, _, leaf = setting.rpartition(".")
        node = settings
        for part in section.split(".") if section else ():
            node = node[part]
        in_another = of_another_option(setting, "x")
        assert leaf in node or setting in ("input", "ckpt") or in_another, setting


def test_the_phases_are_as_long_as_those_of_the_defaults() -> None:
    default = yaml.safe_load((config_dir() / "training/default.yaml").read_text("utf-8"))
    assert f"epochs: {default['phases'][0]['epochs']}," in synonyms.meant_by("freeze", "true")


def test_a_setting_on_top_comes_before_that_of_a_section() -> None:
    assert setting_called("train.seed", "train") == "seed"


@pytest.mark.parametrize("word", ["model vgg16", "model = vgg16", "'model=vgg16'", "model:vgg16"])
def test_a_sign_in_the_place_of_another(word: str) -> None:
    said = explain_signs(word, Typed("train", (word,)))
    assert said and said.endswith("; use model=vgg16")
