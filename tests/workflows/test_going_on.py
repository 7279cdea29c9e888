"""What is said of work that was cut off can be done, as it is said."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from braintumor.runs.commands import how_to_go_on
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import STATES
from braintumor.workflows.outputs import record_failure, recorded
from braintumor.workflows.sweep import describe_left
from support import QUICK, Command, cut

pytestmark = pytest.mark.usefixtures("no_drawings")


def words_after(text: str, mark: str = "bt-train ") -> list[str]:
    """The words of the command that a message offers last."""
    return shlex.split(text.rsplit(mark, 1)[1].splitlines()[0])


def test_a_run_without_an_epoch_says_how_to_start_again(
    bt: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "run")
    cut(Path("run"), epochs=False)
    with pytest.raises(KeyboardInterrupt), recorded(RunFolder(Path("run")), 0.0):
        raise KeyboardInterrupt
    said = Path("run/train.log").read_text()
    assert "interrupted; no epoch had ended" in said
    assert "resume=" not in said.rsplit("interrupted; no epoch", 1)[1]
    words = words_after(said)
    assert {"run_dir=run", "overwrite=true", "debug=tiny", "train.max_epochs=2"} <= set(words)
    bt("train", *words, cwd=tmp_path, code=0)


def test_a_run_with_an_epoch_is_resumed_as_it_says(
    bt: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "my run")
    cut(Path("my run"), epochs=True)
    words = words_after(how_to_go_on(RunFolder(Path("my run"))))
    assert words == ["resume='my run'"]
    bt("train", *words, cwd=tmp_path, code=0)


def test_a_run_that_lost_its_states_says_how_to_start_again(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    cut(tmp_path / "run", epochs=True)
    for name in STATES:
        (tmp_path / "run" / name).unlink(missing_ok=True)
    done = bt("train", "resume=run", cwd=tmp_path, code=2)
    assert {"run_dir=run", "overwrite=true", "train.max_epochs=2"} <= set(words_after(done.stderr))


@pytest.mark.slow
def test_what_is_left_of_a_sweep_is_named_and_done(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four jobs: complete, cut off, failed before it began, not begun."""
    monkeypatch.chdir(tmp_path)
    sweep = [*QUICK, "seed=0,1", "optimizer.lr=1e-3,2e-3", "hydra.sweep.dir=sw"]
    bt("train", "-m", *sweep, cwd=tmp_path, code=0)
    expected = {n: Path(f"sw/{n}/metrics.csv").read_text().splitlines()[1][:30] for n in range(4)}
    done = bt("train", "resume=sw", cwd=tmp_path, code=2)
    assert "sw is complete (4 jobs)" in done.stderr
    Path("sw/comparison.html").unlink()
    cut(Path("sw/1"), epochs=True)
    shutil.rmtree("sw/2")
    record_failure(RunFolder(Path("sw/2")), ValueError("a test"))
    shutil.rmtree("sw/3")
    said = describe_left(Path("sw"))
    assert "job 0 completed, job 2 failed, job 1 interrupted, job 3 not begun" in said
    refused = bt("train", "-m", *sweep, "train.batch_size=4", cwd=tmp_path)
    assert words_after(said) == ["resume=sw"] and "bt-train resume=sw," in refused.stderr
    before = {p: p.read_bytes() for p in Path("sw/0").rglob("*") if p.is_file()}
    done = bt("train", *words_after(said), "device=cpu", cwd=tmp_path, code=0)
    assert "resuming after epoch 1" in done.stdout
    for number in range(4):
        assert json.loads(Path(f"sw/{number}/status.json").read_text())["status"] == "completed"
        row = Path(f"sw/{number}/metrics.csv").read_text().splitlines()[1][:30]
        assert row == expected[number]
    assert before == {p: p.read_bytes() for p in Path("sw/0").rglob("*") if p.is_file()}
    assert Path("sw/comparison.html").is_file()
    done = bt("train", "resume=sw", "optimizer.lr=1", cwd=tmp_path, code=2)
    assert "leave optimizer.lr=1 out" in done.stderr


def test_the_record_of_a_run_is_answered_with_the_command_that_repeats_it(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    done = bt(
        "train", "--config-dir", str(trained), "--config-name", "config", cwd=tmp_path, code=2
    )
    assert "resume=" not in done.stderr  # it is complete
    assert not list(tmp_path.iterdir())
    words = words_after(done.stderr)
    bt("train", *words, "run_dir=again", cwd=tmp_path, code=0)
    one, other = (folder / "metrics.csv" for folder in (trained, tmp_path / "again"))
    columns = slice(0, 9)  # without times
    first, second = ([row.split(",")[columns] for row in f.read_text().splitlines()]
                     for f in (one, other))  # fmt: skip
    assert first == second
