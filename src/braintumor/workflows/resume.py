"""Going on with a run: its settings, and what a command may change of them."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import yaml

from braintumor.config import flat, key_of
from braintumor.data.dataset import DataSettings
from braintumor.errors import CheckpointError, ConfigError
from braintumor.models.backbones import no_downloads
from braintumor.privacy import without_names
from braintumor.runs.commands import resume_command
from braintumor.runs.folder import RunFolder, read_config
from braintumor.runs.places import with_places
from braintumor.workflows.arguments import Request, Settings, check_settings
from braintumor.workflows.longer import LENGTH, with_length

_ELSEWHERE = (
    "run_dir", "overwrite", "resume", "device", "slots", "data.download", "tracker.name",
    "tracker.project", "privacy.paths",
)  # fmt: skip
_WEIGHTS = "model.backbone.weights"
# beside the settings of the run: this machine, where the images lie on it, who is told, more epochs
_ALLOWED = (
    "resume", "device", "slots", "data", "tracker", "tracker.project", "privacy.paths", _WEIGHTS,
    *LENGTH,
)  # fmt: skip


def left_of_job(request: Request) -> Request | None:
    """What is left of a job of a sweep: all of it, to go on with it, or nothing (None).

    It goes on by itself where its folder holds a run of the same settings, as a batch system needs
    that begins an ended job again.
    Raises ConfigError where the folder holds a run of other settings.
    """
    run = RunFolder(request.sweep_folder or Path())
    if request.settings["overwrite"] or not run.config.is_file():
        return request
    if found := _differences(read_config(run), request.settings):
        raise ConfigError(
            f"{run.path} holds a run of other settings ({'; '.join(found)}); go on with that: "
            f"{resume_command(run.path)}, or name another hydra.sweep.dir=FOLDER"
        )
    if run.is_complete:
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
    return [
        f"{key}: {there.get(key)} there, {here.get(key)} here"
        for key in sorted({*there, *here} - set(_ELSEWHERE))
        if there.get(key) != here.get(key)
    ]


def take_over(run: RunFolder, request: Request) -> tuple[Settings, str]:
    """The settings of an interrupted run with this machine's device, and its data's name.

    A run folder may be a stranger's: it asks the network for images only where this command says
    data.download=true.
    """
    here, named = request.settings, {key_of(override) for override in request.overrides}
    foreign = [o for o in request.overrides if not _is_allowed(key_of(o))]
    if foreign:
        raise ConfigError(
            f"resume= takes all settings from the run folder, so {' '.join(foreign)} would be "
            "ignored; leave it out, or start a new run with it"
        )
    status = run.read_status()
    run.read_environment()  # damage is found now and not after the training
    stored = _stored(run)
    longer = with_length(stored["train"], here["train"], named)
    if longer != stored["train"] and "parts" in status:
        raise ConfigError(
            f"{run.path} holds {len(status['parts'])} parts; make each longer by itself, such as "
            f"{resume_command(run.path / status['parts'][0])} and what you have added to it here"
        )
    if run.is_complete and longer == stored["train"]:
        no_cap = "" if stored["train"]["max_epochs"] is None else " train.max_epochs=null"
        raise CheckpointError(
            f"{run.path} is complete, there is nothing to resume; its report is "
            f"{run.evaluation('test') / 'report.html'}; for more epochs add train.epochs=N{no_cap}"
        )
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
    stored = with_places(read_config(run), run) | {"resume": str(run.path)}
    try:
        check_settings("train", stored)
    except ConfigError as error:
        raise CheckpointError(f"{run.config} is not that of a run: {error}") from error
    return stored


def _moved(stored: Settings, here: Settings, named: set[str]) -> Settings:
    """The data section of the run, with the place where the command says the images are now."""
    typed = {key.removeprefix("data.") for key in named if key.startswith("data.")} - {"download"}
    common = {field.name for field in dataclasses.fields(DataSettings)} - {"name"}
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
