"""The network that all contestants train, and the loop that users of plain PyTorch write."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from bench.job import Job, Watch
from braintumor.config import config_dir
from braintumor.models.classifier import build_model
from braintumor.runtime import choose_precision

# B batch, S side of the picture, K classes

Batches = Iterable[tuple[Tensor, Tensor]]


class Network(nn.Module):
    """Normalised pictures float (B, 3, S, S) to logits (B, K): our modules without our input path.

    A frozen backbone runs without gradients, and its batch norms rest.
    """

    def __init__(self, job: Job, num_classes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.classifier = build_model(_section(job), num_classes, job.px)
        self.is_frozen = job.kind == "frozen"
        self.classifier.set_trainable("head" if self.is_frozen else "all")
        self.to(torch.device(job.device), memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def norm(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std of RGB in 0..1, that the weights were trained with."""
        return tuple(self.classifier.backbone.mean), tuple(self.classifier.backbone.std)

    def forward(self, x_B3SS: Tensor) -> Tensor:
        x_B3SS = x_B3SS.contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            features = self.classifier.backbone(x_B3SS)
        return self.classifier.head(self.classifier.attention(features))

    def trained(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if p.requires_grad]


def _section(job: Job) -> dict[str, Any]:
    """The `model` section of model=<model>_<attention> with the job's options, without Hydra."""
    parts = {"backbone": job.model, "attention": job.attention, "head": "default"}
    section = {
        group: yaml.safe_load((config_dir() / "model" / group / f"{name}.yaml").read_text())
        for group, name in parts.items()
    }
    section["backbone"]["weights"] = job.weights
    for option in job.options:
        key, _, value = option.partition("=")
        if key.startswith("model."):
            _, group, name = key.split(".")
            section[group][name] = yaml.safe_load(value)
    return section


def tune(job: Job) -> None:
    """The switches that every guide to fast PyTorch names."""
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")


def autocast(job: Job) -> AbstractContextManager[None]:
    """The precision that ours chooses on this device: bf16 on CUDA, fp32 on a CPU."""
    dtype = precision(job)
    return torch.autocast(job.device, dtype, enabled=dtype != torch.float32)


def precision(job: Job) -> torch.dtype:
    return choose_precision("auto", torch.device(job.device))


def adamw(job: Job, net: Network) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.trained(), lr=job.lr, weight_decay=0.05, fused=True)


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def usual_loop(job: Job, net: Network, train: Batches, val: Batches, watch: Watch) -> None:
    """Epochs of training, each followed by validation; the device is waited for once in each."""
    optimizer, loss_of = adamw(job, net), nn.CrossEntropyLoss()
    for _ in range(job.epochs):
        watch.train_begins()
        net.train()
        total, images = torch.zeros((), device=job.device), 0
        for x, y in on_device(job, train):
            with autocast(job):
                loss = loss_of(net(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(y)
            images += len(y)
        watch.train_ends(total.item() / images, images)
        right, images = count_right(job, net, val)
        watch.val_ends(right / images)


@torch.no_grad()
def count_right(job: Job, net: Network, batches: Batches) -> tuple[int, int]:
    """How many pictures the network names rightly, and of how many."""
    net.eval()
    right, images = torch.zeros((), dtype=torch.long, device=job.device), 0
    for x, y in on_device(job, batches):
        with autocast(job):
            logits_BK = net(x)
        right += (logits_BK.argmax(dim=1) == y).sum()
        images += len(y)
    return int(right.item()), images


def on_device(job: Job, batches: Batches) -> Batches:
    for x, y in batches:
        yield x.to(job.device, non_blocking=True), y.to(job.device, non_blocking=True)
