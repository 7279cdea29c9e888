"""Folders: only what is new, empty or ours is written to, by one process at a time."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from braintumor.errors import ConfigError
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import DATA, EVALUATION, PREDICTIONS, RUN, SWEEP, Kind
from braintumor.runs.ownership import check, hold, hold_new, remove_own

MARKER = ".braintumor"


def files_in(folder: Path) -> dict[str, bytes]:
    """Relative name -> content of every file, the markers left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MARKER
    }


def completed(folder: Path) -> RunFolder:
    """A finished run, with a fold and an evaluation, as the commands leave them."""
    with hold(folder, RUN):
        run = RunFolder(folder)
        run.set_status("completed")
        for name in ("best.safetensors", "last.ckpt", "train.log", "plots/curves.png"):
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("of the run")
        with hold(run.evaluation("test"), EVALUATION):
            (run.evaluation("test") / "cam").mkdir()
            for name in ("report.html", "cam/00003.png"):
                (run.evaluation("test") / name).write_text("of the run")
        with hold(folder / "fold_0", RUN):
            RunFolder(folder / "fold_0").set_status("completed")
    return run


@pytest.mark.parametrize("existing", ["refuse", "replace", "continue"])
@pytest.mark.parametrize("kind", [RUN, EVALUATION, PREDICTIONS, DATA, SWEEP])
def test_a_folder_of_others_is_refused_and_stays(tmp_path: Path, kind: Kind, existing: str) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curves.png").write_text("mine, under a name that ours have")
    before = files_in(tmp_path)
    for enter in (
        lambda: check(tmp_path, kind, existing),
        hold(tmp_path, kind, existing).__enter__,
    ):
        with pytest.raises(ConfigError, match=r"is not empty.*plots.*another|new or empty folder"):
            enter()
    assert files_in(tmp_path) == before
    assert not (tmp_path / MARKER).exists()


def test_absent_and_empty_folders_are_taken_and_left_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("absent/deep", "empty"):
        with pytest.raises(ZeroDivisionError), hold(tmp_path / name, RUN):
            assert (tmp_path / name / MARKER).is_file()
            raise ZeroDivisionError  # before anything was written
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty"]


@pytest.mark.parametrize("state", ["completed", "running", "interrupted"])
def test_work_is_replaced_only_when_that_is_said(tmp_path: Path, state: str) -> None:
    run = completed(tmp_path / "run")
    run.set_status(state)  # type: ignore[arg-type]
    (run.path / "config.yaml").write_text("seed: 0")
    with pytest.raises(ConfigError, match=rf"\({state}\).*overwrite=true") as refused:
        check(run.path, RUN)
    assert ("resume=" in str(refused.value)) == (state != "completed")
    with hold(run.path, RUN, "replace"):
        remove_own(run.path, RUN)
        assert files_in(run.path) == {}
        assert [path.name for path in run.path.iterdir()] == [MARKER]


def test_a_run_that_failed_before_a_checkpoint_can_be_tried_again(tmp_path: Path) -> None:
    with hold(tmp_path / "run", RUN):
        RunFolder(tmp_path / "run").set_status("failed", why="no such picture")
    check(tmp_path / "run", RUN)
    (tmp_path / "run" / "last.ckpt").write_bytes(b"a state")
    (tmp_path / "run" / "config.yaml").write_text("seed: 0")
    with pytest.raises(ConfigError, match=r"\(failed\).*resume="):
        check(tmp_path / "run", RUN)


def test_what_is_not_of_the_run_is_never_removed(tmp_path: Path) -> None:
    run = completed(tmp_path / "run")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    others = [
        "thesis.pdf", "plots/thesis.pdf", "eval/test/notes.txt",
        "eval/mine/report.html", "fold_0/notes.txt", "fold_x/status.json", "fold_7/status.json",
        "mine/last.ckpt", "refit/plan.txt", "tensorboard/mine.txt",
    ]  # fmt: skip
    for name in others:
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("mine")
    with hold(elsewhere, RUN):  # a run of ours, but not of this folder
        (elsewhere / "status.json").write_text("mine")
    (run.path / "fold_3").symlink_to(elsewhere)
    (elsewhere / "00003.png").write_text("mine")
    shutil.rmtree(run.evaluation("test") / "cam")
    (run.evaluation("test") / "cam").symlink_to(elsewhere)
    with hold(run.path / "baseline", RUN):  # a run of ours that somebody moved there
        (run.path / "baseline" / "status.json").write_text("mine")
    with hold(run.path, RUN, "replace"):
        remove_own(run.path, RUN)
    assert set(files_in(run.path)) == {*others, "baseline/status.json"}
    assert files_in(elsewhere) == {"status.json": b"mine", "00003.png": b"mine"}


