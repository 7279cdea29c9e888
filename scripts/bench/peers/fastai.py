"""ImageDataLoaders, batch transforms and Learner of fastai."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path

import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.vision.all import (
    Callback,
    CrossEntropyLossFlat,
    ImageDataLoaders,
    Learner,
    Normalize,
    OptimWrapper,
    Resize,
    ResizeMethod,
    aug_transforms,
)

from bench.job import Job, Watch
from bench.network import Network, precision

SETTINGS = (
    "ImageDataLoaders.from_folder, aug_transforms in batches on the device (flip .5, 10 degrees, "
    "zoom to 1.1, lighting .1, no warp; the last batch of fewer images is left out, as fastai "
    "does), persistent workers, ChannelsLast, bf16 on CUDA, OptimWrapper around fused AdamW, no "
    "progress bar"
)


class Timer(Callback):
    """Tells the watch of epochs; the counts stay on the device."""

    def __init__(self, watch: Watch | None) -> None:
        self.watch = watch

    def before_train(self) -> None:
        self.total, self.images = 0.0, 0
        if self.watch:
            self.watch.train_begins()

    def before_validate(self) -> None:
        if self.watch and self.images:
            self.watch.train_ends(float(self.total) / self.images, self.images)
        self.total, self.images = 0, 0

    def after_batch(self) -> None:
        loss, y = self.learn.loss, self.learn.y
        hits = (self.learn.pred.argmax(dim=1) == y).sum()
        self.total = self.total + (loss.detach() * len(y) if self.learn.training else hits)
        self.images += len(y)

    def after_validate(self) -> None:
        if self.watch:
            self.watch.val_ends(float(self.total) / self.images)


def fit(job: Job, net: Network, watch: Watch) -> None:
    _learner(job, net, "val", Timer(watch)).fit(job.epochs, job.lr)


def test(job: Job, net: Network) -> tuple[int, int]:
    """Right predictions, and of how many."""
    timer = Timer(None)
    _learner(job, net, "test", timer).validate()
    return int(timer.total), timer.images


def _learner(job: Job, net: Network, valid: str, timer: Timer) -> Learner:
    warnings.filterwarnings("ignore", module="fastai")
    mean, std = net.norm
    moves = aug_transforms(max_rotate=10.0, max_zoom=1.1, max_lighting=0.1, max_warp=0.0)
    data = ImageDataLoaders.from_folder(
        Path(job.folder),
        train="train",
        valid=valid,
        bs=job.batch_size,
        num_workers=job.workers,
        persistent_workers=job.workers > 0,
        item_tfms=Resize(job.px, method=ResizeMethod.Squish),
        batch_tfms=[*moves, Normalize.from_stats(mean, std)],
        device=torch.device(job.device),
    )
    callbacks = [timer, ChannelsLast()]
    if precision(job) == torch.bfloat16:
        callbacks.append(MixedPrecision(AMPMode.BF16))
    learner = Learner(
        data,
        net,
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(OptimWrapper, opt=partial(torch.optim.AdamW, fused=True)),
        lr=job.lr,
        wd=0.05,
        cbs=callbacks,
        path=Path(job.place),
    )
    learner.remove_cbs([cb for cb in learner.cbs if cb.name in ("progress", "recorder")])
    return learner
