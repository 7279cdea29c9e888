"""What the system refuses is one sentence with what to do, and never called a bug."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from braintumor.cli.failures import failure_of
from braintumor.errors import TrainingError
from support import Command

CASES = {
    errno.ENOSPC: (3, "free space"),
    errno.EROFS: (3, "free space"),
    errno.EACCES: (2, "check its owner and mode"),
    errno.EMFILE: (3, "ulimit -n"),
    errno.ENFILE: (3, "ulimit -n"),
    errno.ENAMETOOLONG: (2, "a shorter name"),
    errno.EIO: (3, "x.png"),
    errno.ESTALE: (3, "x.png"),
    errno.ENOENT: (3, "x.png"),
    errno.ENOMEM: (3, "ulimit -v"),
}


@pytest.mark.parametrize("number", CASES)
def test_what_the_system_refuses(number: int) -> None:
    failure = failure_of(OSError(number, os.strerror(number), "x.png"))
    code, words = CASES[number]
    assert failure and failure.exit_code == code and words in str(failure)


def test_what_is_ours_stays_and_a_bug_is_none() -> None:
    own = TrainingError("the loss became nan")
    assert failure_of(own) is own
    for bug in (KeyError("x"), RuntimeError("shapes"), OSError("no number"), AssertionError()):
        assert failure_of(bug) is None


@pytest.mark.parametrize(
    "words",
    [
        ["train", "run_dir={long}"], ["eval", "ckpt={long}"], ["predict", "ckpt={long}"],
        ["data", "data=folder", "data.root={long}"], ["compare", "runs=[{long}]"],
        ["train", "resume={long}"], ["train", "run_dir=loop"], ["eval", "ckpt=loop"],
    ],
)  # fmt: skip
def test_names_that_no_file_can_have(bt: Command, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "loop").symlink_to("loop")
    done = bt(*(word.format(long="a" * 300) for word in words), cwd=tmp_path, code=2)
    assert "Traceback" not in done.stderr and done.stderr.startswith("error: ")


def test_the_folder_of_work_may_be_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = "import os; os.rmdir(os.getcwd()); from braintumor.cli.data import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "data=phantom"], cwd=tmp_path / "gone", capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (2, 3), done.stderr
    assert "Traceback" not in done.stderr
