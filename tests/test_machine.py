"""A container may use less than the machine has, and says so in files of its control groups."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from braintumor import machine
from braintumor.machine import cores, cores_to_run_on, memory_bytes

GROUPS = Path("/sys/fs/cgroup")


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "100000 100000", "memory.max": "3000"}, (1, 3000)),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}, None),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000", "a/b/memory.max": "4000"}, (1, 4000)),
        (
            "4:memory:/d\n3:cpu,cpuacct:/d\n",
            {
                "cpu/d/cpu.cfs_quota_us": "100000", "cpu/d/cpu.cfs_period_us": "100000",
                "memory/d/memory.limit_in_bytes": "5000",
            },
            (1, 5000),
        ),
        (  # a container of version 1 sees its own group as the top, and reads another path
            "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n",
            {
                "cpu/cpu.cfs_quota_us": "70000", "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "6000",
            },
            (1, 6000),
        ),
        ("3:cpu:/d\n", {"cpu/d/cpu.cfs_quota_us": "-1", "cpu/d/cpu.cfs_period_us": "100000"}, None),
        ("0::/\n", {}, None),
        ("0::/\n", {"cpu.max": "", "memory.max": "none of it"}, None),
        ("0::/\n", {"cpu.max": "100000", "memory.max": "3000 3000"}, None),
    ],
)  # fmt: skip
def test_the_smallest_limit_counts(
    own: str,
    files: dict[str, str],
    expected: tuple[int, int] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "nowhere")
    whole = cores(), memory_bytes()
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(f"{text}\n")
    monkeypatch.setattr(machine, "_OWN", tmp_path / "own")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "groups")
    assert (cores(), memory_bytes()) == (expected or whole)


@pytest.fixture
def one_core() -> Iterator[Path]:
    """A control group of this machine whose processes have the time of one core."""
    is_new = (GROUPS / "cgroup.controllers").is_file()
    group = (GROUPS if is_new else GROUPS / "cpu") / f"braintumor_{os.getpid()}"
    try:
        group.mkdir()
        name, text = ("cpu.max", "100000 100000") if is_new else ("cpu.cfs_quota_us", "100000")
        (group / name).write_text(text)
    except OSError as error:
        pytest.skip(f"no control group of one's own can be made here: {error}")
    yield group
    group.rmdir()


@pytest.mark.skipif(cores_to_run_on() < 2, reason="a machine of one core allows no less")
def test_torch_has_no_more_threads_than_a_container_may_use(one_core: Path) -> None:
    """As a command begins: 128 threads on the time of 8 cores would stop each other."""
    script = (
        "import os, pathlib, sys; "
        f"pathlib.Path({str(one_core / 'cgroup.procs')!r}).write_text(str(os.getpid())); "
        "from braintumor.runtime import configure_process; configure_process(); "
        "asked = os.environ['OMP_NUM_THREADS']; "
        "print(asked if sys.argv[1:] else __import__('torch').get_num_threads())"
    )
    known = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}

    def threads(own: dict[str, str], *words: str) -> str:
        command = [sys.executable, "-c", script, *words]
        done = subprocess.run(command, env=known | own, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert threads({}) == "1"
    assert threads({"OMP_NUM_THREADS": "2"}, "as asked for") == "2"
