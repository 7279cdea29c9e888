"""sbatch, srun, sacct and scontrol of a cluster of this one machine; by the name it is called by.

sbatch starts each task of the array in the background, and again where scontrol has put it back
into the queue. With FAKE_SLURM_PREEMPT=FILE it sends SIGUSR2 to a task, as the cluster does before
it takes a node away, once that file is there.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ["FAKE_SLURM"])
ARRAY = "77"


def sbatch(script: str) -> None:
    text = Path(script).read_text()
    (STATE / "submitted.sh").write_text(text)
    found = re.search(r"--array=0-(\d+)", text)
    for task in range(int(found[1]) + 1 if found else 1):
        subprocess.Popen(
            [sys.executable, __file__, "task", script, str(task)],
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    print(f"Submitted batch job {ARRAY}")


def task(script: str, number: str) -> None:
    own = {"ARRAY_JOB_ID": ARRAY, "ARRAY_TASK_ID": number, "JOB_ID": f"{ARRAY}{number}"}
    own |= {"NTASKS": "1", "JOB_NUM_NODES": "1", "JOB_NODELIST": "here"}
    own |= {"NODEID": "0", "PROCID": "0", "LOCALID": "0"}
    if "--array" not in Path(script).read_text():
        own = {k: v for k, v in own.items() if "ARRAY" not in k} | {"JOB_ID": ARRAY}
    requeue = STATE / "requeue"
    while True:
        requeue.unlink(missing_ok=True)
        environment = os.environ | {f"SLURM_{k}": v for k, v in own.items()}
        process = subprocess.Popen(["bash", script], env=environment)
        preempt = Path(os.environ.get("FAKE_SLURM_PREEMPT", STATE / "never"))
        while process.poll() is None:
            time.sleep(0.02)
            if preempt.exists() and not (STATE / "preempted").exists():
                (STATE / "preempted").touch()
                os.kill(int((STATE / "process").read_text()), signal.SIGUSR2)
        if not requeue.exists():
            break


def srun(*words: str) -> None:
    first = next(i for i, word in enumerate(words) if "python" in word)
    output = words[words.index("--output") + 1].replace("%A", ARRAY)
    output = re.sub("%j|%t|%a", os.environ.get("SLURM_PROCID", "0"), output)
    (STATE / "process").write_text(str(os.getpid()))
    log = os.open(STATE / "srun.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.execvp(words[first], words[first:])


def sacct(*_: str) -> None:
    print("JobID|State|NodeList")
    print(f"{ARRAY}|RUNNING|here")
    for number in range(10):
        print(f"{ARRAY}_{number}|RUNNING|here")


def scontrol(*words: str) -> None:
    (STATE / "requeue").write_text(" ".join(words))


if __name__ == "__main__":
    name = Path(sys.argv[0]).name
    if name == "fake_slurm.py":
        name, *rest = sys.argv[1:]
    else:
        rest = sys.argv[1:]
    globals()[name](*rest)
