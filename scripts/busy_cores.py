"""How fast training is beside other programs, with and without what `share_cores` sets.

    python scripts/busy_cores.py        # six minutes; needs a CPU with nothing else to do

Steps of mobilenetv2_035 at 128 px in batches of 64, one thread a core, beside 0, 1, 2 and 4
programs that are never done. The two ways take turns; each number is of a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import timm
import torch
from torch.nn import functional as F

from braintumor.runtime import keep_big_blocks

ROUNDS, SECONDS = 3, 6.0
WAYS = {"as the library has it": {}, "as the commands set it": {"GOMP_SPINCOUNT": "10000"}}


def images_per_s() -> float:
    """Of training steps in this process."""
    keep_big_blocks()
    layout = torch.channels_last
    model = timm.create_model("mobilenetv2_035", num_classes=4).to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    x, y = torch.randn(64, 3, 128, 128).to(memory_format=layout), torch.randint(0, 4, (64,))
    steps, started = -1, 0.0
    while steps < 1 or time.perf_counter() - started < SECONDS:
        started = started if steps else time.perf_counter()  # after the first, which warms up
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        steps += 1
    return steps * len(x) / (time.perf_counter() - started)


def main() -> None:
    """Print a line for each number of programs."""
    known = {k: v for k, v in os.environ.items() if "OMP_" not in k}
    for programs in (0, 1, 2, 4):
        busy = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)
        ]
        found: dict[str, list[str]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way, setting in WAYS.items():
                command = [sys.executable, __file__, "measure"]
                done = subprocess.run(command, env=known | setting, capture_output=True, text=True)
                found[way].append(done.stdout.strip())
        for program in busy:
            program.kill()
        print(programs, "programs", found, flush=True)


if __name__ == "__main__":
    print(f"{images_per_s():.1f}") if sys.argv[1:] else main()
