"""What outputs tell of who made them: paths without the names of people.

Text that is written has ~ for the home folder, paths that start at the working directory where that
is elsewhere, and $USER for a folder of the user's name. The commands read all three again.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from braintumor.config import typed, with_changed
from braintumor.quoting import hydra_value, key_of

_END = r"(?![\w-]|\.\w)"  # of a folder's name
_BEGIN = r"(?<![\w.~$/-])"  # of a path
_NOBODY = ("root", "user", "nobody")  # names of many


@dataclass(frozen=True)
class PrivacySettings:
    """The `privacy` section. Documented in configs/_hydra.yaml."""

    paths: bool = False


# the settings that say where something is
PLACES = ("data.root", "data.table", "model.backbone.weights", "init")

_asked = PrivacySettings()
_begun: list[Path] = []  # where relative places start, while a run goes on; the last one counts


def set_privacy(settings: Mapping[str, Any]) -> None:
    """From now on this process writes as the section `privacy` of these settings says."""
    global _asked
    _asked = typed(PrivacySettings, settings.get("privacy") or {}, "privacy")


@contextmanager
def written_from(folder: Path | None) -> Iterator[None]:
    """Within, places are written as they were by the command that was typed there."""
    if folder is None:
        yield
        return
    _begun.append(Path(os.path.normpath(folder.absolute())))
    try:
        yield
    finally:
        _begun.pop()


def without_names(value: Any) -> Any:
    """A text, or the texts in mappings and lists, as outputs may hold them."""
    if _asked.paths:
        return value
    if isinstance(value, str):
        return _hidden(value)
    if isinstance(value, Mapping):
        return {key: without_names(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_names(inner) for inner in value]
    return value


def _hidden(text: str) -> str:
    if "/" not in text:
        return text
    for start, pattern, new in _replacements(*_here()):
        if start in text:
            text = pattern.sub(new, text)
    return text


def _here() -> tuple[str, str, str]:
    """Home folder, working directory and name of the user; empty where there is none."""
    home = folder = user = ""
    with suppress(RuntimeError):
        home = str(Path.home())
    with suppress(OSError):
        folder = str(_begun[-1] if _begun else Path.cwd())
    with suppress(OSError, KeyError, ImportError):  # no entry in the table of users
        user = getpass.getuser()
    return home, folder, user


@lru_cache(maxsize=8)
def _replacements(home: str, folder: str, user: str) -> list[tuple[str, re.Pattern[str], str]]:
    """What has to be in a text, what is replaced there, and by what; in this order."""
    found = []
    for start in dict.fromkeys((home, os.path.realpath(home) if home else "")):
        if start.strip("/"):
            found.append((start, re.compile(_BEGIN + re.escape(start) + _END), "~"))
    at, up = Path(folder), "."
    while at != at.parent:
        here = _BEGIN + re.escape(str(at))
        below = "" if up == "." else f"{up}/"
        found.append((f"{at}/", re.compile(here + r"/+(?=[\w.~-])"), below))
        found.append((str(at), re.compile(here + _END), up))
        at, up = at.parent, ".." if up == "." else f"{up}/.."
    if len(user) > 2 and user not in _NOBODY:
        own = re.compile(rf"(?<![\w.$/<-])(~?/(?:[^\s/'\"<>,;:]+/)*){re.escape(user)}{_END}")
        found.append((f"/{user}", own, r"\1$USER"))
    return found


def working_directory(run: Path | None = None) -> str:
    """Where the command was typed: below ~, or from the folder of the run that it made."""
    here = Path.cwd()
    hidden = str(without_names(str(here)))
    if run is None or _asked.paths or hidden.startswith("~"):
        return hidden if hidden != "." else str(here)
    run = run.resolve()
    return os.path.relpath(here, run) if here.parts[:2] == run.parts[:2] else str(here)


def start_of(said: Any, folder: Path) -> Path | None:
    """The folder that `working_directory` told of in `folder`; None where that is not known."""
    is_known = isinstance(said, str) and said not in ("", ".")
    return folder / Path(said).expanduser() if is_known else None


def found_again(place: str, folder: Path | None) -> str:
    """The place that a run names, from here: a relative one starts at `folder`, else here.

    Nothing is lost where that finds nothing: reading the place then says so.
    """
    place = place.replace("$USER", _here()[2]) if "$USER" in place else place
    if folder and not Path(place).is_absolute() and not place.startswith("~"):
        start = Path(os.path.normpath(folder.absolute()))
        other = Path(os.path.normpath(start / place))
        if start != Path.cwd() and other.exists():
            return str(other)
    return place


def words_again(words: Iterable[str], folder: Path | None) -> list[str]:
    """Words of a command that was typed in `folder`, with their places as seen from here."""
    return [_word_again(word, folder) for word in words]


def _word_again(word: str, folder: Path | None) -> str:
    if key_of(word) not in PLACES:
        return found_again(word, None)
    key, _, value = word.partition("=")
    found = []
    for part in value.split(","):
        plain = part[1:-1] if re.fullmatch(r"'[^'\\]*'", part) else part
        there = found_again(plain, folder)
        found.append(part if there == plain else hydra_value(there))
    return f"{key}={','.join(found)}"


def with_places(settings: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """Settings of a command that was typed in `folder`, with their places as seen from here."""

    def seen_from_here(place: Any, _: str) -> Any:
        return found_again(place, folder) if isinstance(place, str) else place

    return with_changed(settings, PLACES, seen_from_here)
