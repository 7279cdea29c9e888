"""The machine under the run: device, precision, seeds, allocator, fingerprint."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.metadata
import logging
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
from braintumor.errors import ConfigError, some
from braintumor.machine import cores, cores_to_run_on
from braintumor.privacy import working_directory

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
R = TypeVar("R")
Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16"]

_DRIVER = Path("/dev/nvidiactl")  # there where the driver of an NVIDIA GPU is loaded

log = logging.getLogger("braintumor")


def configure_process() -> None:
    """Change what holds for the whole process; a command calls it first, before torch allocates."""
    keep_big_blocks()
    share_cores()
    # data/images.py has a lower cap of its own, and says so; no thread may change filters later
    warnings.filterwarnings("ignore", "Image size .* could be decompression bomb")
    # libraries of ours look for widgets in a notebook; bars of text do
    warnings.filterwarnings("ignore", "IProgress not found")
    # float32 is meant to be exact; train.precision=tf32 is the other way
    warnings.filterwarnings("ignore", "TensorFloat32 tensor cores for float32 matrix")


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


def share_cores() -> None:
    """As many threads as cores may be used; those that wait sleep after 0.5 ms. The user's word
    counts before ours.

    Must run before torch is imported, which looks at the cores of the whole machine. OpenMP of GCC
    would turn for some 15 ms on a core that another program, or the very thread that is waited for,
    then lacks. On two cores training is as fast as before with nothing beside it, and 7.7 times as
    fast beside one busy program.
    Source: https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    if cores() < cores_to_run_on():
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))


def in_threads(work: Callable[[T], R], parts: Iterable[T], ahead: int | None = None) -> Iterator[R]:
    """Results of `work` for every part, in the order of the parts, by one thread a core.

    It pays where the work releases the GIL: file reading, decoding, numpy on large arrays. Parts
    are taken as they are needed, so that few are held at a time.
    ahead: results that wait for whoever takes them, at most; None: two for each core.

    >>> list(in_threads(len, ["a", "bcd"]))
    [1, 3]
    """
    workers = cores()
    ahead = 2 * workers if ahead is None else ahead
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def world_size() -> int:
    """How many processes train together: what torchrun says; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """Number of this process among them; 0 leads, and is the only one that writes and prints."""
    return int(os.environ["RANK"]) if world_size() > 1 else 0


def choose_device(name: str | int) -> torch.device:
    """`auto` takes the first CUDA device when there is one, else Apple's GPU, else the CPU.

    It says so where an NVIDIA GPU is here that torch cannot use. Of several processes that train
    together each takes the GPU of its own number on its machine.
    Raises ConfigError when the device is not here: never a silent fall-back.
    """
    import torch  # errors of settings come without torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if world_size() > 1 and name != "cpu" and count:
        return _own_gpu(name, count)
    if name == "auto":
        if not count and (why := _unused_gpu()):
            _warn_once(f"training and evaluation run without the GPU: {why}")
        return torch.device("cuda" if count else "mps" if has_mps else "cpu")
    found = re.fullmatch(r"cpu|mps|cuda(?::(\d+))?", str(name))
    is_cuda = found is not None and str(name).startswith("cuda")
    if found and (name == "cpu" or (name == "mps" and has_mps)):
        return torch.device(name)
    if found and is_cuda and int(found[1] or 0) < count:
        return torch.device(name)
    is_for_gpu = found or re.fullmatch(r"gpu|\d+", str(name).casefold())
    unknown = "" if is_for_gpu else ", which braintumor does not use"
    if not count:
        kind = "Apple GPU (MPS)" if name == "mps" else "CUDA device"
        why = _unused_gpu() or f"torch {torch.__version__} sees no {kind} here"
        asked = "" if name == "mps" else " (does `nvidia-smi` show one?)"
        raise ConfigError(
            f"device={name}{unknown}: {why}{asked}; use device={'mps' if has_mps else 'cpu'}"
        )
    number = min(int(re.sub(r"\D", "", str(name)) or 0), count - 1)
    others = f"; there are {count}, from cuda:0" if is_cuda else ""
    raise ConfigError(f"device={name} is no device{unknown}{others}; use device=cuda:{number}")


_warn_once = functools.cache(log.warning)  # a command asks for its device more than once


def _unused_gpu() -> str:
    """Why torch does not use the NVIDIA GPU of this machine, and what to do; empty without one."""
    import torch  # as above

    if not _DRIVER.exists() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ""
    if torch.version.cuda is None:
        why = "was built without CUDA"
    else:
        why = f"was built for CUDA {torch.version.cuda}, and the driver may be too old for it"
    return (
        f"an NVIDIA GPU is here, but torch {torch.__version__} {why}; docs/gpu.md says which torch "
        "goes with which driver. To use the CPU on purpose: device=cpu"
    )


def _own_gpu(name: str | int, count: int) -> torch.device:
    import torch  # as above

    processes, own = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
    if name not in ("auto", "cuda"):
        raise ConfigError(
            f"device={name} is one GPU, and torchrun started {processes} processes here, each of "
            "which takes its own; leave device out"
        )
    if processes > count:
        raise ConfigError(
            f"torchrun started {processes} processes on a machine with "
            f"{some(count, 'GPU')}; use --nproc-per-node={count}"
        )
    return torch.device("cuda", own)


def configure_torch(device: torch.device, precision: Precision = "fp32") -> None:
    """Change what torch keeps for the whole process; whoever begins work on a device calls it once.

    On CUDA the device becomes the current one, and float32 is exact unless precision is tf32.
    """
    import torch  # as above

    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)  # also of what names none, such as NCCL
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"  # of convolutions; True in torch
        # an H100, mobilenet_mhsa at 224 px: 18.0 s for the first epoch, 1.75 s for each later one;
        # where cuDNN tries its kernels 27.5 s and 1.4 s
        torch.backends.cudnn.benchmark = False


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within, torch's global generators start from `seed`; afterwards they stand as before."""
    import torch  # as above

    on_mps = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # of every device
        try:
            yield
        finally:
            if on_mps is not None:  # which fork_rng does not know
                torch.mps.set_rng_state(on_mps)


