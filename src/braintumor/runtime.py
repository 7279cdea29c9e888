"""The machine under the run: device, precision, seeds, allocator, fingerprint."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from braintumor._version import __version__
from braintumor.errors import ConfigError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
R = TypeVar("R")
Precision = Literal["auto", "fp32", "bf16", "fp16"]


def configure_process() -> None:
    """Change what holds for the whole process; a command calls it first, before torch allocates."""
    keep_big_blocks()
    # data/images.py has a lower cap of its own, and says so; no thread may change filters later
    warnings.filterwarnings("ignore", "Image size .* could be decompression bomb")
    # libraries of ours look for widgets in a notebook; bars of text do
    warnings.filterwarnings("ignore", "IProgress not found")


def keep_big_blocks() -> None:
    """Ask glibc to keep large freed blocks instead of handing them back after every step.

    Must run before torch allocates. Worth 1.4-1.8x on training and 2-3x on inference at
    224 px on CPU (two AVX2 cores); elsewhere than Linux with glibc it does nothing.
    """
    m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(m_mmap_threshold, 1 << 30)
    mallopt(m_trim_threshold, (1 << 31) - 1)
    mallopt(m_top_pad, 64 << 20)


def memory_bytes() -> int:
    """Memory of the machine, free or not; sys.maxsize where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return sys.maxsize


def cores() -> int:
    """Number of cores that this process may use; of the machine where the system does not tell."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def in_threads(work: Callable[[T], R], parts: Iterable[T]) -> Iterator[R]:
    """Results of `work` for every part, in the order of the parts, by one thread a core.

    It pays where the work releases the GIL: file reading, decoding, numpy on large arrays. Parts
    are taken as they are needed, so that few are held at a time.

    >>> list(in_threads(len, ["a", "bcd"]))
    [1, 3]
    """
    workers = cores()
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def choose_device(name: str | int) -> torch.device:
    """`auto` takes the first CUDA device when there is one, else the CPU.

    Raises ConfigError when the device is no CPU and no CUDA device that is here: never a silent
    fall-back.
    """
    import torch  # errors of settings come without torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", str(name))
    if found and (name == "cpu" or int(found[1] or 0) < count):
        return torch.device(name)
    is_for_gpu = found or re.fullmatch(r"gpu|\d+", str(name).casefold())
    why = "" if is_for_gpu else ", which braintumor does not use"
    if not count:
        raise ConfigError(
            f"device={name}{why}: torch {torch.__version__} sees no CUDA device here (does "
            "`nvidia-smi` show one?); use device=cpu"
        )
    number = min(int(re.sub(r"\D", "", str(name)) or 0), count - 1)
    others = f"; there are {count}, from cuda:0" if found else ""
    raise ConfigError(f"device={name} is no device{why}{others}; use device=cuda:{number}")


def configure_torch(device: torch.device) -> None:
    """Change what torch keeps for the whole process; whoever begins work on a device calls it once.

    On CUDA fp32 matrices are multiplied in TF32; elsewhere nothing changes.
    """
    import torch  # as above

    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        # an H100, mobilenet_mhsa at 224 px: 18.0 s for the first epoch, 1.75 s for each later one;
        # where cuDNN tries its kernels 27.5 s and 1.4 s
        torch.backends.cudnn.benchmark = False


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within, torch's global generators start from `seed`; afterwards they stand as before."""
    import torch  # as above

    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def choose_precision(name: Precision, device: torch.device) -> torch.dtype:
    """The autocast type: bf16 where CUDA has it, fp16 on older CUDA devices, else fp32.

    On CPUs without bf16 units autocast is 2 to 22 times slower than fp32, so `auto` there is fp32.
    """
    import torch  # as above

    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if name != "auto":
        if name == "fp16" and device.type != "cuda":
            raise ConfigError("train.precision=fp16 needs a CUDA device; use fp32 or auto")
        return dtypes[name]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def mix_seed(*parts: int | str) -> int:
    """A 63-bit seed that is a function of all its parts, such as (seed, "augment", epoch).

    >>> mix_seed(0, "augment", 1) == mix_seed(0, "augment", 1) != mix_seed(0, "augment", 2)
    True
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def environment(command: Sequence[str] = ()) -> dict[str, Any]:
    """What a reader needs to repeat the run: versions, device, git commit, command line."""
    import torch  # as above

    packages = ("torch", "torchvision", "timm", "numpy", "pandas", "scikit-learn", "hydra-core")
    cuda = torch.cuda.is_available()
    return {
        "braintumor": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "cpu_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if cuda else None,
        "cuda": torch.version.cuda if cuda else None,
        "git": _git_commit(),
        "command": [*command] or [Path(sys.argv[0]).name, *sys.argv[1:]],
        "working_directory": in_home(Path.cwd()),
    }


def in_home(path: Path) -> str:
    """The path, with ~ for the home folder, whose name is mostly that of a person."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}".removesuffix("/.")
    except (ValueError, RuntimeError):  # elsewhere; no home folder is known
        return str(path)


def _git_commit() -> str | None:
    """Commit of the working directory's repository, with "+changes" when it is not clean."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        return done.stdout.strip()

    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "-uno")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changes else "")
