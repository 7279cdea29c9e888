"""What of the machine this process may use: cores and memory, also within a container.

A container or a cluster may allow a part of the machine alone; more threads than that would take
turns, and memory beyond it ends the process. Linux says so in files of its control groups.
Source: https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores() -> int:
    """How many cores this process may use, at least 1.

    Those that it may run on, or fewer where it is allowed less time than they have.
    """
    there = cores_to_run_on()
    allowed = [
        *_numbers("cpu", ["cpu.max"], 2),
        *_numbers("cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"], 2),
    ]
    return min([there, *(math.ceil(time / period) for time, period in allowed if time > 0)])


def cores_to_run_on() -> int:
    """Cores on which this process may run, for however short a time."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def memory_bytes() -> int:
    """Memory that this process may have, free or not; sys.maxsize where nothing tells."""
    allowed = [
        *_numbers("memory", ["memory.max"], 1),
        *_numbers("memory", ["memory.limit_in_bytes"], 1),
    ]
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        there = sys.maxsize
    return min([there, *(int(number) for (number,) in allowed)])


def _numbers(controller: str, names: Sequence[str], count: int) -> Iterator[list[float]]:
    """What those files say together, in the control group of this process and in all around it.

    Nothing where there are none, or where they hold other than so many numbers: "max" is no limit.
    """
    for folder in _groups(controller):
        try:
            said = [float(word) for name in names for word in (folder / name).read_text().split()]
        except (OSError, ValueError):
            continue
        if len(said) == count:
            yield said


def _groups(controller: str) -> Iterator[Path]:
    """The folders of its control groups, of version 2 and 1, the innermost first."""
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = _GROUPS / controller if controllers else _GROUPS
        inner = top / path.strip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))
