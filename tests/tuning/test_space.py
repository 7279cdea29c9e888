"""What a search space says, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from braintumor.errors import ConfigError
from braintumor.tuning.space import Choice, Range, find_space, find_start, read_space
from braintumor.workflows.compose import compose

optuna = pytest.importorskip("optuna")


@pytest.mark.parametrize(
    ("text", "low", "high", "is_log", "step"),
    [
        ("log 1e-5..1e-2", 1e-5, 1e-2, True, None), ("0.0..0.5", 0.0, 0.5, False, None),
        ("0..0.5", 0.0, 0.5, False, None), ("1..5", 1, 5, False, None),
        ("16..64 step 16", 16, 64, False, 16), ("-1..1", -1, 1, False, None),
        (" log  8..64 ", 8, 64, True, None),
    ],
)  # fmt: skip
def test_a_range_is_its_ends_its_scale_and_its_step(
    text: str, low: float, high: float, is_log: bool, step: float | None
) -> None:
    (found,) = read_space({"optimizer.lr": text})
    assert found == Range("optimizer.lr", low, high, is_log, step)
    assert isinstance(found, Range)
    assert type(found.low) is type(low)  # whole numbers stay whole


def test_choices_are_what_hydra_reads() -> None:
    phases = [{"epochs": 2, "trainable": "head"}]
    (found,) = read_space({"train.phases": [phases, None, True, "a b"]})
    texts = ("[{epochs: 2, trainable: head}]", "null", "true", "'a b'")
    assert found == Choice("train.phases", texts)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "is empty"),
        ({"optimizer.lr": 0.1}, "optimizer.lr=VALUE"),
        ({"optimizer.lr": "1e-5-1e-2"}, "is no range"),
        ({"optimizer.lr": "1..0"}, "smaller end"),
        ({"optimizer.lr": "log 0..1"}, "above 0"),
        ({"model": []}, "is no range"),
        ({"model": ["cnn", "cnn"]}, "twice"),
        ({"seed": "0..9"}, "the same for all trials"),
        ({"train.early_stopping.metric": ["val_loss"]}, "the same for all trials"),
        ({"split": ["grouped"]}, "the same for all trials"),
    ],
)
def test_what_is_no_space_is_refused(space: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_space(space)


@pytest.mark.parametrize(
    ("space", "start"),
    [
        ({"optimizer.lr": "log 1e-4..1e-2", "augment": ["none", "light"]},
         {"optimizer.lr": 1.5e-3, "augment": "light"}),
        ({"optimizer.lr": "1e-5..1e-4", "augment": ["none"], "model.head.hidden": [16, 64]}, {}),
        ({"train.batch_size": "16..128 step 16"}, {"train.batch_size": 64}),
        ({"train.batch_size": "10..100 step 20"}, {}),
        ({"train.ema_decay": "0..1", "train.refit": ["true", "false"]}, {}),
        ({"train.refit": [True, False], "model.head.hidden": [None, 64]},
         {"train.refit": "false", "model.head.hidden": "null"}),
    ],
)  # fmt: skip
def test_a_search_begins_with_what_is_trained_without_one(
    space: dict[str, Any], start: dict[str, Any]
) -> None:
    request = compose("train", ["augment=light"], {})
    assert find_start(read_space(space), request.settings, request.choices) == start


def test_sections_and_dotted_keys_are_the_same() -> None:
    dotted = find_space({"optimizer.lr": "0..1", "model": ["cnn"]}, None)
    assert find_space({"optimizer": {"lr": "0..1"}, "model": ["cnn"]}, None) == dotted


def test_a_preset_is_that_of_the_experiment_or_one_by_name() -> None:
    own = find_space(None, "attention_transfer")
    assert own == find_space("attention_transfer", None)
    assert "model.attention.heads" in own
    assert find_space(None, None) == find_space("default", "attention_transfer")
    with pytest.raises(ConfigError, match="did you mean `attention_transfer`"):
        find_space("atention_transfer", None)


def test_a_value_of_a_trial_is_the_word_of_the_command() -> None:
    trial = optuna.trial.FixedTrial({"optimizer.lr": 0.00123456, "model.attention.heads": 4})
    assert Range("optimizer.lr", 1e-5, 1e-2, True).suggest(trial) == "0.001235"
    assert Range("model.attention.heads", 1, 8).suggest(trial) == "4"
