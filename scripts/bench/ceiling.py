"""What the network alone allows: pictures that lie on the device, and the roofline under them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.job import Job
from bench.network import Network, adamw, autocast, precision, synchronize, tune

CLASSES = 4
Step = Callable[[], None]


def measure(job: Job) -> dict[str, Any]:
    """Images/s of three works on synthetic pictures, and their roofline.

    works: forward (evaluation), frozen (an epoch's step with a frozen backbone), full (a step of
    fine-tuning). On CUDA each also as a CUDA graph, which spares the launches.
    """
    from braintumor.runtime import keep_big_blocks

    keep_big_blocks()  # or a CPU would spend its time on returning memory
    tune(job)
    torch.manual_seed(0)
    matmul, copy = _matmul_rate(job), _copy_rate(job)
    works: dict[str, Any] = {}
    for work in ("forward", "frozen", "full"):
        step, flops, bytes_ = _step(job, work)
        roof = max(flops / matmul, bytes_ / copy)
        works[work] = {
            "images_per_s": job.batch_size / _seconds(step),
            "graph_images_per_s": None,
            "gflop_per_image": flops / job.batch_size / 1e9,
            "mb_per_image": bytes_ / job.batch_size / 1e6,
            "roofline_images_per_s": job.batch_size / roof,
            "bound_by": "arithmetic" if flops / matmul > bytes_ / copy else "memory",
        }
        if job.device == "cuda":
            works[work]["graph_images_per_s"] = job.batch_size / _seconds(_graphed(step))
    rates = {"matmul_tflops": matmul / 1e12, "copy_gb_s": copy / 1e9}
    return {"works": works, "rates": rates, "seconds": 0.0, "images": 0, "epochs": []}


def _step(job: Job, work: str) -> tuple[Step, float, float]:
    """A step of the work, its FLOPs, and the fewest bytes that layer-by-layer execution moves.

    A backward pass counts as two forward passes, in both: it reads what forward left and the
    gradient of the output, and makes two gradients. (torch's counter has no groups in the
    backward pass of a convolution, and gives a depthwise one many times its work.)
    """
    net = Network(job, CLASSES)
    net.is_frozen = work == "frozen"
    net.classifier.set_trainable("head" if work == "frozen" else "all")
    x = torch.randn(job.batch_size, 3, job.px, job.px, device=job.device)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.randint(CLASSES, (job.batch_size,), device=job.device)
    passes = 3 if work == "full" else 1

    @torch.no_grad()
    def forward() -> None:
        with autocast(job):
            net(x)

    net.eval()
    with FlopCounterMode(display=False) as counter:  # two for a multiply-add
        forward()
    counted = passes * float(counter.get_total_flops()), passes * _bytes(job, net, forward)
    if work == "forward":
        return forward, *counted
    net.train()
    optimizer, loss_of = adamw(job, net), nn.CrossEntropyLoss()
    for group in optimizer.param_groups:
        group["capturable"] = job.device == "cuda"  # its step may become part of a graph

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(job):
            loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()

    return train, *counted


def _bytes(job: Job, net: Network, forward: Step) -> float:
    """Every layer reads its input and weights once and writes its output once."""
    size, total = torch.finfo(precision(job)).bits // 8, 0

    def count(module: nn.Module, inputs: tuple, output: Any) -> None:
        nonlocal total
        tensors = [t for t in (*inputs, output) if isinstance(t, Tensor)]
        total += size * sum(t.numel() for t in [*tensors, *module.parameters(recurse=False)])

    leaves = [m for m in net.modules() if not list(m.children()) and not isinstance(m, nn.Identity)]
    hooks = [module.register_forward_hook(count) for module in leaves]
    forward()
    for hook in hooks:
        hook.remove()
    return float(total)


def _graphed(step: Step) -> Step:
    """The step as one CUDA graph. Warmed up beside the default stream, as capturing asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _seconds(step: Step) -> float:
    """Median seconds of a step: at least 5 and half a second of them, in blocks under one wait."""
    for _ in range(3):
        step()
    synchronize()
    block = 10 if torch.cuda.is_available() else 1  # a wait at every step would leave gaps
    times: list[float] = []
    while len(times) < 5 or sum(times) * block < 0.5:
        began = time.perf_counter()
        for _ in range(block):
            step()
        synchronize()
        times.append((time.perf_counter() - began) / block)
    return statistics.median(times)


def _matmul_rate(job: Job) -> float:
    """FLOP/s of a large matrix product of random numbers in the precision of the training."""
    side = 8192 if job.device == "cuda" else 1024
    a, b = (torch.randn(side, side, device=job.device, dtype=precision(job)) for _ in range(2))
    return 2 * side**3 / _seconds(lambda: torch.matmul(a, b))


def _copy_rate(job: Job) -> float:
    """Bytes/s of a copy that no cache holds, counting those read and those written."""
    size = 1 << (32 if job.device == "cuda" else 28)
    source = torch.ones(size, device=job.device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * size / _seconds(lambda: target.copy_(source))
