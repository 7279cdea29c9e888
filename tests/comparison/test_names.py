"""Names of runs: what differs, short, and never two alike."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from braintumor.comparison.names import LONGEST, About, name_runs

CONFIG: dict[str, Any] = {
    "seed": 0, "folds": None, "fold": None, "run_dir": None, "device": "cpu",
    "data": {"root": "/home/me/mri", "image_size": 128},
    "augment": {"rotation_deg": 10.0, "horizontal_flip": 0.5},
    "optimizer": {"name": "adamw", "lr": 0.0003}, "loss": {"name": "cross_entropy"},
}  # fmt: skip


def about(folder: str, *typed: str, model: str = "cnn_se", **changes: Any) -> About:
    """typed: words of the command.  changes: of CONFIG, with __ for a dot."""
    config = copy.deepcopy(CONFIG) | {"model": {"backbone": {"name": model}}}
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            config[section][name] = value
        else:
            config[section] = value
    return About(folder, {"model_name": model, "data_name": "folder", "overrides": typed}, config)


def configurations(*runs: About) -> list[str]:
    return [configuration for configuration, _ in name_runs(runs)]


def names(*runs: About) -> list[str]:
    return [run for _, run in name_runs(runs)]


def test_one_run_is_called_by_its_model() -> None:
    assert name_runs([about("2026-05-04_10-12-31_folder_cnn_se")]) == [("cnn_se", "cnn_se")]


def test_models_and_what_was_typed_name_a_run_and_times_do_not() -> None:
    runs = [
        about("2026-05-04_10-12-31", "model=cnn_se"),
        about("2026-05-04_11-12-31", "model=resnet50", model="resnet50", data__image_size=224),
    ]
    assert names(*runs) == ["cnn_se", "resnet50"]  # the size comes with the model
    rates = [
        about("a", "optimizer.lr=3e-4"),
        about("b", "optimizer.lr=1e-3", optimizer__lr=0.001),
        about("c", model="resnet50"),
    ]
    assert names(*rates) == ["cnn_se lr=0.0003", "cnn_se lr=0.001", "resnet50 lr=0.0003"]
    plain = [about("a"), about("b", "augment=strong", augment__rotation_deg=30.0)]
    assert names(*plain) == ["cnn_se augment=default", "cnn_se augment=strong"]


def test_what_was_not_typed_names_a_run_where_nothing_else_does() -> None:
    runs = [about("a"), about("b", augment__rotation_deg=30.0, device="cuda")]
    assert names(*runs) == ["cnn_se rotation_deg=10", "cnn_se rotation_deg=30"]
    assert names(about("a"), about("b", device="cuda")) == [
        "cnn_se device=cpu", "cnn_se device=cuda",
    ]  # fmt: skip
    assert names(about("a"), about("b", data__root="/data/br35h/")) == [
        "cnn_se root=mri", "cnn_se root=br35h",
    ]  # fmt: skip


def test_epochs_are_said_by_the_phases_that_they_change() -> None:
    phases = [{"epochs": 18, "trainable": "all", "lr": None}]
    plain = {"phases": phases, "epochs": None, "max_epochs": None}
    runs = [
        about("a", "train.epochs=5", train=plain | {"epochs": 5}),
        about("b", "train.phases=[{epochs:10,trainable:head}]",
              train=plain | {"phases": [{"epochs": 10, "trainable": "head", "lr": None}]}),
        about("c", train=plain | {"max_epochs": 2}),
    ]  # fmt: skip
    assert names(*runs) == ["cnn_se phases=5 all", "cnn_se phases=10 head", "cnn_se phases=2 all"]
    same = [about("a", "train.epochs=18", train=plain | {"epochs": 18}), about("b", train=plain)]
    assert configurations(*same) == ["cnn_se", "cnn_se"]
    assert names(*same) == ["cnn_se (a)", "cnn_se (b)"]


@pytest.mark.parametrize(
    "train", [None, 3, {"phases": [3]}, {"phases": [{"trainable": "all"}]}, {"phases": 2},
              {"phases": [{"epochs": "x"}], "max_epochs": 2}],
)  # fmt: skip
def test_settings_that_were_edited_name_a_run_as_they_are(train: Any) -> None:
    assert names(about("a", train=train), about("b")) != ["cnn_se", "cnn_se"]


def test_keys_of_one_last_word_are_told_in_full() -> None:
    runs = [
        about("a", "optimizer.name=sgd", optimizer__name="sgd"),
        about("b", "loss.name=focal", loss__name="focal"),
    ]
    assert names(*runs) == [
        "cnn_se optimizer.name=sgd loss.name=cross_entropy",
        "cnn_se optimizer.name=adamw loss.name=focal",
    ]


def test_seeds_and_folds_are_one_configuration_and_runs_of_their_own() -> None:
    runs = [about(f"s{s}_f{f}", seed=s, folds=2, fold=f) for s in (0, 1) for f in (0, 1)]
    assert set(configurations(*runs)) == {"cnn_se"}
    assert names(*runs) == [f"cnn_se seed={s} fold={f}" for s in (0, 1) for f in (0, 1)]
    assert names(*runs[:2]) == ["cnn_se fold=0", "cnn_se fold=1"]


def test_equal_settings_get_the_folder() -> None:
    runs = [about("2026-05-04"), about("2026-05-05"), about("2026-05-06", optimizer__lr=0.1)]
    assert configurations(*runs) == ["cnn_se lr=0.0003"] * 2 + ["cnn_se lr=0.1"]
    assert names(*runs) == [
        "cnn_se lr=0.0003 (2026-05-04)", "cnn_se lr=0.0003 (2026-05-05)", "cnn_se lr=0.1",
    ]  # fmt: skip
    foreign = [About(name, {}, {}) for name in ("mine", "yours")]
    assert names(*foreign) == ["mine", "yours"]
    alike = [about("x", data__root="/a/mri"), about("y", data__root="/b/mri")]
    assert names(*alike) == ["cnn_se (x)", "cnn_se (y)"]


@pytest.mark.parametrize("folder", ["f", "w" * 300])
@pytest.mark.parametrize("model", ["cnn", "m" * 200])
def test_names_are_short_and_none_is_there_twice(folder: str, model: str) -> None:
    runs = [
        about(f"{folder}{i // 2}{folder}", model=model, loss__name=f"{'l' * 80}{i % 3}{'l' * 80}")
        for i in range(12)
    ]
    typed = [f"augment.a_long_key_{i}={i}" for i in range(9)]
    runs += [about(f"t{i}", *typed[: i + 1], model=model) for i in range(9)]
    told = name_runs(runs)
    assert max(len(name) for pair in told for name in pair) <= LONGEST
    assert len({run for _, run in told}) == len(runs)
    by_settings: dict[str, set[str]] = {}
    for run, (configuration, _) in zip(runs, told, strict=True):
        by_settings.setdefault(configuration, set()).add(run.configuration)
    assert all(len(settings) == 1 for settings in by_settings.values())


@pytest.mark.parametrize(
    ("typed", "changes"),
    [
        ("tracker=wandb", {"tracker": {"name": "wandb", "project": "mine"}}),
        ("tracker.project=other", {"tracker": {"name": "none", "project": "other"}}),
        ("slots=2", {"slots": 2}), ("privacy.paths=true", {"privacy": {"paths": True}}),
    ],
)  # fmt: skip
def test_what_changes_nothing_of_the_training_names_no_run(
    typed: str, changes: dict[str, Any]
) -> None:
    runs = [about("a"), about("b", typed, **changes)]
    assert configurations(*runs) == ["cnn_se", "cnn_se"]
    assert names(*runs) == ["cnn_se (a)", "cnn_se (b)"]
