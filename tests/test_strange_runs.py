"""What may lie in a run folder in the place of a file: a pipe, a device, nonsense."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from braintumor.data.manifest import read_manifest
from braintumor.errors import CheckpointError, ConfigError, DataError
from braintumor.files import MARKER
from braintumor.jobs.queue import _read_attempts
from braintumor.runs.commands import repeat_command
from braintumor.runs.folder import RunFolder
from braintumor.runs.history import read_rows
from braintumor.runs.kinds import RUN
from braintumor.runs.ownership import check
from braintumor.runs.predictions_table import read_predictions
from limited import run_limited

READERS: dict[str, Callable[[Path], object]] = {
    "metrics.csv": lambda path: read_rows(path),
    "manifest.csv": lambda path: read_manifest(path),
    "predictions.csv": lambda path: read_predictions(path.parent),
    MARKER: lambda path: check(path.parent, RUN, "continue"),
    "jobs.csv": lambda path: _read_attempts(path),
    "config.yaml": lambda path: repeat_command(RunFolder(path.parent), in_place=True),
    "status.json": lambda path: RunFolder(path.parent).read_status(),
    "environment.json": lambda path: RunFolder(path.parent).read_environment(),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("what", ["a pipe", "a device", "a link to itself", "a deep nest"])
def test_what_is_no_file_of_a_run_gets_an_answer_at_once(
    name: str, what: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a device":
        path.symlink_to("/dev/zero")
    elif what == "a link to itself":
        path.symlink_to(path)
    else:
        path.write_text("[" * 100_000)

    def read() -> None:
        try:
            READERS[name](path)
        except (OSError, ValueError, KeyError):  # which their callers turn into a sentence
            return

    outcome = run_limited(read)
    assert not outcome.answer.startswith(("a bug", "killed")), outcome
    assert outcome.seconds < 5


@pytest.mark.parametrize("command", [None, 5, "bt-train", {"a": 1}])
def test_a_command_that_is_no_list_of_words_is_not_repeated(
    command: object, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path)
    run.environment.write_text(json.dumps({"command": command}))
    run.status.write_text(json.dumps({"overrides": None}))
    assert "bt-train" in repeat_command(run, in_place=True)


@pytest.mark.parametrize("text", ["job\n1,2,3\n", "a,b\n1,2\n", "\0\0\n", "job,slot\n0\n"])
def test_a_table_of_jobs_that_is_damaged_begins_anew(text: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(text)
    assert _read_attempts(tmp_path / "jobs.csv") == []


def test_errors_of_readers_are_ours(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.csv")
    os.mkfifo(tmp_path / "metrics.csv")
    os.mkfifo(tmp_path / MARKER)
    with pytest.raises(DataError, match="no regular file"):
        read_manifest(tmp_path / "manifest.csv")
    with pytest.raises(CheckpointError, match="no regular file"):
        read_rows(tmp_path / "metrics.csv")
    with pytest.raises(ConfigError, match="carries no mark"):
        check(tmp_path, RUN, "refuse")