def choose_precision(name: Precision, device: torch.device) -> torch.dtype:
    """The autocast type: bf16 where CUDA has it, fp16 on older CUDA devices, else fp32.

    tf32 is float32 whose products CUDA rounds to 10 bits (see `configure_torch`).
    On CPUs without bf16 units autocast is 2 to 22 times slower than fp32, so `auto` there is fp32.
    """
    import torch  # as above

    if name != "auto":
        if name in ("fp16", "tf32") and device.type != "cuda":
            raise ConfigError(f"train.precision={name} needs a CUDA device; use fp32 or auto")
        halves = {"bf16": torch.bfloat16, "fp16": torch.float16}
        return halves.get(name, torch.float32)
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


def environment(
    command: Sequence[str] = (), device: str | int = "auto", run: Path | None = None
) -> dict[str, Any]:
    """What a reader needs to repeat the run: versions, device, git commit, command line.

    device: as the settings name it; gpu is None where it is no CUDA device.
    """
    import torch  # as above

    packages = ("torch", "torchvision", "timm", "numpy", "pandas", "scikit-learn", "hydra-core")
    chosen = choose_device(device)
    is_cuda = chosen.type == "cuda"
    return {
        "braintumor": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "cpu_threads": torch.get_num_threads(),
        "device": str(chosen),
        "gpu": torch.cuda.get_device_name(chosen) if is_cuda else None,
        "cuda": torch.version.cuda if is_cuda else None,
        "git": _git_commit(),
        "command": [*command] or [Path(sys.argv[0]).name, *sys.argv[1:]],
        "working_directory": working_directory(run),
    }


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
