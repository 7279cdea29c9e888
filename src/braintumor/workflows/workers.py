"""The workers of a search on this computer, a process each with a share of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from braintumor.runtime import cores
from braintumor.workflows.console import log
from braintumor.workflows.search import Search, as_argument

_END_S = 60  # for a worker to put its trial back


@contextmanager
def start_workers(search: Search) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that do trials, whose lines are ours; they end with us, however we end."""
    count = search.settings.workers
    command = [sys.executable, "-m", "braintumor.workflows.trials"]
    processes = [
        subprocess.Popen(  # noqa: S603 (ourselves)
            [*command, as_argument(search, number)],
            env=os.environ | _share_of(number, count),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C comes to us alone; its input then ends
        )
        for number in range(count)
    ]
    readers = [threading.Thread(target=_pass_on, args=(process,)) for process in processes]
    try:
        for reader in readers:
            reader.start()
        yield processes
    finally:
        for process in processes:
            process.stdin.close()  # type: ignore[union-attr]
        for process in processes:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
        for reader in readers:
            reader.join()


def _pass_on(process: subprocess.Popen[str]) -> None:
    for line in process.stdout:  # type: ignore[union-attr]
        log.info("%s", line.rstrip())


def _share_of(number: int, count: int) -> dict[str, str]:
    """The part of this computer that one of several workers gets: a GPU, or some cores."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else list(map(str, range(torch.cuda.device_count())))
    threads = {"OMP_NUM_THREADS": str(max(cores() // count, 1))}
    return threads | ({"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {})
