"""The laws of the queue, with processes that do nothing but what a test asks of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from braintumor.jobs.queue import Job, Queue
from braintumor.jobs.slots import Slot
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import RUN
from braintumor.runs.ownership import hold

# writes down where it runs, then does what it is told; ends with whoever started it
CHILD = """
import json, os, signal, sys, threading, time
order = json.loads(os.read(0, 65536))
threading.Thread(target=lambda: (os.read(0, 1), os._exit(130)), daemon=True).start()
run = order["run"]
if order["how"] == "mute":
    sys.exit("no module named torch")
os.makedirs(run, exist_ok=True)
open(run + "/.braintumor", "w").write(json.dumps({"holds": "a training run"}))
def tell(state):
    open(run + "/status.json", "w").write(json.dumps({"status": state}))
def stop(*_):
    tell("interrupted"); os._exit(130)
signal.signal(signal.SIGTERM, stop)
tell("running")
open(run + "/where", "w").write(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
open(run + "/process", "w").write(str(os.getpid()))
begin = time.time()
time.sleep(order["seconds"])
if order["how"] == "raise":
    raise ValueError("no such thing")
if order["how"] == "damage":
    for name in ("status.json", "metrics.csv"):
        open(run + "/" + name, "w").write("epoch,oh\\n1,2,3\\n")
    os._exit(0)
if order["how"] == "exit":
    os._exit(7)
if order["how"] == "leave":
    os._exit(0)
if order["how"].startswith("SIG"):
    if order["how"] != "SIGKILL":  # as whoever started all this may ignore it
        signal.signal(signal.Signals[order["how"]], signal.SIG_DFL)
    os.kill(os.getpid(), signal.Signals[order["how"]])
tell("completed")
open(run + "/times", "w").write(f"{begin} {time.time()}")
"""
COMMAND = [sys.executable, "-S", "-c", CHILD]


@pytest.fixture(autouse=True)
def _children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("braintumor.jobs.queue._CHILD", COMMAND)


def jobs_in(folder: Path, *hows: str, seconds: float = 0.05) -> list[Job]:
    return [
        Job(
            RunFolder(folder / str(n)),
            how,
            json.dumps({"run": str(folder / str(n)), "how": how, "seconds": seconds}),
        )
        for n, how in enumerate(hows)
    ]


def state_in(folder: Path, name: str) -> str:
    return str(RunFolder(folder / name).read_status().get("status"))


def test_a_box_of_four_gpus_is_never_shared_and_never_idle(tmp_path: Path) -> None:
    """Slots without CUDA: each job says what CUDA_VISIBLE_DEVICES is, and when it ran."""
    slots = [Slot(number, str(number), 1) for number in range(4)]
    lengths = [0.5, 0.1, 0.3, 0.2, 0.1, 0.4, 0.2, 0.1, 0.3, 0.1]
    jobs = [
        Job(job.run, "", json.dumps(json.loads(job.order) | {"seconds": length}))
        for job, length in zip(jobs_in(tmp_path, *["well"] * 10), lengths, strict=True)
    ]
    Queue(jobs, slots, tmp_path).run()
    table = pd.read_csv(tmp_path / "jobs.csv", parse_dates=["started", "ended"])
    assert sorted(table["job"]) == list(range(10)) and set(table["result"]) == {"completed"}
    assert set(table["gpu"]) == {0, 1, 2, 3}
    for row in table.itertuples():
        assert (tmp_path / str(row.job) / "where").read_text() == str(row.gpu)
    for _, on_one in table.groupby("gpu"):
        on_one = on_one.sort_values("started")
        assert (on_one["started"].iloc[1:].to_numpy() >= on_one["ended"].iloc[:-1].to_numpy()).all()
    # in the order they were given, and whenever a slot was freed the next began on it at once
    assert list(table["job"]) == list(range(10))
    ends, begins = table["ended"].sort_values(), table["started"].iloc[4:]
    waits = [(b - e).total_seconds() for b, e in zip(begins, ends, strict=False)]
    assert max(waits) < 0.5, waits


def test_what_becomes_of_one_job_ends_no_other(tmp_path: Path) -> None:
    """And how each ended is said: by itself or, where it could say no more, by its exit code."""
    said = {
        "raise": ("failed", "exit code 1 and did not say why; .*: ValueError: no such thing"),
        "well": ("completed", "None"),
        "exit": ("failed", "exit code 7 and did not say why$"),
        "SIGKILL": ("interrupted", "ended by SIGKILL, as .* when memory runs out"),
        "mute": ("failed", "exit code 1 .*the last line of its log: no module named torch$"),
        "SIGHUP": ("interrupted", "ended by SIGHUP$"),
        "SIGSEGV": ("failed", "ended by SIGSEGV$"),
        "leave": ("failed", "exit code 0 and did not say why"),
    }
    Queue(jobs_in(tmp_path, *said), [Slot(0, None, 1)], tmp_path).run()
    results = list(pd.read_csv(tmp_path / "jobs.csv")["result"])
    for number, (state, why) in enumerate(said.values()):
        status = RunFolder(tmp_path / str(number)).read_status()
        assert status["status"] == results[number] == state
        assert re.search(why, str(status.get("why"))), status
    assert "ValueError: no such thing" in (tmp_path / "0" / "train.log").read_text()


def test_a_job_whose_files_are_damaged_ends_no_other(tmp_path: Path) -> None:
    jobs = jobs_in(tmp_path, "damage", "well")
    for _ in range(2):  # the second time the damage is there from the beginning
        Queue(jobs, [Slot(0, None, 1)], tmp_path).run()
    assert list(pd.read_csv(tmp_path / "jobs.csv")["result"]) == ["failed", "completed"] * 2


def test_what_an_earlier_attempt_said_is_not_taken_for_this_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (job,) = jobs_in(tmp_path, "mute")
    with hold(job.run.path, RUN):
        job.run.set_status("failed", why="DataError: of yesterday")
    Queue([job], [Slot(0, None, 1)], tmp_path).run()
    assert "no module named torch" in job.run.read_status()["why"]
    assert "job 0 failed: its process ended with exit code 1" in caplog.text
    assert "yesterday" not in caplog.text


def test_a_queue_writes_on_where_another_left_off(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Queue(jobs_in(tmp_path / name, "well"), [Slot(0, None, 1)], tmp_path).run()
    assert len(pd.read_csv(tmp_path / "jobs.csv")) == 2


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_jobs_end_with_their_queue(how: signal.Signals, tmp_path: Path) -> None:
    """Told to stop they say so; where it is killed they end all the same."""
    code = (
        "import sys, test_queue as t, pathlib\n"
        "from braintumor.jobs import queue\n"
        "queue._CHILD = t.COMMAND\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "jobs = t.jobs_in(folder, 'well', 'well', 'well', seconds=60)\n"
        "queue.Queue(jobs, [queue.Slot(0, None, 1), queue.Slot(1, None, 1)], folder).run()\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    queue = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    running = [tmp_path / str(n) / "process" for n in range(2)]
    while not all(file.is_file() and file.read_text() for file in running):
        time.sleep(0.02)
        assert queue.poll() is None
    queue.send_signal(how)
    queue.wait(30)
    for _ in range(500):
        if not any(Path(f"/proc/{file.read_text()}").exists() for file in running):
            break
        time.sleep(0.02)
    else:
        pytest.fail("a job outlives its queue")
    expected = "running" if how is signal.SIGKILL else "interrupted"
    assert [state_in(tmp_path, str(n)) for n in range(2)] == [expected] * 2
    assert not (tmp_path / "2").exists()


_ON_A_TERMINAL = """
import os, sys
from pathlib import Path
from braintumor.jobs.view import View
from braintumor.jobs.slots import Slot
from braintumor.runs.folder import RunFolder
view = View(1, 1)
with view:
    view.show(0, [(RunFolder(Path("x")), Slot(0, "", 1), 0.0, "words")])
sys.stderr.write("END")
"""


def test_the_table_goes_from_the_screen_however_soon_it_ends() -> None:
    """What a terminal shows at the end, by the letters that the table wrote and wiped."""
    master, terminal = os.openpty()
    subprocess.run(
        [sys.executable, "-c", _ON_A_TERMINAL],
        stderr=terminal, stdout=terminal, check=True, timeout=60,
    )  # fmt: skip
    os.close(terminal)
    written = os.read(master, 65536).decode()
    os.close(master)
    assert "0 of 1 done, 1 running" in written
    last_line = written.rpartition("\x1b[A")[2]  # the cursor is on the first line of the table
    assert re.fullmatch(r"\r +\rEND", last_line)
