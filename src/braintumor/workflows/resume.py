"""Taking over an interrupted run: its settings, and the check that its images are the same."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pandas as pd

from braintumor.data.manifest import read_manifest
from braintumor.errors import CheckpointError, ConfigError, DataError
from braintumor.models.backbones import no_downloads
from braintumor.runs.folder import RunFolder, read_config
from braintumor.workflows.arguments import Request, Settings, check_settings

_WEIGHTS = "model.backbone.weights"
_ALLOWED = ("resume", "device", "data.download", _WEIGHTS)


def take_over(run: RunFolder, request: Request) -> tuple[Settings, str]:
    """The settings of an interrupted run with this machine's device, and its data's name.

    A run folder may be a stranger's: it asks the network for images only where this command says
    data.download=true.
    """
    settings, named = request.settings, _named_here(request)
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
        stored["device"] = settings["device"]
    _check_weights(stored, settings, named)
    return _with_download(stored, settings, named), status.get("data_name", "data")


def downloads(request: Request) -> AbstractContextManager[None]:
    """Within, a resumed run fetches no weights, unless this command names them; a new run may."""
    if not request.settings["resume"] or _WEIGHTS in _named_here(request):
        return nullcontext()
    return no_downloads(
        "a resumed run, which asks for them, downloads nothing by itself; add "
        f"{_WEIGHTS}=imagenet to the command to allow it"
    )


def _named_here(request: Request) -> set[str]:
    return {_key(override) for override in request.overrides}


def _key(override: str) -> str:
    return override.lstrip("+~").split("=")[0]


def _check_weights(stored: Settings, settings: Settings, named: set[str]) -> None:
    if _WEIGHTS not in named:
        return
    own, here = (each["model"]["backbone"].get("weights") for each in (stored, settings))
    if own != here:
        raise ConfigError(
            f"{_WEIGHTS}={here}, but the run began with {own}; leave it out, or start a new run"
        )


def _with_download(stored: Settings, settings: Settings, named: set[str]) -> Settings:
    """The settings with data.download as typed here, else false."""
    data, is_named = stored["data"], "data.download" in named
    if "download" in data:
        wanted = is_named and settings["data"]["download"]
        return stored | {"data": data | {"download": wanted}}
    if is_named:
        raise ConfigError("the data set of the run is not one to download; leave data.download out")
    return stored


def check_same_images(run: RunFolder, manifest: pd.DataFrame) -> None:
    """Raises DataError when images or splits are not those the run began with."""
    keys = ["path", "sha256", "split"]
    before = set(read_manifest(run.manifest)[keys].itertuples(index=False, name=None))
    now = set(manifest[keys].itertuples(index=False, name=None))
    changed = sorted({row[0] for row in before ^ now})
    if changed:
        raise DataError(
            f"{len(changed)} images or their splits changed since {run.path} began "
            f"({', '.join(changed[:3])}, …); restore them, or name the data set as it is now: "
            "a new `bt-train`, or `bt-eval` with data=…"
        )
