"""Of the words of a command what is for Hydra: other files of settings, and sweeps.

The folder of a sweep is made by one command, used once, and held until its jobs have ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from omegaconf import OmegaConf

from braintumor.config import hydra_value
from braintumor.errors import ConfigError
from braintumor.files import MARKER
from braintumor.runs.folder import SWEEP
from braintumor.runs.ownership import hold, hold_new, remove_own
from braintumor.workflows.arguments import hydra_keys

_FLAGS = {"-m", "--multirun", "hydra.mode=MULTIRUN"}
_KEY = "hydra.sweep.dir"


def refuse_foreign_config(config_name: str, arguments: Sequence[str], own: Path) -> None:
    """Of Hydra's --config-name only a file that builds on the command's own settings is taken.

    arguments: of the command line.  own: folder of the settings.
    Raises ConfigError, for Hydra would go on with sections missing and leave files behind.
    """
    flags = _config_flags(arguments)
    if "path" in flags:
        raise ConfigError(
            f"--config-path={flags['path']} would take the place of all settings of braintumor; "
            "use --config-dir=FOLDER, which adds your files to them"
        )
    name = flags.get("name", config_name).removesuffix(".yaml")
    if name == config_name:
        return
    folders = [Path(flags["dir"]).expanduser()] if "dir" in flags else []
    files = [file for folder in (own, *folders) if (file := folder / f"{name}.yaml").is_file()]
    if not files:
        looked = " and ".join(map(str, (own, *folders)))
        raise ConfigError(f"--config-name={name}: there is no {name}.yaml in {looked}")
    try:
        content = yaml.safe_load(files[0].read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{files[0]} is not YAML ({' '.join(str(error).split())})") from error
    if config_name not in _defaults(content):
        resume = f"to go on with that run, use bt-train resume={files[0].parent}; "
        is_run = (files[0].parent / "status.json").is_file()
        raise ConfigError(
            f"{files[0]} does not build on the settings of bt-{config_name}; "
            f"{resume if is_run else ''}a file of your own begins with "
            f"`defaults: [{config_name}, _self_]`"
        )
    if path := next(hydra_keys(content), None):
        raise ConfigError(
            f"`{path}` in {files[0]} is a key by which Hydra would run code; remove it"
        )


def _defaults(content: Any) -> list[str]:
    entries = content.get("defaults") if isinstance(content, dict) else None
    return [str(e).lstrip("/") for e in entries] if isinstance(entries, list) else []


def _config_flags(arguments: Sequence[str]) -> dict[str, str]:
    """What Hydra's --config-name, --config-dir and --config-path say, by their last word."""
    found = {}
    short = {"-cn": "name", "-cd": "dir", "-cp": "path"}
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        kind = short.get(flag) or flag.removeprefix("--config-")
        if kind in short.values() and flag.startswith("-"):
            found[kind] = value if equals else next(words, "")
    return {kind: value for kind, value in found.items() if value}


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
