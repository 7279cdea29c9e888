"""Places where one job at a time runs: a GPU, a share of one, or a share of the cores."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from dataclasses import dataclass

from braintumor.config import checked
from braintumor.errors import ConfigError
from braintumor.machine import cores
from braintumor.ranges import Count


@dataclass(frozen=True)
class Slot:
    """One place. gpu: what CUDA_VISIBLE_DEVICES is there; None: no GPU.  threads: of its job."""

    number: int
    gpu: str | None
    threads: int

    def __str__(self) -> str:
        return f"slot {self.number}" if self.gpu is None else f"GPU {self.gpu}"

    def environment(self) -> dict[str, str]:
        """Of the process of its job: it sees one GPU, and takes its share of the cores."""
        threads = str(self.threads)
        own = dict(os.environ) | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        return own if self.gpu is None else own | {"CUDA_VISIBLE_DEVICES": self.gpu}


def find_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; without torch.

    Asked of nvidia-smi; where there is none, there are no GPUs.
    """
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    if not (program := shutil.which("nvidia-smi")):
        return []
    try:
        asked = subprocess.run(  # noqa: S603
            [program, "--list-gpus"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    found = [line for line in asked.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(found))]


def make_slots(
    wanted: int | None, per_gpu: int | None = 1, *, device: str | int = "auto"
) -> list[Slot]:
    """The slots of this machine.

    wanted: how many at most; None: one for each GPU, or a single one where there is none.
    per_gpu: jobs that share a GPU; None: as many as the wanted slots take, whatever GPUs there are.
    device: what the jobs ask for.
    Raises ConfigError on numbers below 1, and on a device that cannot be shared out.
    """
    for name, number in (("slots", wanted), ("slots_per_gpu", per_gpu)):
        checked(number, Count | None, name)
    gpus = [] if device == "cpu" else find_gpus()
    if per_gpu is None:
        per_gpu = math.ceil((wanted or 1) / max(1, len(gpus)))
    shared: list[str | None] = [gpu for _ in range(per_gpu) for gpu in gpus]
    places = (shared or [None] * (wanted or 1))[:wanted]
    if len(places) > 1 and str(device) not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"device={device} would put every job on one device; leave it out and each gets a GPU "
            "of its own, or say which GPUs there are: CUDA_VISIBLE_DEVICES=0,1 bt-train …"
        )
    threads = max(1, cores() // len(places))
    if (most := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():
        threads = max(1, min(threads, int(most)))  # who has asked for fewer gets fewer
    return [Slot(number, gpu, threads) for number, gpu in enumerate(places)]
