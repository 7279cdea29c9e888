"""Going on with a run: its settings, and what a command may change of them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from braintumor.errors import CheckpointError, ConfigError
from braintumor.models.backbones import no_downloads
from braintumor.runs.folder import RunFolder, read_config
from braintumor.workflows.arguments import Request, Settings, check_settings

_WEIGHTS = "model.backbone.weights"
_ALLOWED = ("resume", "device", "data.download", _WEIGHTS)  # beside the settings of the run


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
