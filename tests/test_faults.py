"""Faults of the machine, each really made: one sentence, the right exit code, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from braintumor.runs.folder import RunFolder
from killing import Ask, Order
from support import Command, cut

SETTINGS = [
    "data=folder", "data.root=mri", "data.image_size=32", "model=cnn_se",
    "model.backbone.widths=[4,8]", "train.batch_size=8", "train.epochs=2",
    "train.phases=[{epochs: 2, trainable: all}]", "train.tensorboard=false",
    "eval.heatmaps=0", "eval.examples=0", "eval.views=1",
]  # fmt: skip
NOBODY = 54321

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root makes disks and other users")


@pytest.fixture(scope="module")
def begun(ask: Ask, kill_place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures, and a run that no network was there for."""
    folder = tmp_path_factory.mktemp("begun")
    shutil.copytree(kill_place / "mri", folder / "mri")
    order = Order(
        str(folder), [*SETTINGS, "run_dir=run"], str(folder / "cache"), may_connect=False
    )  # fmt: skip
    assert ask(order) == 0, (folder / "output.txt").read_text()
    assert not (folder / "connects.txt").exists()
    return folder


@pytest.fixture
def work(begun: Path) -> Iterator[Path]:
    """A copy, in which every user may write."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        shutil.copytree(begun, work, dirs_exist_ok=True)
        for path in (work, *work.rglob("*")):
            path.chmod(0o777)
        yield work


@pytest.fixture
def small_disk(work: Path) -> Iterator[Path]:
    """A disk of 100 KB."""
    disk = work / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k,mode=777", "none", str(disk)], check=False,
        capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.decode()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def said(ask: Ask, work: Path) -> Any:
    """said(code, words, ...): the one sentence of a command that ends with this code."""

    def answer(code: int, words: list[str], **how: Any) -> str:
        output = work / "output.txt"
        output.unlink(missing_ok=True)
        given = ask(Order(str(work), words, how.pop("cache", str(work / "cache")), **how))
        text = output.read_text()
        assert given == code, text
        assert "Traceback" not in text and "a bug" not in text, text
        errors = [line for line in text.splitlines() if line.startswith("error: ")]
        assert len(errors) == (code not in (0, 130)), text
        return errors[0] if errors else text

    return answer


@needs_root
def test_a_full_disk(said: Any, work: Path, small_disk: Path) -> None:
    error = said(3, [*SETTINGS, "run_dir=disk/run"])
    assert "the disk is full" in error and "intact" in error
    can_go_on = any((small_disk / "run" / name).is_file() for name in ("last.ckpt", "next.ckpt"))
    assert ("bt-train resume=disk/run" in error) == can_go_on
    assert ("start again with: bt-train data=folder" in error) != can_go_on


@needs_root
def test_a_search_on_a_full_disk_goes_on_where_there_is_room(
    said: Any, work: Path, small_disk: Path
) -> None:
    """Its journal is written by Optuna, and may end in the middle of a line."""
    (small_disk / "full").write_bytes(bytes(88_000))
    words = [*SETTINGS, "train.epochs=1", "train.phases=[{epochs: 1, trainable: all}]"]
    words += ["tune.trials=2", "tune.space={optimizer.lr: 0.001..0.01}", "run_dir=disk/tu"]
    error = said(3, words, command="tune")
    assert "free space" in error or "disk is full" in error
    (small_disk / "full").unlink()
    said(0, words, command="tune")


@needs_root
def test_of_folds_on_a_disk_that_fills_up_the_first_stays(
    said: Any, work: Path, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,size=3m", str(small_disk)], check=True)
    is_over, fold = threading.Event(), small_disk / "run/fold_0"

    def fill() -> None:
        """All that is left and all that is freed, once the first fold is complete."""
        while not is_over.wait(0.002):
            if RunFolder(fold).is_complete:
                with suppress(OSError), (small_disk / "full").open("ab", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        error = said(3, [*SETTINGS, "split=stratified", "folds=2", "run_dir=disk/run"])
    finally:
        is_over.set()
        thread.join()
    assert "the disk is full" in error and "1 of 2 parts is complete" in error
    assert "go on with: bt-train resume=disk/run" in error
    before = {path: path.read_bytes() for path in fold.rglob("*") if path.is_file()}
    (small_disk / "full").unlink()
    said(0, ["resume=disk/run"])
    assert before == {path: path.read_bytes() for path in fold.rglob("*") if path.is_file()}
    assert (small_disk / "run/eval/pooled/metrics.json").is_file()


def test_a_limit_on_the_size_of_files(said: Any, work: Path) -> None:
    error = said(3, [*SETTINGS, "run_dir=new"], file_bytes=20_000)
    assert "`ulimit -f`" in error and "start again with: bt-train data=folder" in error


def test_a_limit_on_memory(said: Any) -> None:
    assert "out of memory" in said(3, [*SETTINGS, "run_dir=new"], memory_bytes=4_000_000)


@needs_root
def test_a_temporary_folder_that_is_full(said: Any, work: Path, small_disk: Path) -> None:
    with tarfile.open(work / "mri.tar", "w") as file:
        file.add(work / "mri", "mri")
        for number in range(40):  # which the layout leaves out, but a picture is copied
            file.add(work / "mri/Testing/glioma/0.png", f"mri/Training/glioma/more{number}.png")
    (small_disk / "full").write_bytes(bytes(80_000))
    words = ["data=archive", "data.root=mri.tar", *SETTINGS[2:], "run_dir=new"]
    error = said(3, words, environment={"TMPDIR": str(small_disk)})
    assert "TMPDIR=FOLDER" in error and str(small_disk) in error and "damaged" not in error


@pytest.mark.parametrize("home", [None, "~nosuchuser"])
@needs_root
def test_a_home_that_nobody_knows(said: Any, home: str | None) -> None:
    how = {"environment": {"HOME": None, "XDG_CACHE_HOME": None, "BT_CACHE": home}}
    assert "BT_CACHE=FOLDER" in said(2, [*SETTINGS, "run_dir=new"], user=NOBODY, **how)


@needs_root
def test_a_cache_that_may_only_be_read(said: Any, work: Path) -> None:
    kept = [*SETTINGS, "train.phases=[{epochs: 1, trainable: head}]", "train.epochs=1"]
    said(0, [*kept, "run_dir=one"])
    assert list((work / "cache").glob("features/*.npz"))
    for path in (work / "cache", *(work / "cache").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert "from the cache" in said(0, [*kept, "run_dir=two"], user=NOBODY)
    one, other = (work / run / "eval/test/predictions.csv" for run in ("one", "two"))
    assert one.read_bytes() == other.read_bytes()


@needs_root
def test_a_run_that_may_only_be_read_is_used_elsewhere(said: Any, work: Path) -> None:
    for path in (work / "run", *(work / "run").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    error = said(2, ["ckpt=run"], command="eval", user=NOBODY)
    assert "nothing may be written in run/eval" in error and "run_dir=" in error
    said(0, ["ckpt=run", "run_dir=ev"], command="eval", user=NOBODY)
    one, other = (work / name / "predictions.csv" for name in ("ev", "run/eval/test"))
    assert one.read_bytes() == other.read_bytes()
    said(0, ["ckpt=run", "input=mri/Testing", "run_dir=pr"], command="predict", user=NOBODY)
    work.chmod(0o755)
    error = said(2, ["ckpt=run", "input=mri/Testing"], command="predict", user=NOBODY)
    assert "nothing may be written in" in error and "run_dir=" in error


@needs_root
def test_places_where_no_run_can_be(said: Any, work: Path) -> None:
    (work / "file").write_text("mine")
    (work / "locked").mkdir(mode=0o755)
    (work / "link").symlink_to(work / "file")
    for place, words in {
        "file": "is not a folder", "file/run": "is not a folder", "link": "is not a folder",
        "locked/run": "nothing may be written in",
    }.items():  # fmt: skip
        error = said(2, [*SETTINGS, f"run_dir={place}"], user=NOBODY)
        assert words in error and "run_dir=" in error
    assert (work / "file").read_text() == "mine"


@needs_root
def test_an_evaluation_is_not_put_where_a_disk_is(said: Any, small_disk: Path) -> None:
    error = said(2, ["ckpt=run", "run_dir=disk"], command="eval")
    assert "where a disk is mounted" in error and "run_dir=disk/evaluation" in error


def test_what_killed_runs_left_goes_and_nothing_else(said: Any, work: Path) -> None:
    run = work / "run"
    ours = [
        ".best.safetensors.0123abcd", ".last.ckpt.0123abcd", "plots/.curves.png.0123abcd",
        "eval/.test.0123abcd/metrics.json", "eval/.test.0123abcd/wrong/.x.png.0123abcd",
    ]  # fmt: skip
    others = [".notes.txt.0123abcd", ".best.safetensors.mine", "eval/.test.89abcdef/my.txt"]
    ours[-1] = "eval/.test.0123abcd/.metrics.json.0123abcd"
    for name in (*ours, *others):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("x")
    said(0, ["resume=run", "train.epochs=3", "train.phases=[{epochs: 3, trainable: all}]"])
    assert not [name for name in ours if (run / name).exists()]
    assert not (run / "eval/.test.0123abcd").exists()
    assert [name for name in others if (run / name).exists()] == others


def test_nothing_connects_unless_it_was_asked_to(said: Any, work: Path) -> None:
    """As `begun`, whose training is a part of this."""
    how = {"may_connect": False}
    shutil.copytree(work / "run", work / "other")
    said(0, ["ckpt=run", "data=folder", "data.root=mri", "run_dir=ev"], command="eval", **how)
    said(0, ["ckpt=run", "input=mri/Testing", "run_dir=pr"], command="predict", **how)
    said(0, ["runs=[run,other]", "run_dir=co"], command="compare", **how)
    assert not (work / "connects.txt").exists()


DAMAGE = {
    "config.yaml": ["{", "train: 5\n"],
    "status.json": ["", "[1]"],
    "environment.json": ["{"],
    "manifest.csv": ["path\n1"],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_of_a_run_is_one_sentence(bt: Command, work: Path, name: str) -> None:
    cut(work / "run", epochs=True)
    whole = (work / "run" / name).read_bytes()
    for content in [*(text.encode() for text in DAMAGE[name]), whole[: len(whole) // 3]]:
        (work / "run" / name).write_bytes(content)
        done = bt("train", "resume=run", cwd=work, BT_CACHE=str(work / "cache"))
        assert done.returncode == 2, (content, done.stderr)
        assert name in done.stderr and "Traceback" not in done.stderr, (content, done.stderr)


def test_rows_that_metrics_csv_lost_come_back(bt: Command, work: Path) -> None:
    cut(work / "run", epochs=True)
    path = work / "run" / "metrics.csv"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    bt("train", "resume=run", cwd=work, BT_CACHE=str(work / "cache"), code=0)
    assert path.read_text() == whole
    assert "whose rows are written again" in (work / "run" / "train.log").read_text()
    again = bt("train", "resume=run", cwd=work, code=2)
    assert "is complete" in again.stderr
