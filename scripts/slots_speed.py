"""How much sooner equal jobs on two slots are done than one after the other.

    python scripts/slots_speed.py OUT [--jobs 8] [--slots 2] [--epochs 60] [--rounds 1]

OUT: a new folder for the sweeps. Both halves are the same queue with the same jobs, on one slot and
on several, one thread each, and take turns; the data are decoded before. In a quiet moment it takes
two to four minutes on two cores. Each half counts from the start of its first job to the end of its
last; the whole command is given beside it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

SETTINGS = [
    "debug=tiny", "data.patients=24", "data.limit=null", "data.image_size=48", "model=cnn",
    "device=cpu", "model.backbone.widths=[4,4]", "train.tensorboard=false",
    "train.early_stopping.patience=null", "eval.heatmaps=0", "eval.examples=0", "eval.views=1",
]  # fmt: skip
CODE = "import sys; sys.argv[0] = 'bt-train'; from braintumor.cli.train import main; main()"


def measure(folder: Path, jobs: int, slots: int, epochs: int) -> dict[str, float]:
    """Seconds of a sweep: of its jobs, and of the command."""
    words = [*SETTINGS, f"train.max_epochs={epochs}", f"seed={','.join(map(str, range(jobs)))}"]
    words += [f"hydra.sweep.dir={folder}", "hydra/launcher=gpus", f"hydra.launcher.slots={slots}"]
    begun = time.time()
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-c", CODE, "-m", *words], stdout=log, stderr=log, check=False,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    command_s = time.time() - begun
    if done.returncode:
        sys.exit(f"the sweep failed: {folder.parent / folder.name}.log")
    rows = list(csv.DictReader((folder / "jobs.csv").read_text().splitlines()))
    times = [datetime.fromisoformat(row[key]) for row in rows for key in ("started", "ended")]
    return {"jobs_s": (max(times) - min(times)).total_seconds(), "command_s": command_s}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    measure(asked.out / "warm_up", 1, 1, 1)  # fills the cache of the data
    rounds = []
    for number in range(asked.rounds):
        halves = [1, asked.slots] if number % 2 == 0 else [asked.slots, 1]
        seconds = {
            slots: measure(asked.out / f"{number}_on_{slots}", asked.jobs, slots, asked.epochs)
            for slots in halves
        }
        ratio = seconds[1]["jobs_s"] / seconds[asked.slots]["jobs_s"]
        rounds.append({"one": seconds[1], "several": seconds[asked.slots], "ratio": ratio})
    record = {
        "jobs": asked.jobs, "slots": asked.slots, "epochs": asked.epochs, "rounds": rounds,
        "cores": os.cpu_count(), "load average": [round(n, 1) for n in os.getloadavg()],
    }  # fmt: skip
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
