"""Files of settings that Hydra is told to take in the place of the command's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from braintumor.errors import ConfigError
from braintumor.workflows.arguments import hydra_keys


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
    content = _read_yaml(files[0])
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


def _read_yaml(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not YAML ({' '.join(str(error).split())})") from error
