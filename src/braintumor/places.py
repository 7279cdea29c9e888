"""Places as people name them: ~ for the home folder, é as one letter or as e and an accent."""

from __future__ import annotations

import errno
import unicodedata
from pathlib import Path

from braintumor.errors import ConfigError

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def as_path(name: str | Path, key: str) -> Path:
    """What a setting names, whether it is there or not: `as_on_disk`, with ~ as the home folder.

    Raises ConfigError where nothing can have that name, or nobody may look.
    """
    try:
        path = Path(as_on_disk(str(name))).expanduser()
    except RuntimeError as error:
        user = Path(name).parts[0]
        raise ConfigError(
            f"{key}={name}: the home folder {user} is not known here; write the path in full"
        ) from error
    try:
        path.lstat()
    except ValueError as error:  # a zero byte
        raise ConfigError(f"{key}={str(name)!r} is no path ({error}); check it") from error
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise ConfigError(
                f"{key}={name} cannot be used ({error.strerror}); name another place"
            ) from error
    return path


def as_on_disk(name: str) -> str:
    """The name with each letter spelled as what is there has it: a Mac parts é into e and ´.

    Part by part, and unchanged from the first that is not there.
    """
    if name.isascii():
        return name
    found = ""
    for part in name.split("/"):
        spelled = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        found += next((s for s in spelled if _exists(f"{found}{s}" or "/")), part) + "/"
    return found[:-1]


def is_there(name: str) -> bool:
    """Whether a file or folder has this name."""
    return _exists(as_on_disk(name))


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, no home, a zero byte
        return False
