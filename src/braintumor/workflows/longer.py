"""More epochs for a run: the last phase becomes longer, and nothing else changes."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch

from braintumor.config import pasteable, typed
from braintumor.errors import ConfigError
from braintumor.runs.folder import STATES, RunFolder, read_config
from braintumor.runs.state import load_state, save_state
from braintumor.training.loop import steps_per_epoch
from braintumor.training.recipe import Phase, TrainSettings, described, refuse_other
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.workflows.arguments import Settings
from braintumor.workflows.console import log
from braintumor.workflows.setup import Experiment

LENGTH = ("train.epochs", "train.phases", "train.max_epochs")


def with_length(stored: Settings, here: Settings, named: set[str]) -> Settings:
    """The train section of a run, as long as the command asks for.

    stored, here: the train sections of the run and of the command.  named: keys of the command.
    Raises ConfigError unless that makes the last phase longer, and changes nothing else.
    """
    keys = [key.removeprefix("train.") for key in LENGTH if key in named]
    if not keys:
        return stored
    changed = stored | {key: here[key] for key in keys}
    before, after = (typed(TrainSettings, section, "train") for section in (stored, changed))
    if before.planned == after.planned:
        return stored
    *first, last = before.planned
    *same, longer = after.planned
    is_same = first == same and last == dataclasses.replace(longer, epochs=last.epochs)
    if is_same and longer.epochs > last.epochs:
        return changed
    asked = " ".join(pasteable(f"train.{key}", here[key]) for key in keys)
    raise ConfigError(
        f"{asked} with resume= can only make the last phase longer, and the run has "
        f"{_words(before.planned)}, where this asks for {_words(after.planned)}; give more epochs "
        "to the last one and leave the others as they are, or start a new run"
    )


def _words(phases: tuple[Phase, ...]) -> str:
    return " + ".join(f"{phase.epochs} epochs of {phase.trainable}" for phase in phases)


def is_longer(run: RunFolder, settings: Settings) -> bool:
    """Whether the settings ask for more epochs than the run was begun with."""
    sections = (read_config(run)["train"], settings["train"])
    before, now = (typed(TrainSettings, section, "train").planned for section in sections)
    return before != now


def prepare(run: RunFolder, experiment: Experiment) -> None:
    """Let a run that had ended go on; says what becomes of its learning rate.

    Where it had stopped early its patience begins anew; a second training on validation images
    too (train.refit) is done again.
    """
    recipe, saved = experiment.recipe, load_state(run, experiment.device)
    _take_recipe(saved, described(recipe, experiment.augment.settings))
    epochs = recipe.train.planned[-1].epochs
    if saved["phase"] == len(recipe.train.phases) - 1 and saved["epoch"]:
        patience = recipe.train.early_stopping.patience
        if patience is not None and saved["best"]["bad_epochs"] >= patience:
            log.info(
                "it had stopped early after epoch %d; its patience begins anew", saved["epoch"]
            )
            saved["best"]["bad_epochs"] = 0
        state = FitState(experiment.model, BestCheckpoint(recipe.train.early_stopping))
        steps = steps_per_epoch(recipe, experiment.images("train"))
        state.enter(saved["phase"], recipe, steps, torch.float32)
        state.schedule.load_state_dict(saved["schedule"])
        state.schedule.set_lr(state.optimizer, saved["phase_epoch"] * steps)
        log.info(
            "longer: the last phase now takes %d epochs, and scheduler=%s runs over all of them: "
            "epoch %d begins with a rate of %.1e, where epoch %d ended with %.1e; this is not the "
            "same as %d epochs from the start",
            epochs, recipe.scheduler["name"], saved["epoch"] + 1,
            max(group["lr"] for group in state.optimizer.param_groups), saved["epoch"],
            saved["history"][-1]["lr"], epochs,
        )  # fmt: skip
    save_state(run, saved)
    for name in (*STATES, "metrics.csv"):
        (run.path / "refit" / name).unlink(missing_ok=True)


def _take_recipe(saved: dict[str, Any], recipe: dict[str, Any]) -> None:
    """The longer recipe into the state; nothing else of it may differ."""
    longer = copy.deepcopy(saved["recipe"])
    longer["train"]["phases"][-1]["epochs"] = recipe["train"]["phases"][-1]["epochs"]
    refuse_other(longer, recipe)
    saved["recipe"] = recipe
