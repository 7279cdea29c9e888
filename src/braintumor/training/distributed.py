"""Several processes that train one model as one would: each takes a part of every batch.

A step ends in one sum over all processes: of gradients, loss, hits and the weight of the images.
The batch size is that of all together; orders and draws are those of one process.
"""

# B batch, N images, K classes

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from braintumor.data.tensors import Part
from braintumor.errors import ConfigError

_STEP = timedelta(minutes=10)  # longer than a step, or the writing of an epoch, may take
_WAIT = timedelta(days=2)  # for the first process, which reads data and computes features alone
_LEAST = 2  # images of a process: batch norm has no variance of one
_patient: list[dist.ProcessGroup] = []  # the group that waits for long, while there is one


@dataclass(frozen=True)
class Team:
    """The processes that train together. rank: of this one; 0 leads and alone writes."""

    rank: int = 0
    size: int = 1

    def part(self, count: int) -> Part | None:
        """What this process has of a batch of `count`; None is all of it.

        So it is alone, and where there are too few images for so many, in a set smaller than a
        batch: it is then computed by all, and the mean of equal gradients is the same gradient.
        """
        if self.size == 1 or count < _LEAST * self.size:
            return None
        return Part(self.rank, self.size, count)

    def check(self, batch_size: int) -> None:
        """Raises ConfigError where a batch has too few images for so many."""
        if self.size > 1 and batch_size < _LEAST * self.size:
            raise ConfigError(
                f"train.batch_size={batch_size} is shared out among all processes, and {self.size} "
                f"need {_LEAST * self.size} or more; give train.batch_size={64 * self.size} (and "
                "mind the learning rate), or start fewer processes"
            )

    def all_logits(self, logits_PK: Tensor, part: Part | None) -> Tensor:
        """Of all images, in their order (N, K), from those of each process's part (P, K)."""
        if part is None:
            return logits_PK
        longest = -(-part.count // self.size)
        padded = logits_PK.new_zeros(longest, logits_PK.shape[1])
        padded[: len(logits_PK)] = logits_PK
        gathered = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(gathered, padded)
        return torch.stack(gathered, dim=1).flatten(0, 1)[: part.count]

    def agree(self, figures: Mapping[str, float], device: torch.device) -> dict[str, float]:
        """The figures as the first process has them, to the bit: all stop, or go on, together."""
        if self.size == 1:
            return dict(figures)
        values = torch.tensor(list(figures.values()), dtype=torch.float64, device=device)
        dist.broadcast(values, src=0)
        return dict(zip(figures, values.tolist(), strict=True))

    def align(self, model: nn.Module) -> None:
        """Give all the first process's weights: another machine may have drawn others."""
        if self.size > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor.detach(), src=0)

    @torch.no_grad()
    def average_norms(self, trained: nn.Module, averaged: nn.Module | None) -> None:
        """Give all the mean of the statistics of batch norm, which each has of its own images.

        trained: in training mode; what rests is equal anyway.  averaged: its moving average, of
        which the same holds, as both means are linear.
        Source: timm's distribute_bn; SyncBN would take the statistics of the whole batch.
        """
        if self.size == 1:
            return
        names = [
            f"{path}.{name}"
            for path, module in trained.named_modules()
            if isinstance(module, _BatchNorm) and module.training
            for name in ("running_mean", "running_var")
            if getattr(module, name) is not None
        ]
        tensors = [m.get_buffer(name) for m in (trained, averaged) if m for name in names]
        if tensors:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            dist.all_reduce(flat)
            _spread(flat / self.size, tensors)

    @contextmanager
    def first(self) -> Iterator[None]:
        """The first process does the block before the others do, which find what it has kept."""
        if self.rank:
            self.wait()
        yield
        if not self.rank:
            self.wait()

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier(_patient[0])

    def tell(self, told: Any = None) -> Any:
        """What the first process says, which the others wait for."""
        if self.size == 1:
            return told
        said = [told]
        dist.broadcast_object_list(said, src=0, group=_patient[0], device=torch.device("cpu"))
        return said[0]


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum over all processes in which a step ends.

    class_weights: float (K,) of the loss, or None.
    """

    team: Team
    class_weights: Tensor | None

    def share(self, target: Tensor, part: Part | None) -> Tensor:
        """What the mean loss of this process's images counts for, () on the device.

        Weights by class included; about the images it has by those of the batch.
        """
        count = len(target) if part is None else part.count
        if self.class_weights is None:
            weight = torch.full((), float(len(target)), device=target.device)
        elif target.ndim == 1:
            weight = self.class_weights[target].sum()
        else:
            weight = (target * self.class_weights).sum()
        return weight / count

    @torch.no_grad()
    def over_all(
        self,
        trained: Sequence[nn.Parameter],
        part: Part | None,
        share: Tensor,
        figures: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Make gradients those of the whole batch; its mean loss and its hits, both ().

        trained: their gradients are of loss * share.  figures: loss and hits of these images.
        """
        loss, hits = figures
        grads = [p.grad for p in trained if p.grad is not None]
        sums = torch.stack([share, loss * share, hits.to(share.dtype)])
        flat = torch.cat([*(grad.reshape(-1) for grad in grads), sums])
        dist.all_reduce(flat)
        whole, total, right = flat[-3:]
        flat[:-3] /= whole
        _spread(flat[:-3], grads)
        copies = 1 if part else self.team.size  # all have had the same images
        return total / whole, (right / copies).round().long()


def _spread(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy the flat values into the tensors that they came from."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


def synchronize_norms(model: nn.Module) -> None:
    """Let batch norm take its statistics from the images of all processes; on GPUs.

    In place, as stages of a backbone are lists of its modules. Names of tensors stay.
    Source: torch's and timm's convert_sync_batchnorm, which make new modules.
    """
    # who trains alone, or a network of our own, would wait for timm
    from timm.layers.norm_act import BatchNormAct2d, SyncBatchNormAct

    for module in model.modules():
        if isinstance(module, BatchNormAct2d):
            module.__class__ = SyncBatchNormAct  # type: ignore[assignment]
        elif isinstance(module, _BatchNorm):
            module.__class__ = nn.SyncBatchNorm
        else:
            continue
        module.process_group = None  # type: ignore[assignment]


def team() -> Team:
    """The processes of this training; one, alone, unless `begin` was called."""
    return Team(dist.get_rank(), dist.get_world_size()) if _patient else Team()


def begin() -> Team:
    """Join the other processes that torchrun started."""
    both = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(both, timeout=_STEP)
    # of the CPU: who waits needs no GPU, and NCCL would end who waits longer than a step
    _patient.append(dist.new_group(backend="gloo", timeout=_WAIT))
    return team()


def end() -> None:
    """Leave the others; from then on this process is alone."""
    if _patient:
        _patient.clear()
        dist.destroy_process_group()
