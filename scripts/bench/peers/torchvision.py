"""ImageFolder, DataLoader and the usual loop, as in the tutorials of PyTorch."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode, v2

from bench.job import Job, Watch
from bench.network import Network, count_right, usual_loop

SETTINGS = (
    "ImageFolder (Pillow), transforms.v2 (flip .5, affine: 10 degrees, shift .05, zoom .9-1.1, "
    "ColorJitter .1/.1), DataLoader with persistent workers, pinned memory on CUDA; loop without "
    "host-device waits, autocast, fused AdamW, channels_last, cudnn.benchmark"
)


def loader(job: Job, net: Network, split: str) -> DataLoader:
    """Normalised batches of one split; shuffled and augmented when it is train."""
    is_train = split == "train"
    moves = [
        v2.RandomHorizontalFlip(0.5),
        v2.RandomAffine(10, (0.05, 0.05), (0.9, 1.1), interpolation=InterpolationMode.BILINEAR),
        v2.ColorJitter(brightness=0.1, contrast=0.1),
    ]
    transform = v2.Compose(
        [
            v2.Resize((job.px, job.px), antialias=True),  # nothing to do for pictures of that size
            *(moves if is_train else []),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(*net.norm),
        ]
    )
    return DataLoader(
        ImageFolder(f"{job.folder}/{split}", transform),
        batch_size=job.batch_size,
        shuffle=is_train,
        num_workers=job.workers,
        persistent_workers=job.workers > 0,
        pin_memory=job.device == "cuda",
    )


def fit(job: Job, net: Network, watch: Watch) -> None:
    usual_loop(job, net, loader(job, net, "train"), loader(job, net, "val"), watch)


def test(job: Job, net: Network) -> tuple[int, int]:
    """Right predictions, and of how many."""
    return count_right(job, net, loader(job, net, "test"))
