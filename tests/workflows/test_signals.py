"""A signal before the training is recorded, at its very end, and while a command imports."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import hydra
import pytest
from PIL import Image

from braintumor.cli.job import _end_with_the_queue
from braintumor.interrupts import deferred, listening
from braintumor.runs.commands import sweep_told
from braintumor.runs.folder import RunFolder
from braintumor.workflows import one_run
from braintumor.workflows.compose import compose
from braintumor.workflows.outputs import recorded
from support import QUICK, Command, cut

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
    assert (done.stdout + done.stderr).count("interrupted") == 1
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


def _told_twice(work: Callable[[], AbstractContextManager[Any]]) -> tuple[int, str]:
    """The exit code of a process that is told to end twice within a block, and what it printed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        with listening(), work(), deferred():
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.25)
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def test_told_twice_a_run_says_how_to_go_on(
    bt: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves at once, in the midst of a step."""
    monkeypatch.chdir(tmp_path)
    run = RunFolder(Path(shutil.copytree(trained, "run")))
    cut(run.path, epochs=True)
    code, said = _told_twice(lambda: recorded(run, 0.0))
    assert code == 130 and run.state == "interrupted"
    assert said.endswith("interrupted; go on with: bt-train resume=run\n")


def test_told_twice_a_sweep_says_how_to_go_on_and_its_runs_do_not(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = RunFolder(Path(shutil.copytree(trained, "sw/0")))
    Path("sw/multirun.yaml").touch()

    @contextlib.contextmanager
    def both() -> Iterator[None]:
        with sweep_told(Path("sw")), recorded(job, 0.0):
            yield

    code, said = _told_twice(both)
    assert code == 130 and job.state == "interrupted"
    assert said.count("go on with") == 1 and said.endswith("bt-train resume=sw\n")


def test_a_job_whose_queue_is_gone_says_that_it_was_interrupted(
    trained: Path, tmp_path: Path
) -> None:
    run = RunFolder(Path(shutil.copytree(trained, tmp_path / "run")))
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.dup2(reading, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        with recorded(run, 0.0):
            threading.Thread(target=_end_with_the_queue, daemon=True).start()
            time.sleep(60)
        os._exit(1)
    os.close(reading)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    assert run.state == "interrupted"


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
