"""The machine under a benchmark, and what is installed on it. No torch here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from bench.job import PEERS


def is_installed(contestant: str) -> bool:
    return contestant not in PEERS or importlib.util.find_spec(contestant) is not None


def describe(device: str) -> dict[str, Any]:
    """What a reader needs to compare: cores, GPU, load, versions, commit."""
    known = [name for name in ("torch", *PEERS) if importlib.util.find_spec(name) is not None]
    gpu = _gpu() if device == "cuda" else None
    return {
        "name": gpu or f"{cores()} CPU cores",
        "description": f"{cores()} cores of {platform.machine()}, "
        + (f"one {gpu}" if gpu else "no GPU in use")
        + f", load {os.getloadavg()[0]:.1f} at the start",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in known},
        "commit": _first_line("git", "describe", "--always", "--dirty=+changes") or "unknown",
    }


def cores() -> int:
    """Of this process, which may be given fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def has_gpu() -> bool:
    return bool(_first_line("nvidia-smi", "--list-gpus"))


def _gpu() -> str:
    return _first_line("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or "CUDA device"


def _first_line(*command: str) -> str:
    """What a command says first; nothing where there is no such command, or it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0] if lines else ""
