"""Going on with a run: its settings, and what a command may change of them, and more epochs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
import yaml

from braintumor.config import differences, flat, typed, typed_part
from braintumor.data.dataset import DataSettings
from braintumor.errors import CheckpointError, ConfigError, some
from braintumor.models.backbones import no_downloads
from braintumor.privacy import with_places, without_names
from braintumor.quoting import key_of, pasteable
from braintumor.runs.commands import resume_command
from braintumor.runs.folder import RunFolder, begun_in, read_config
from braintumor.runs.kinds import STATES, EvaluationFile
from braintumor.runs.state import load_state, save_state
from braintumor.training.loop import steps_per_epoch
from braintumor.training.recipe import Phase, TrainSettings, described, refuse_other
from braintumor.training.state import BestCheckpoint, FitState
from braintumor.workflows.arguments import Request, Settings, check_settings
from braintumor.workflows.console import log
from braintumor.workflows.setup import Experiment

_LENGTH = ("train.epochs", "train.phases", "train.max_epochs")
_ELSEWHERE = (
    "run_dir", "overwrite", "resume", "device", "slots", "data.download", "tracker.name",
    "tracker.project", "privacy.paths",
)  # fmt: skip
_COMMON = {field.name for field in dataclasses.fields(DataSettings)}
_WEIGHTS = "model.backbone.weights"
# beside the settings of the run: this machine, where the images lie on it, who is told, more epochs
_ALLOWED = (
    "resume", "device", "slots", "data", "tracker", "tracker.project", "privacy.paths", _WEIGHTS,
    *_LENGTH,
)  # fmt: skip


def left_of_job(request: Request) -> Request | None:
    """What is left of a job of a sweep: all of it, to go on with it, or nothing (None).

    It goes on by itself where its folder holds a run of the same settings, as a batch system needs
    that begins an ended job again.
    Raises ConfigError where the folder holds a run of other settings.
    """
    run = RunFolder(request.folder)
    if request.settings["overwrite"] or not run.config.is_file():
        return request
    stored = with_places(read_config(run), begun_in(run))
    if found := _differences(stored, request.settings):
        raise ConfigError(
            f"{run.path} holds a run of other settings ({'; '.join(found)}); go on with that: "
            f"{resume_command(run.path)}, or name another hydra.sweep.dir=FOLDER"
        )
    if run.is_over:
        return None
    return dataclasses.replace(
        request,
        settings=request.settings | {"resume": str(run.path)},
        overrides=tuple(o for o in request.overrides if _is_allowed(key_of(o))),
        sweep_folder=None,
    )


def _differences(stored: Settings, asked: Settings) -> list[str]:
    """What two settings of the same work differ in, such as "seed: 0 there, 1 here"."""
    read = [yaml.safe_load(yaml.safe_dump(without_names(s))) for s in (stored, asked)]
    there, here = (dict(flat(each)) for each in read)
    if here["train.batch_size"] == "auto":
        here["train.batch_size"] = there.get("train.batch_size")
    for key in _ELSEWHERE:
        here[key] = there.get(key)
    return differences(there, here)


def take_over(run: RunFolder, request: Request) -> tuple[Settings, str]:
    """The settings of an interrupted run with this machine's device, and its data's name.

    A run folder may be a stranger's: it asks the network for images only where this command says
    data.download=true.
    """
    here, named = request.settings, {key_of(override) for override in request.overrides}
    if foreign := [o for o in request.overrides if not _is_allowed(key_of(o))]:
        raise ConfigError(
            f"resume= takes all settings from the run folder, so {' '.join(foreign)} would be "
            "ignored; leave it out, or start a new run with it"
        )
    status = run.read_status()
    run.read_environment()  # damage is found now and not after the training
    stored = _stored(run)
    longer = _with_length(stored["train"], here["train"], named)
    if longer != stored["train"] and "parts" in status:
        raise ConfigError(
            f"{run.path} holds {some(len(status['parts']), 'part')}; make each longer by itself, "
            f"such as {resume_command(run.path / status['parts'][0])} and what you add"
        )
    if run.is_over and longer == stored["train"]:
        no_cap = "" if stored["train"]["max_epochs"] is None else " train.max_epochs=null"
        report = run.evaluation("test") / EvaluationFile.REPORT
        result = f"its report is {report}; for more epochs add train.epochs=N{no_cap}"
        if "parts" in status:
            result = f"its figures are in {run.path / 'summary.md'}"
        raise CheckpointError(f"{run.path} is complete, there is nothing to resume; {result}")
    stored["train"] = longer
    if "device" in named:
        stored["device"] = here["device"]
    if named & {"tracker", "tracker.project"}:
        stored["tracker"] = here["tracker"]
    if _WEIGHTS in named:
        asked = (each["model"]["backbone"].get("weights") for each in (stored, here))
        own, wanted = map(without_names, asked)
        if own != wanted:
            raise ConfigError(
                f"{_WEIGHTS}={wanted}, but the run began with {own}; leave it out, or start a new "
                "run"
            )
    stored["data"] = _moved(stored["data"], here["data"], named)
    if "download" in stored["data"]:
        download = "data.download" in named and here["data"]["download"]
        stored["data"] = stored["data"] | {"download": download}
    elif "data.download" in named:
        raise ConfigError("the data set of the run is not one to download; leave data.download out")
    return stored, status.get("data_name", stored["data"]["name"])


def _stored(run: RunFolder) -> Settings:
    stored = with_places(read_config(run), begun_in(run)) | {"resume": str(run.path)}
    try:
        check_settings("train", stored)
        is_auto = stored["train"].get("batch_size") == "auto"
        typed(TrainSettings, stored["train"] | ({"batch_size": 1} if is_auto else {}), "train")
        typed_part(DataSettings, stored["data"], "data")
    except ConfigError as error:
        said = str(error).partition("; give it as")[0]
        raise CheckpointError(
            f"{run.config} is not that of a run: {said}; put it back as it was, or copy the file "
            "from the run again"
        ) from error
    return stored


@contextmanager
def naming(config: Path, typed_here: Sequence[str]) -> Iterator[None]:
    """Within, an error on a setting says in which file it stands, unless it was typed here."""
    try:
        yield
    except ConfigError as error:
        said = str(error).partition("; give it as")[0]
        if any(key_of(word) in said for word in typed_here):
            raise
        raise ConfigError(f"{said}; so says {config}, with the settings of the run") from error


def _moved(stored: Settings, here: Settings, named: set[str]) -> Settings:
    """The data section of the run, with the place where the command says the images are now."""
    typed = {key.removeprefix("data.") for key in named if key.startswith("data.")} - {"download"}
    common = _COMMON - {"name"}
    for key in sorted(typed & common):
        if here.get(key) != stored[key]:
            raise ConfigError(
                f"data.{key}={here.get(key)}, but the run began with {stored[key]}; leave "
                f"data.{key} out, or start a new run"
            )
    if "data" in named:
        return {k: stored[k] if k in common else v for k, v in here.items()}
    return stored | {key: here[key] for key in sorted(typed - common)}


def downloads(request: Request) -> AbstractContextManager[None]:
    """Within, a resumed run fetches no weights, unless this command names them; a new run may."""
    if not request.settings["resume"] or _WEIGHTS in map(key_of, request.overrides):
        return nullcontext()
    return no_downloads(
        "a resumed run, which asks for them, downloads nothing by itself; add "
        f"{_WEIGHTS}=imagenet to the command to allow it"
    )


def _is_allowed(key: str) -> bool:
    return key in _ALLOWED or key.startswith("data.")


def _with_length(stored: Settings, here: Settings, named: set[str]) -> Settings:
    """The train section of a run, as long as the command asks for.

    stored, here: the train sections of the run and of the command.  named: keys of the command.
    Raises ConfigError unless that makes the last phase longer, and changes nothing else.
    """
    keys = [key.removeprefix("train.") for key in _LENGTH if key in named]
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
    return " + ".join(f"{some(phase.epochs, 'epoch')} of {phase.trainable}" for phase in phases)


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
    # nothing but the length of the last phase may differ
    own, longer = described(recipe, experiment.augment.settings), copy.deepcopy(saved["recipe"])
    longer["train"]["phases"][-1]["epochs"] = own["train"]["phases"][-1]["epochs"]
    refuse_other(longer, own)
    saved["recipe"] = own
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
