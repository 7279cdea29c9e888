"""One contestant in a process of its own: does its job, and leaves what it measured."""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from bench.job import PEERS, Job, Watch, read_job


def main(path: Path) -> None:
    """Read the job at `path`, do it, write the answer beside it as answer.json."""
    job = read_job(path)
    answer = measure(job)
    (path.parent / "answer.json").write_text(json.dumps(answer))


def measure(job: Job) -> dict[str, Any]:
    """Seconds, epochs, and the peaks of memory of this process.

    Always: seconds of the work without start-up, images of one pass, epochs as Watch has them,
    before_s from the start of the process to the work, rss_mb, worker_rss_mb of the largest
    worker, cuda_mb or None.
    """
    os.environ["BT_CACHE"] = job.cache
    if job.contestant == "synthetic":
        from bench import ceiling

        answer = ceiling.measure(job)
    elif job.contestant in PEERS:
        answer = _peer(job)
    else:
        from bench import ours

        settings = f"{ours.SETTINGS}; {' '.join(job.options)}".rstrip("; ")
        answer = ours.measure(job) | {"settings": settings}
    import torch

    is_cuda = job.device == "cuda"
    return answer | {
        "rss_mb": _rss_mb(resource.RUSAGE_SELF),
        "worker_rss_mb": _rss_mb(resource.RUSAGE_CHILDREN),
        "cuda_mb": torch.cuda.max_memory_allocated() / 1e6 if is_cuda else None,
    }


def _peer(job: Job) -> dict[str, Any]:
    """Train and test, or test alone; like ours it keeps its weights on disk."""
    import torch

    from bench.network import Network, synchronize, tune

    peer = importlib.import_module(f"bench.peers.{job.contestant}")
    tune(job)
    began, before_s = time.perf_counter(), time.time() - job.born
    told = {"settings": peer.SETTINGS}
    num_classes = len([p for p in Path(job.folder, "train").iterdir() if p.is_dir()])
    net = Network(job, num_classes)
    if job.kind == "eval":
        began = time.perf_counter()  # ours has its model loaded by then, too
        right, images = peer.test(job, net)
        seconds = time.perf_counter() - began
        return told | {
            "seconds": seconds, "before_s": before_s, "images": images,
            "accuracy": right / images, "epochs": [],
        }  # fmt: skip
    watch = Watch(synchronize)
    peer.fit(job, net, watch)
    seconds = time.perf_counter() - began
    torch.save(net.state_dict(), Path(job.place, "weights.pt"))
    right, images = peer.test(job, net)
    return told | {
        "seconds": seconds,
        "before_s": watch.first_step_at - job.born,
        "images": watch.epochs[-1]["images"],
        "epochs": watch.epochs,
        "accuracy": right / images,
    }


def _rss_mb(who: int) -> float:
    peak = resource.getrusage(who).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # bytes there, kilobytes here
