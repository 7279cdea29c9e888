"""What one child process is asked to do, and what it answers. No torch here."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OURS = {"ours": "ours", "again": "ours, second run"}  # name -> how the tables call it
PEERS = {
    "torchvision": "torchvision ImageFolder and a loop",
    "timm": "timm loader and a loop",
    "lightning": "Lightning",
    "fastai": "fastai",
}
LABELS = OURS | PEERS


@dataclass(frozen=True)
class Job:
    """One contestant's share of one measurement.

    kind: frozen and full (train), eval, sweep (ours alone), ceiling.
    root: the data set as ours reads it.  folder: the same images as train/, val/, test/ with a
    folder a class, for the peers.  weights: a file, or none.
    cache, place: folders for what ours keeps between runs, and for what this job leaves.
    ckpt: a finished run of ours, for eval.  options: further settings of ours;
    those of the model, such as model.attention.dim=null, hold for all.
    born: time.time() when the child was started.
    """

    contestant: str
    kind: str
    attention: str
    model: str
    px: int
    batch_size: int
    epochs: int
    lr: float
    device: str
    workers: int
    root: str
    folder: str
    limit: int | None
    weights: str
    cache: str
    place: str
    ckpt: str
    heads: int
    options: tuple[str, ...]
    born: float = field(default=0.0)

    @property
    def what(self) -> str:
        """The measurement that this is a part of."""
        return f"{self.kind}/{self.attention}"

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self)))


def read_job(path: Path) -> Job:
    content = json.loads(path.read_text())
    return Job(**content | {"options": tuple(content["options"])})


class Watch:
    """Epochs as they pass; every peer calls the same four methods at the same moments.

    `synchronize` waits for the device, so that no epoch hands its work to the next one.
    """

    def __init__(self, synchronize: Any) -> None:
        self.epochs: list[dict[str, float]] = []
        self.first_step_at = 0.0  # time.time(); the loaders are built, the workers not yet up
        self._synchronize = synchronize
        self._since = 0.0

    def train_begins(self) -> None:
        self.first_step_at = self.first_step_at or time.time()
        self._since = time.perf_counter()

    def train_ends(self, loss: float, images: int) -> None:
        """loss: mean over the images of the epoch, in nats."""
        self._synchronize()
        now = time.perf_counter()
        self.epochs.append({"train_s": now - self._since, "images": images, "loss": loss})
        self._since = now

    def val_ends(self, accuracy: float) -> None:
        self._synchronize()
        self.epochs[-1] |= {"val_s": time.perf_counter() - self._since, "val_accuracy": accuracy}
