"""The folder of a sweep: made by one command, used once, and held until its jobs have ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from omegaconf import OmegaConf

from braintumor.config import hydra_value
from braintumor.files import MARKER
from braintumor.runs.folder import SWEEP
from braintumor.runs.ownership import hold, hold_new, remove_own

_FLAGS = {"-m", "--multirun", "hydra.mode=MULTIRUN"}
_KEY = "hydra.sweep.dir"


@contextmanager
def held_sweep(arguments: list[str]) -> Iterator[Path | None]:
    """The folder of the sweep that the arguments ask for, new and held; None without a sweep.

    arguments: of the process; where hydra.sweep.dir stands for something that changes, such as the
    time, it is set to what it is now.
    Raises ConfigError when the folder that is named has been used.
    """
    if not _FLAGS & set(arguments):
        yield None
        return
    places = [i for i, a in enumerate(arguments) if a.lstrip("+").startswith(f"{_KEY}=")]
    if not places:
        default = Path("multirun") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        with hold_new(default, SWEEP) as folder:
            os.environ["BT_SWEEP"] = folder.name  # configs/_hydra.yaml takes it from there
            yield folder
            _clear_unbegun(folder)
        return
    folder = Path(_resolved(arguments[places[-1]]))
    arguments[places[-1]] = f"{_KEY}={hydra_value(str(folder))}"
    with hold(folder, SWEEP):
        yield folder
        _clear_unbegun(folder)


def _clear_unbegun(folder: Path) -> None:
    """Remove what Hydra writes before it looks at the settings of the first job."""
    if {path.name for path in folder.iterdir()} <= {MARKER, *SWEEP.files}:
        remove_own(folder, SWEEP)


def _resolved(override: str) -> str:
    """The value of an override as Hydra reads it, with quotes and ${now:…} resolved."""
    setup_globals()
    value = OverridesParser.create().parse_override(override).value()
    return str(OmegaConf.create({"dir": value})["dir"])
