"""What is said of an error that is the machine's, and no bug: one sentence and an exit code."""

from __future__ import annotations

import errno
import re

from braintumor.errors import BraintumorError, ConfigError, MachineError, device_failure
from braintumor.files import DISK_IS_FULL
from braintumor.workflows.mistakes import launcher_failure

_NO_SPACE = (*DISK_IS_FULL, errno.EROFS)
# what the parts of torch say; a limit such as `ulimit -v` is met where a library is loaded, too
_NO_MEMORY = (
    "can't allocate memory", "cannot allocate memory", "failed to map segment", "bad_alloc",
    "could not create a primitive", "could not create a memory", "can't start new thread",
    "resource temporarily unavailable", "cuda error: out of memory",
)  # fmt: skip


def failure_of(error: Exception) -> BraintumorError | None:
    """The error of ours that says what went wrong; None for a bug, or a mistake in the words."""
    if isinstance(error, BraintumorError):
        return error
    if _is_out_of_memory(error):
        return MachineError(
            "out of memory; lower the batch size, data.image_size or data.limit, or allow more "
            "(`ulimit -v`)"
        )
    if said := device_failure(error) or launcher_failure(error):
        return MachineError(said)
    if isinstance(error, NotImplementedError) and "MPS device" in str(error):
        missing = re.search(r"'([^']+)'", str(error))
        return MachineError(
            f"Apple's GPU lacks {missing[1] if missing else 'an operation'}; let the CPU do it "
            "with PYTORCH_ENABLE_MPS_FALLBACK=1 before the command, or use device=cpu"
        )
    return _of_the_system(error)


def _of_the_system(error: Exception) -> BraintumorError | None:
    """Of what the operating system refuses, which is never a bug."""
    said = str(error)
    if isinstance(error, OSError | ImportError | RuntimeError) and "too many open files" in (
        said.casefold()
    ):
        return MachineError("too many open files; allow more of them: `ulimit -n 1024`")
    if isinstance(error, RuntimeError) and said.startswith("Symlink loop"):  # of pathlib
        return ConfigError(f"{said}; remove the link that leads to itself")
    if not isinstance(error, OSError) or error.errno is None:
        return None
    what = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    if error.errno in _NO_SPACE:
        return MachineError(f"{what}; free space, or name another run_dir")
    if isinstance(error, PermissionError):
        return ConfigError(f"no permission for {error.filename}; check its owner and mode")
    if error.errno == errno.ENAMETOOLONG:
        return ConfigError(f"{what}; give a shorter name")
    return MachineError(f"{what}; see that it is there and can be read, and run the command again")


def _is_out_of_memory(error: Exception) -> bool:
    # torch is not imported here; on the CPU it raises a plain RuntimeError
    is_on_device = type(error).__name__ == "OutOfMemoryError"
    is_told = isinstance(error, RuntimeError | ImportError | OSError) and any(
        words in str(error).casefold() for words in _NO_MEMORY
    )
    return isinstance(error, MemoryError) or is_on_device or is_told
