"""LightningModule and Trainer over the loaders of the torchvision contestant."""

from __future__ import annotations

import logging
import warnings

import lightning
import torch
from torch import Tensor, nn

from bench.job import Job, Watch
from bench.network import Network, adamw, precision
from bench.peers.torchvision import loader

SETTINGS = (
    "Trainer(precision=bf16-mixed on CUDA, 32-true on a CPU; benchmark=True, no logger, no "
    "progress bar, no checkpoints), data, optimizer and memory layout as for torchvision"
)


class Module(lightning.LightningModule):
    """The network with its steps, and counts that stay on the device."""

    def __init__(self, job: Job, net: Network, watch: Watch | None) -> None:
        super().__init__()
        self.job, self.net, self.watch = job, net, watch
        self.loss_of = nn.CrossEntropyLoss()
        self._reset()

    def _reset(self) -> None:
        self.total: Tensor | float = 0.0
        self.images = 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adamw(self.job, self.net)

    def on_train_epoch_start(self) -> None:
        self._reset()
        if self.watch:
            self.watch.train_begins()

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, y = batch
        loss = self.loss_of(self.net(x), y)
        self.total += loss.detach() * len(y)
        self.images += len(y)
        return loss

    def on_validation_epoch_start(self) -> None:
        if self.watch:
            self.watch.train_ends(float(self.total) / self.images, self.images)
        self._reset()

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        x, y = batch
        self.total += (self.net(x).argmax(dim=1) == y).sum()
        self.images += len(y)

    def on_validation_epoch_end(self) -> None:
        if self.watch:
            self.watch.val_ends(float(self.total) / self.images)


def fit(job: Job, net: Network, watch: Watch) -> None:
    module = Module(job, net, watch)
    _trainer(job).fit(module, loader(job, net, "train"), loader(job, net, "val"))


def test(job: Job, net: Network) -> tuple[int, int]:
    """Right predictions, and of how many."""
    module = Module(job, net, None)
    _trainer(job).validate(module, loader(job, net, "test"), verbose=False)
    return int(module.total), module.images


def _trainer(job: Job) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    return lightning.Trainer(
        max_epochs=job.epochs,
        accelerator="gpu" if job.device == "cuda" else "cpu",
        devices=1,
        precision="32-true" if precision(job) == torch.float32 else "bf16-mixed",
        benchmark=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=job.place,
    )
