"""create_dataset and create_loader with timm's own augmentation, in the loop of its train.py."""

from __future__ import annotations

import torch
from timm.data import create_dataset, create_loader
from torchvision.transforms import InterpolationMode, RandomRotation

from bench.job import Job, Watch
from bench.network import Batches, Network, count_right, precision, usual_loop

SETTINGS = (
    "create_dataset, create_loader (crop of .85-1 of the area, flip .5, color_jitter .1/.1, and a "
    "rotation of 10 degrees added; the last batch of fewer images is left out, as timm does), "
    "persistent workers, prefetcher on CUDA; loop as for torchvision"
)


def loader(job: Job, net: Network, split: str) -> Batches:
    """Normalised batches of one split; shuffled and augmented when it is train."""
    is_train, is_cuda = split == "train", job.device == "cuda"
    dataset = create_dataset(
        "", f"{job.folder}/{split}", split=split, search_split=False, is_training=is_train
    )
    mean, std = net.norm
    batches = create_loader(
        dataset,
        input_size=(3, job.px, job.px),
        batch_size=job.batch_size,
        is_training=is_train,
        scale=(0.85, 1.0),
        ratio=(0.95, 1.05),
        hflip=0.5,
        color_jitter=(0.1, 0.1, 0.0),
        interpolation="bilinear",
        mean=mean,
        std=std,
        crop_pct=1.0,
        num_workers=job.workers,
        pin_memory=is_cuda,
        use_prefetcher=is_cuda,
        img_dtype=precision(job),
        device=torch.device(job.device),
    )
    if is_train:
        steps = dataset.transform.transforms
        steps.insert(1, RandomRotation(10, InterpolationMode.BILINEAR))
    return batches


def fit(job: Job, net: Network, watch: Watch) -> None:
    usual_loop(job, net, loader(job, net, "train"), loader(job, net, "val"), watch)


def test(job: Job, net: Network) -> tuple[int, int]:
    """Right predictions, and of how many."""
    return count_right(job, net, loader(job, net, "test"))
