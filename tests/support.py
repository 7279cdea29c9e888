"""What tests of the commands share."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save

from braintumor.cli.train import run as run_train
from braintumor.runs.folder import RunFolder
from braintumor.runs.kinds import STATES
from braintumor.workflows.compose import compose

# bt("train", "seed=1", cwd=folder)
Command = Callable[..., subprocess.CompletedProcess[str]]

# a training of seconds on phantoms
TINY = ["debug=tiny", "data.patients=24", "data.limit=null", "train.tensorboard=false"]
QUICK = [*TINY, "model=cnn", "model.backbone.widths=[4,4]", "eval.heatmaps=0", "eval.examples=0"]


def slowness() -> float:
    """How many times as long as on one core of a machine that is free a piece of work takes now."""
    began = time.perf_counter()
    sum(number * number for number in range(4_000_000))
    return max(1.0, (time.perf_counter() - began) / 0.25)


def train(*overrides: str) -> None:
    """bt-train without its shell: errors are raised, and there is no start-up to wait for."""
    run_train(compose("train", overrides, {}))


def cut(run: Path, *, epochs: bool) -> None:
    """Make a complete run one that was interrupted. epochs: some had ended."""
    for name in ("eval", "plots"):
        shutil.rmtree(run / name)
    if not epochs:
        for name in (*STATES, "metrics.csv", "best.safetensors"):
            (run / name).unlink(missing_ok=True)
    RunFolder(run).set_status("interrupted")


def noise_pictures(root: Path, folders: Iterable[str], count: int = 8, px: int = 32) -> Path:
    """Square pictures in each folder below root, no two of them alike; gives root."""
    rng = np.random.default_rng(0)
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (px, px), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    return root


def tumor_pictures(root: Path, count: int, seed: int = 0) -> None:
    """32 px, as many in no_tumor/ as in glioma/, where a place of all of them is brighter."""
    rng = np.random.default_rng(seed)
    for brightness, name in ((0, "no_tumor"), (90, "glioma")):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 120, (32, 32))
            pixels[8:20, 8:20] += brightness
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")


def unreadable_pictures(root: Path) -> None:
    """Two classes of files that are called pictures, and none of which can be read."""
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number in range(20):
            (root / name / f"{number}.png").write_text("no picture")


def write_checkpoint(path: Path, tensors: dict[str, np.ndarray], card: Mapping[str, Any]) -> None:
    """A best.safetensors with whatever card, under a checksum that is right."""
    blank = "braintumor-sha256".ljust(64, ".")
    content = save(tensors, {"braintumor_card": json.dumps(card), "braintumor_sha256": blank})
    digest = hashlib.sha256(content).hexdigest()
    path.write_bytes(content.replace(blank.encode(), digest.encode(), 1))
