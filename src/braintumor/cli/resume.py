"""Taking over an interrupted run: its settings, and the check that its images are the same."""

from __future__ import annotations

import pandas as pd

from braintumor.cli.console import log
from braintumor.cli.shell import Job, Settings
from braintumor.data.manifest import read_manifest
from braintumor.errors import CheckpointError, ConfigError, DataError
from braintumor.runs.folder import RunFolder, read_config

_ALLOWED = ("resume", "device")
_WITHOUT_VARIANTS = ("train", "features", "eval", "decision")  # same keys in every run


def take_over(run: RunFolder, settings: Settings, job: Job) -> tuple[Settings, str]:
    """The settings of an interrupted run with this machine's device, and its data's name.

    settings: as composed today. What a run of an older version lacks is taken from them.
    """
    foreign = [o for o in job.overrides if o.lstrip("+~").split("=")[0] not in _ALLOWED]
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
    stored = _completed(read_config(run), settings)
    stored["resume"] = str(run.path)
    if any(o.startswith("device=") for o in job.overrides):
        stored["device"] = settings["device"]
    return stored, status["data_name"]


def _completed(stored: Settings, today: Settings) -> Settings:
    """The stored settings and, from today's, the keys that there were not when they were."""
    new = {name: value for name, value in today.items() if name not in stored}
    for name in _WITHOUT_VARIANTS:
        known = stored.get(name, {})
        missing = {key: value for key, value in today[name].items() if key not in known}
        if missing:
            new[name] = {**known, **missing}
            names = ", ".join(f"{name}.{key}={value}" for key, value in missing.items())
            log.info("settings that are newer than the run: %s", names)
    return stored | new


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