@pytest.mark.parametrize("parts", [["..", "../.."], ["/"], ["fold_0/../.."], ["eval"]])
def test_names_in_a_status_lead_nowhere(tmp_path: Path, parts: list[str]) -> None:
    """A status.json that came with a folder cannot choose what is removed."""
    run = completed(tmp_path / "parent" / "run")
    run.set_status("completed", parts=parts)
    (tmp_path / "parent" / "status.json").write_text("{}")
    (run.path / "eval" / "mine.txt").write_text("mine")
    with hold(run.path, RUN, "replace"):
        remove_own(run.path, RUN)
    assert files_in(tmp_path) == {"parent/status.json": b"{}", "parent/run/eval/mine.txt": b"mine"}


def test_links_to_other_folders_are_refused(tmp_path: Path) -> None:
    run = completed(tmp_path / "run")
    (tmp_path / "pictures").mkdir()
    (run.path / "refit").symlink_to(tmp_path / "pictures")
    with pytest.raises(ConfigError, match="refit is a link"):
        check(run.path, RUN, "replace")
    important = tmp_path / "important.txt"
    important.write_text("mine")
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / MARKER).symlink_to(important)
    with pytest.raises(ConfigError, match="is a link"), hold(tmp_path / "trap", RUN, "replace"):
        pass
    assert important.read_text() == "mine"


def test_one_kind_of_work_does_not_replace_another(tmp_path: Path) -> None:
    run = completed(tmp_path / "run")
    with pytest.raises(ConfigError, match="holds a training run, and this command makes"):
        check(run.path, PREDICTIONS, "replace")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file is not a folder"):
        check(tmp_path / "file", RUN)


def test_new_folders_are_numbered(tmp_path: Path) -> None:
    name = tmp_path / "runs" / "now"
    with hold_new(name, RUN) as one, hold_new(name, RUN) as two, hold_new(name, RUN) as three:
        assert [path.name for path in (one, two, three)] == ["now", "now_2", "now_3"]
        (two / "config.yaml").touch()
    assert [path.name for path in name.parent.iterdir()] == [
        "now_2"
    ]  # nothing came into the others


def _enter_and_write(folder: Path, ready: object) -> None:
    with hold(folder, RUN):
        (folder / "config.yaml").touch()
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ready, folder = fork.Event(), tmp_path / "run"
    other = fork.Process(target=_enter_and_write, args=(folder, ready))
    other.start()
    assert ready.wait(20)
    for existing in ("refuse", "replace", "continue"):
        with pytest.raises(ConfigError, match="in use") as refused, hold(folder, RUN, existing):  # type: ignore[arg-type]
            pass
        for fact in (f"process {other.pid}", "since 20", "kill", "resume="):
            assert fact in str(refused.value)
    assert other.pid is not None
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    with hold(folder, RUN, "continue"):
        assert (folder / "config.yaml").is_file()


def test_of_many_that_ask_at_once_one_is_given_the_folder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from braintumor.errors import ConfigError\n"
        "from braintumor.runs.kinds import RUN; from braintumor.runs.ownership import hold\n"
        "until = float(sys.argv[1])\n"
        "time.sleep(max(0, until - time.time()))\n"
        "try:\n"
        "    with hold(Path('run'), RUN):\n"
        "        Path('run/config.yaml').touch(); print('held'); time.sleep(2)\n"
        "except ConfigError as error: print(error)\n"
    )
    until = str(time.time() + 1.5)
    processes = [
        subprocess.Popen([sys.executable, "-c", code, until], cwd=tmp_path, stdout=subprocess.PIPE)
        for _ in range(6)
    ]
    said = [process.communicate(timeout=60)[0].decode() for process in processes]
    assert sorted(text.startswith("held") for text in said) == [False] * 5 + [True]
    assert all("held" in text or "in use" in text for text in said)


def test_a_torn_marker_of_a_new_folder_is_no_obstacle(tmp_path: Path) -> None:
    """Killed between making the marker and writing it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / MARKER).touch()
    with hold(tmp_path / "run", RUN):
        (tmp_path / "run" / "config.yaml").touch()
    check(tmp_path / "run", RUN)


def test_a_run_without_its_mark_can_be_resumed_but_not_replaced(tmp_path: Path) -> None:
    for name in ("config.yaml", "status.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError, match="no mark"):
        check(tmp_path, RUN, "replace")
    with hold(tmp_path, RUN, "continue"):
        pass
    assert (tmp_path / MARKER).is_file()
