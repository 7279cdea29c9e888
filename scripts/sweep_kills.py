"""A sweep whose jobs are all killed once, and its queue twice, against one that nobody disturbed.

    python scripts/sweep_kills.py OUT [--jobs 12] [--slots 2] [--seed 0]

OUT: a new folder for both sweeps. Small networks on phantoms. Fails unless all results are equal,
no epoch was trained twice, and no job was begun again after it had ended.
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from safetensors.numpy import load_file

SETTINGS = [
    "debug=tiny", "data.patients=24", "data.limit=null", "train.tensorboard=false", "model=cnn",
    "model.backbone.widths=[4,4]", "train.max_epochs=4", "train.ema_decay=0",
    "train.early_stopping.patience=null", "eval.heatmaps=0", "eval.examples=0", "eval.views=1",
]  # fmt: skip
QUEUE_KILLS = (1 / 3, 2 / 3)  # after this share of the kills of jobs


def start(folder: Path, jobs: int, slots: int) -> subprocess.Popen[bytes]:
    seeds = ",".join(map(str, range(jobs)))
    words = [*SETTINGS, f"seed={seeds}", f"hydra.sweep.dir={folder}", "hydra/launcher=gpus"]
    code = "import sys; sys.argv[0] = 'bt-train'; from braintumor.cli.train import main; main()"
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code, "-m", *words, f"hydra.launcher.slots={slots}"],
            stdout=log, stderr=log,
        )  # fmt: skip


def attempts(folder: Path) -> list[dict[str, str]]:
    table = folder / "jobs.csv"
    return list(csv.DictReader(table.read_text().splitlines())) if table.is_file() else []


def disturb(folder: Path, jobs: int, slots: int, rng: random.Random) -> tuple[int, int, int]:
    """Kill and go on until all is done; gives how often jobs and queues were killed, and starts."""
    due: dict[str, float] = {}
    killed: set[str] = set()
    queues = starts = 0
    while True:
        queue, starts = start(folder, jobs, slots), starts + 1
        while queue.poll() is None:
            time.sleep(0.02)
            for row in attempts(folder):
                job = row["job"]
                if row["ended"] or job in killed or not (folder / job / "config.yaml").is_file():
                    continue
                due.setdefault(job, time.time() + rng.uniform(0, 4))
                if time.time() > due[job] and Path(f"/proc/{row['process']}").exists():
                    os.kill(int(row["process"]), signal.SIGKILL)
                    killed.add(job)
            if queues < 2 and len(killed) >= QUEUE_KILLS[queues] * jobs:
                queue.kill()
                queues += 1
        if queue.wait() == 0:
            return len(killed), queues, starts


def differences(run: Path, expected: Path) -> list[str]:
    found = []
    one, other = (load_file(folder / "best.safetensors") for folder in (run, expected))
    if one.keys() != other.keys() or any((one[key] != other[key]).any() for key in one):
        found.append("best.safetensors")
    tables = [pd.read_csv(f / "metrics.csv").iloc[:, :10] for f in (run, expected)]
    if not tables[0].equals(tables[1]):
        found.append("metrics.csv")
    for name in ("predictions.csv", "metrics.json"):
        if (run / "eval/test" / name).read_bytes() != (expected / "eval/test" / name).read_bytes():
            found.append(name)
    return found


def repeated(folder: Path, jobs: int) -> list[str]:
    """Epochs that were trained twice, and jobs that were begun after they had ended well."""
    found = []
    for job in map(str, range(jobs)):
        epochs = re.findall(r"epoch (\d+)/\d+ ", (folder / job / "train.log").read_text())
        found += [f"job {job}, epoch {e}" for e, n in collections.Counter(epochs).items() if n > 1]
        states = [row["result"] for row in attempts(folder) if row["job"] == job]
        if "completed" in states[:-1]:
            found.append(f"job {job}, after its end")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    whole, cut = asked.out / "whole", asked.out / "cut"
    begun = time.time()
    if start(whole, asked.jobs, asked.slots).wait():
        sys.exit(f"the undisturbed sweep failed: {asked.out / 'whole.log'}")
    seconds = time.time() - begun
    killed, queues, starts = disturb(cut, asked.jobs, asked.slots, random.Random(asked.seed))
    unequal = [
        f"{n}: {', '.join(d)}"
        for n in map(str, range(asked.jobs))
        if (d := differences(cut / n, whole / n))
    ]
    record = {
        "jobs": asked.jobs, "slots": asked.slots, "jobs killed": killed, "queues killed": queues,
        "starts of the queue": starts, "attempts": len(attempts(cut)), "unequal": unequal,
        "repeated": repeated(cut, asked.jobs), "seconds undisturbed": round(seconds, 1),
        "seconds disturbed": round(time.time() - begun - seconds, 1),
        "load average": [round(n, 1) for n in os.getloadavg()],
    }  # fmt: skip
    print(json.dumps(record, indent=2))
    sys.exit(bool(unequal or record["repeated"] or killed < asked.jobs or queues < 2))


if __name__ == "__main__":
    main()
