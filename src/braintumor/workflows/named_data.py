"""The data sets that `on=[…]` names: a folder, an archive, a .npz, a .csv, or a preset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from braintumor.config import config_dir, did_you_mean
from braintumor.errors import ConfigError, DataError
from braintumor.workflows.model_names import options_of

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2")


@dataclass(frozen=True)
class Named:
    """A data set by its short name, and the `data` section that reads it."""

    name: str
    options: dict[str, Any]


def data_sets(items: Sequence[str]) -> list[Named]:
    """One for each item, in order, under names that tell them apart.

    An item is a path, the name of a preset in configs/data, or name:ROOT, where ROOT stands for
    its data.root (data.table for `table`).
    Raises ConfigError when an item is none of these or comes twice.
    """
    items = [str(item) for item in items]
    twice = sorted({item for item in items if items.count(item) > 1})
    if twice:
        raise ConfigError(f"on=[…] names {twice[0]} twice; leave one out")
    sets = [_named(item) for item in items]
    names = [data.name for data in sets]
    return [
        data if names.count(data.name) == 1 else Named(item, data.options)
        for item, data in zip(items, sets, strict=True)
    ]


def _named(item: str) -> Named:
    preset, colon, root = item.partition(":")
    if preset in options_of("data"):
        options = _preset(preset)
        if not colon:
            return Named(preset, options)
        key = "table" if preset == "table" else "root"
        return Named(f"{preset}:{Path(root).name}", options | {key: str(Path(root).expanduser())})
    path = Path(item).expanduser()
    if not path.exists():
        raise ConfigError(
            f"on=[{item}] is no file or folder, and no data set by name; "
            f"{did_you_mean(preset, options_of('data'))}"
        )
    kind = _kind(path)
    key = "table" if kind == "table" else "root"
    return Named(path.resolve().name, _preset(kind) | {key: str(path)})


def _kind(path: Path) -> str:
    """The preset that reads the file or folder."""
    if path.is_dir():
        return "npz" if any(path.glob("*.npz")) else "folder"
    suffix = path.suffix.casefold()
    kind = {".npz": "npz", ".csv": "table"} | dict.fromkeys(_ARCHIVES, "archive")
    if suffix not in kind:
        raise ConfigError(
            f"on=[{path}] is a file of another kind; give a folder, a zip or tar file, a .npz, or "
            "a .csv table of path and label"
        )
    return kind[suffix]


def _preset(name: str) -> dict[str, Any]:
    """configs/data/<name>.yaml with what it builds on."""
    content = yaml.safe_load((config_dir() / "data" / f"{name}.yaml").read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise DataError(f"configs/data/{name}.yaml is not a mapping; reinstall braintumor")
    options: dict[str, Any] = {}
    for parent in content.pop("defaults", []):
        options |= _preset(str(parent))
    return options | content
