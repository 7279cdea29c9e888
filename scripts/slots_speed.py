"""How much sooner equal jobs on two slots are done than one after the other, and what is lost.

    python scripts/slots_speed.py OUT [--jobs 8] [--slots 2] [--epochs 60] [--rounds 1]

OUT: a new folder for the sweeps. Both halves are the same queue with the same jobs, on one slot and
on several, one thread each, and take turns; the data are decoded before. In a quiet moment it takes
two to four minutes on two cores.

The wall clock depends on what else the machine does. What the queue itself loses hardly does: how
long a slot is free while jobs wait, and how long the process of a job takes to its first word.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pandas as pd

SETTINGS = [
    "debug=tiny", "data.patients=24", "data.limit=null", "data.image_size=48", "model=cnn",
    "device=cpu", "model.backbone.widths=[4,4]", "train.tensorboard=false",
    "train.early_stopping.patience=null", "eval.heatmaps=0", "eval.examples=0", "eval.views=1",
]  # fmt: skip
CODE = "import sys; sys.argv[0] = 'bt-train'; from braintumor.cli.train import main; main()"
ROWS = (
    ("first job's start to last job's end, s", "span"),
    ("the whole command, s", "command"),
    ("processor seconds, all processes", "processor"),
    ("a job, mean s", "job"),
    ("of it before its first line, mean s", "start_up"),
    ("a slot free while jobs wait: mean ms", "gap"),
    ("the longest, ms", "longest_gap"),
    ("slots at work, share of the span", "busy"),
)


def measure(folder: Path, jobs: int, slots: int, epochs: int) -> dict[str, float]:
    """The figures of a sweep, by the names in ROWS."""
    words = [*SETTINGS, f"train.max_epochs={epochs}", f"seed={','.join(map(str, range(jobs)))}"]
    words += [f"hydra.sweep.dir={folder}", "hydra/launcher=gpus", f"hydra.launcher.slots={slots}"]
    begun, used = time.time(), _processor_s()
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-c", CODE, "-m", *words], stdout=log, stderr=log, check=False,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    figures = {"command": time.time() - begun, "processor": _processor_s() - used}
    if done.returncode:
        sys.exit(f"the sweep failed: {folder.parent / folder.name}.log")
    table = pd.read_csv(folder / "jobs.csv", parse_dates=["started", "ended"])
    length = (table["ended"] - table["started"]).dt.total_seconds()
    span = (table["ended"].max() - table["started"].min()).total_seconds()
    by_slot = table.sort_values("started").groupby("slot")
    gaps = (table["started"] - by_slot["ended"].shift()).dropna().dt.total_seconds() * 1000
    start_ups = [
        (_first_line(folder / str(row.job)) - row.started).total_seconds()
        for row in table.itertuples()
    ]
    return figures | {
        "span": span, "job": length.mean(), "start_up": sum(start_ups) / len(start_ups),
        "gap": gaps.mean(), "longest_gap": gaps.max(), "busy": length.sum() / (slots * span),
    }  # fmt: skip


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _first_line(run: Path) -> datetime:
    return datetime.strptime((run / "train.log").read_text()[:23], "%Y-%m-%d %H:%M:%S,%f")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    measure(asked.out / "warm_up", 1, 1, 1)  # fills the cache of the data
    ratios = []
    for number in range(asked.rounds):
        halves = [1, asked.slots] if number % 2 == 0 else [asked.slots, 1]
        seen = {
            slots: measure(asked.out / f"{number}_on_{slots}", asked.jobs, slots, asked.epochs)
            for slots in halves
        }
        one, several = seen[1], seen[asked.slots]
        ratios.append(one["span"] / several["span"])
        print(f"\n| {asked.jobs} jobs | one slot | {asked.slots} slots |\n|---|---:|---:|")
        for words, name in ROWS:
            print(f"| {words} | {_text(name, one[name])} | {_text(name, several[name])} |")
        print(f"| times as fast | 1 | {ratios[-1]:.2f} |", flush=True)
    load = ", ".join(f"{n:.1f}" for n in os.getloadavg())
    print(f"\n{os.cpu_count()} cores; load average over 1, 5 and 15 minutes at the end: {load}.")
    if asked.rounds > 1:
        print(f"Times as fast: {', '.join(f'{ratio:.2f}' for ratio in ratios)}.")


def _text(name: str, value: float) -> str:
    return f"{value:.3f}" if name == "busy" else f"{value:.0f}" if "gap" in name else f"{value:.1f}"


if __name__ == "__main__":
    main()
