"""The commands that go on with a run or make it again: what a message offers has to work."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from braintumor.errors import CheckpointError
from braintumor.interrupts import before_leaving, tell
from braintumor.privacy import words_again
from braintumor.quoting import key_of, pasteable
from braintumor.runs.folder import RunFolder, begun_in, read_config
from braintumor.runs.kinds import STATES

_OF_THE_FOLDER = ("run_dir", "overwrite", "resume")
_OF_THE_SWEEP = ("-m", "--multirun")


def resume_command(folder: Path) -> str:
    """To go on with what lies in the folder: a run, its folds and seeds, or a sweep."""
    return f"bt-train {pasteable('resume', str(folder))}"


def repeat_command(run: RunFolder, *, in_place: bool) -> str:
    """What trains the same from the start: in the folder of the run, or in a new one.

    In the words that made it, which are kept in status.json and environment.json.
    """
    words = _words_of(run)
    if words is None:
        return "bt-train with the settings of its config.yaml"
    words = [word for word in words if key_of(word) not in _OF_THE_FOLDER]
    words = words_again(words, begun_in(run))
    folder = [pasteable("run_dir", str(run.path)), "overwrite=true"] if in_place else []
    return " ".join(["bt-train", *map(shlex.quote, words), *folder])


def how_to_go_on(run: RunFolder) -> str:
    """Ends the message of a run that was cut off; empty where the folder around it says it."""
    parts = run.parts
    if (run.path.parent / "multirun.yaml").is_file() or run in RunFolder(run.path.parent).parts:
        return ""
    if parts:
        done = sum(part.is_complete for part in parts)
        are = "is" if done == 1 else "are"
        said = f"; {done} of {len(parts)} parts {are} complete"
        return f"{said}; go on with: {resume_command(run.path)}"
    if any((run.path / name).is_file() for name in STATES):
        return f"; go on with: {resume_command(run.path)}"
    again = repeat_command(run, in_place=True)
    return f"; no epoch had ended, so there is nothing to go on with; start again with: {again}"


@contextmanager
def sweep_told(folder: Path) -> Iterator[None]:
    """Within, a process that has to leave at once says how to go on with the sweep."""

    def leaving() -> None:
        if (folder / "multirun.yaml").is_file():
            tell(f"interrupted; go on with: {resume_command(folder)}")

    with before_leaving(leaving):
        yield


def _words_of(run: RunFolder) -> list[str] | None:
    """Those that made it; of a job its own, of one of several folds or seeds those of this one."""
    try:
        known, status = run.read_environment(), run.read_status()
        settings = read_config(run) if run.config.is_file() else {}
    except CheckpointError:
        return None
    command = known.get("command")
    words = [str(word) for word in command][1:] if isinstance(command, list) else []
    if not words or set(_OF_THE_SWEEP) & set(words):
        words = [str(word) for word in status.get("overrides") or ()]
    keys = {key_of(word) for word in words}
    if settings.get("seeds") is None and "seeds" in keys:
        words = [word for word in words if key_of(word) not in ("seed", "seeds")]
        words.append(f"seed={settings.get('seed')}")
    if settings.get("fold") is not None and "fold" not in keys:
        words.append(f"fold={settings['fold']}")
    return words if words or known else None
