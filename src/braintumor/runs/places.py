"""The folders and files that the settings of a run name, as they are to be read from here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braintumor.privacy import found_again
from braintumor.runs.folder import RunFolder

_PLACES = (("data", "root"), ("data", "table"), ("model", "backbone", "weights"), ("init",))


def with_places(settings: Mapping[str, Any], run: RunFolder) -> dict[str, Any]:
    """The stored settings of a run; a relative place may start where its command was typed."""
    said = run.read_environment().get("working_directory")
    folder = run.path / Path(said).expanduser() if isinstance(said, str) else None
    changed = dict(settings)
    for keys in _PLACES:
        changed = _changed(changed, keys, folder)
    return changed


def _changed(section: Mapping[str, Any], keys: tuple[str, ...], folder: Path | None) -> Any:
    key, *inner = keys
    value = section.get(key)
    if inner and isinstance(value, Mapping):
        return {**section, key: _changed(value, tuple(inner), folder)}
    if inner or not isinstance(value, str):
        return dict(section)
    return {**section, key: found_again(value, folder)}
