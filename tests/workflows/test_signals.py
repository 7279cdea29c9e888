"""A signal before the training is recorded, at its very end, and while a command imports."""

from __future__ import annotations

import contextlib
import importlib
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
from PIL import Image

from braintumor.interrupts import listening
from braintumor.runs.folder import RunFolder
from braintumor.workflows import one_run
from braintumor.workflows.compose import compose
from support import QUICK, Command

pytestmark = pytest.mark.usefixtures("no_drawings")
WORDS = [*QUICK, "train.max_epochs=1", "run_dir=run"]


def test_interrupted_while_its_folder_is_made_a_run_says_a_command_that_works(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = one_run.write_manifest

    def signalled(*given: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        write(*given)

    with monkeypatch.context() as patch:
        patch.setattr(one_run, "write_manifest", signalled)
        done = bt("train", *WORDS, cwd=tmp_path, code=130)
    assert RunFolder(tmp_path / "run").state == "interrupted"
    (command,) = re.findall(r"(?:start again|go on) with: bt-train (.*)", done.stdout)
    bt("train", *shlex.split(command), cwd=tmp_path, code=0)


def test_interrupted_at_its_very_end_a_run_is_complete_and_says_so(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = RunFolder.set_status

    def signalled(run: RunFolder, state: Any, why: str | None = None, **facts: Any) -> None:
        if state == "completed":
            signal.raise_signal(signal.SIGINT)
        tell(run, state, why, **facts)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "set_status", signalled)
        done = bt("train", *WORDS, cwd=tmp_path, code=130)
    assert RunFolder(tmp_path / "run").is_complete
    assert "run is complete" in done.stdout and "nothing was trained" not in done.stderr


@pytest.mark.parametrize("how", ["raise KeyboardInterrupt", "import os; os.kill(os.getpid(), 2)"])
def test_ctrl_c_while_a_command_imports_prints_no_traceback(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import time, braintumor.cli; {how}; time.sleep(9)"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGINT
    assert done.stderr == "\ninterrupted before it had begun\n"


def test_what_a_library_raises_when_it_is_cut_off_is_no_bug_of_ours(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signalled(*given: Any) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise KeyError("of what was left half done") from None

    monkeypatch.setattr(one_run, "write_manifest", signalled)
    monkeypatch.setattr(one_run, "deferred", contextlib.nullcontext)
    done = bt("train", *WORDS, cwd=tmp_path, code=130)
    assert "interrupted" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "words", "place"),
    [
        ("eval", ["ckpt=run", "run_dir=out"], "braintumor.report.write._write_tables"),
        ("eval", ["ckpt=run", "run_dir=out"], "braintumor.report.write.render"),
        ("predict", ["ckpt=run", "input=one.png", "run_dir=out"],
         "braintumor.workflows.predict.write_table"),
        ("compare", ["runs=[run]", "run_dir=out"], "braintumor.comparison.write._render"),
    ],
)  # fmt: skip
def test_a_command_that_is_ended_while_it_writes_can_be_given_again(
    command: str, words: list[str], place: str, bt: Command, trained: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As it says it, and nothing half written is in its way."""
    (tmp_path / "run").symlink_to(trained)
    Image.new("L", (32, 32), 90).save(tmp_path / "one.png")
    module, _, name = place.rpartition(".")
    write = getattr(importlib.import_module(module), name)

    def signalled(*given: Any, **named: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return write(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(place, signalled)
        done = bt(command, *words, cwd=tmp_path, code=130)
    assert "Traceback" not in done.stderr
    (again,) = re.findall(rf"start again with: bt-{command} (.*)", done.stderr)
    bt(command, *shlex.split(again), cwd=tmp_path, code=0)
    left = [path for path in (tmp_path / "out").rglob(".*") if path.name != ".braintumor"]
    assert not left and not list(tmp_path.glob(".out*"))


def test_settings_are_composed_whole_before_a_signal_ends_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_together = hydra.compose

    def signalled(*given: Any, **more: Any) -> Any:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise KeyError("of what was left half done") from None
        return put_together(*given, **more)

    monkeypatch.setattr(hydra, "compose", signalled)
    with listening(), pytest.raises(KeyboardInterrupt):
        compose("train", ["seed=3"], {})
